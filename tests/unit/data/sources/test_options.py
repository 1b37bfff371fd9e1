"""Options of data sets."""

import pytest

from eosin.core.errors import RecipeError, UsageError
from eosin.data.sources.base import check_options, take_choice, take_file, take_text, take_texts


def test_unknown_options_are_refused_with_close_matches():
    check_options("pcam", {"judge": "valid"}, ["judge"])
    with pytest.raises(UsageError, match="folder takes no options, got 'a'"):
        check_options("folder", {"a": 1})
    with pytest.raises(RecipeError, match=r"'data\.options\.juge'") as caught:
        check_options("pcam", {"juge": "valid"}, ["judge"])
    assert caught.value.hint == "Did you mean 'judge'?"


def test_values_of_the_wrong_kind_are_refused():
    assert take_text({}, "label", "class") == "class"
    assert take_choice({"part": "lung"}, "part", "all", ("lung", "all")) == "lung"
    assert take_texts({"plates": ["a", "b"]}, "plates") == ("a", "b")
    assert take_texts({}, "plates") == ()
    with pytest.raises(RecipeError, match="must be a text, got 3"):
        take_text({"label": 3}, "label", "class")
    with pytest.raises(RecipeError, match="must be a text, got ''"):
        take_text({"label": ""}, "label", "class")
    with pytest.raises(RecipeError, match="must be one of lung, all, got 'lungs'") as caught:
        take_choice({"part": "lungs"}, "part", "all", ("lung", "all"))
    assert caught.value.hint == "Did you mean 'lung'?"
    for value in ("a", [1], {"a": 1}):
        with pytest.raises(RecipeError, match="must be a list of texts"):
            take_texts({"plates": value}, "plates")
    with pytest.raises(RecipeError) as caught:
        take_texts({"plates": 27801}, "plates")
    assert """'data.options.plates=["27801"]'""" in caught.value.hint


def test_files_start_from_the_root_and_expand(tmp_path, monkeypatch):
    monkeypatch.setenv("TABLES", str(tmp_path))
    (tmp_path / "a.csv").touch()
    assert take_file(tmp_path, {"table": "a.csv"}, "table", "b.csv") == tmp_path / "a.csv"
    assert take_file(tmp_path / "x", {"table": "$TABLES/a.csv"}, "table", "") == tmp_path / "a.csv"
    assert take_file(tmp_path, {}, "table", "b.csv") == tmp_path / "b.csv"
    with pytest.raises(RecipeError, match=r"'data\.options\.table': there is no file .*c\.csv"):
        take_file(tmp_path, {"table": "c.csv"}, "table", "b.csv")
