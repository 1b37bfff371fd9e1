"""From TOML and --set to a recipe, naming the key in every refusal."""

import shlex

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from tests.facts import tells

from eosin.core.errors import RecipeError
from eosin.recipe import read_recipe, recipe_from_dict
from eosin.recipe.overrides import merge, override, parse_overrides

BASE = {"name": "a", "data": {"dataset": "phantom"}, "model": {"name": "light_cnn"}}


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "recipe.toml"

    def write(values):
        path.write_text(tomli_w.dumps(values), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"train": {"lrr": 1}}, "unknown key 'train.lrr'. Did you mean 'lr'?"),
        (
            {"train": {"schedule": {"facter": 0.5}}},
            "unknown key 'train.schedule.facter'. Did you mean 'factor'?",
        ),
        ({"modell": {}}, "unknown key 'modell'. Did you mean 'model'?"),
        (
            {"data": {"dataset": "phantom", "split": {"unit": 3}}},
            "unknown key 'data.split.unit'. "
            "Known: by, k, protocol, repeats, seed, stratify, test, train, val",
        ),
        ({"a": 1, "b": 2}, "unknown key 'a' (and 1 more)"),
    ],
)
def test_an_unknown_key_is_refused_with_close_matches(recipe_file, values, refusal):
    path = recipe_file({**BASE, **values})
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(f"{path}: {refusal}")
    assert caught.value.exit_status == 2


def test_a_missing_key_is_named():
    with pytest.raises(RecipeError) as caught:
        recipe_from_dict({"name": "a", "model": {"name": "light_cnn"}})
    assert tells(str(caught.value), "the recipe", "'data'", "missing")


def test_all_missing_keys_are_named_with_settings_that_add_them(typed, tmp_path):
    with pytest.raises(RecipeError) as caught:
        recipe_from_dict({"seed": 1, "modell": {}})
    shown = str(caught.value)
    assert tells(shown, "'name', 'data' and 'model'", "missing", "1 other error")
    words = shlex.split(shown.partition("example: ")[2])
    settings = [setting for option, setting in zip(words[::2], words[1::2], strict=True)]
    assert words[::2] == ["--set"] * 3
    assert recipe_from_dict({"seed": 1}, overrides=settings).seed == 1


@pytest.mark.parametrize(
    ("overrides", "facts"),
    [
        ({"train.lrr": 1}, ["{'train.lrr': 1}", "'train.lrr'", "'lr'"]),
        ({"train.lr": -1}, ["{'train.lr': -1}", "'train.lr'"]),
        ({"train": {"seed": 3}}, ["{'train.seed': 3}", "overrides={'seed': 3}"]),
        (["train.lr"], ["overrides", "'train.lr'"]),
        ([3], ["overrides", "3"]),
        (3, ["overrides", "int"]),
    ],
)
def test_overrides_of_python_are_refused_in_python_s_words(overrides, facts):
    with pytest.raises(RecipeError) as caught:
        recipe_from_dict(BASE, overrides=overrides)
    shown = str(caught.value)
    assert shown.startswith("overrides")
    assert "--set" not in shown
    assert all(fact in shown for fact in facts)


def test_a_key_in_the_wrong_section_is_found_elsewhere(typed):
    with pytest.raises(RecipeError) as caught:
        recipe_from_dict(BASE, overrides=["train.seed=3"])
    assert str(caught.value).endswith("--set seed=3")
    with pytest.raises(RecipeError) as caught:
        recipe_from_dict(BASE, overrides=["model.epochs=3"])
    assert str(caught.value).endswith("--set train.epochs=3")


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="does not exist"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="is a folder, not a recipe"):
        read_recipe(tmp_path)
    for broken in (b"name = ", b"name = '\xff'", b"\x00"):
        (tmp_path / "broken.toml").write_bytes(broken)
        with pytest.raises(RecipeError, match="is not valid TOML"):
            read_recipe(tmp_path / "broken.toml")


def test_paths_start_from_the_recipe(recipe_file, tmp_path):
    recipe = read_recipe(recipe_file({**BASE, "data": {"manifest": "sub/m.csv"}}))
    assert recipe.data.manifest == str(tmp_path / "sub" / "m.csv")
    recipe = read_recipe(recipe_file({**BASE, "data": {"dataset": "folder", "root": "/abs"}}))
    assert recipe.data.root == "/abs"


@pytest.mark.parametrize("root", ["$EOSIN_DATA/breakhis", "~/breakhis"])
def test_a_root_that_expands_is_left_alone(recipe_file, root):
    recipe = read_recipe(recipe_file({**BASE, "data": {"dataset": "breakhis", "root": root}}))
    assert recipe.data.root == root


def test_overrides_start_from_the_working_folder(recipe_file):
    recipe = read_recipe(recipe_file(BASE), ["data.root=here", "train.lr=0.5", "seed=4"])
    assert (recipe.data.root, recipe.train.lr, recipe.seed) == ("here", 0.5, 4)


def test_naming_one_source_drops_the_other(recipe_file):
    recipe = read_recipe(recipe_file(BASE), ["data.manifest=m.csv"])
    assert (recipe.data.dataset, recipe.data.manifest) == (None, "m.csv")
    path = recipe_file({**BASE, "data": {"manifest": "m.csv"}})
    assert read_recipe(path, ["data.dataset=phantom"]).data.manifest is None
    with pytest.raises(RecipeError, match="exactly one"):
        read_recipe(path, ["data.dataset=phantom", "data.manifest=m.csv"])


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("seed=3", {"seed": 3}),
        ("train.lr=1e-3", {"train": {"lr": 0.001}}),
        ("train.lr=.001", {"train": {"lr": 0.001}}),
        ("seed=03", {"seed": 3}),
        ("train.epochs=many", {"train": {"epochs": "many"}}),
        (" train.lr =0.1", {"train": {"lr": 0.1}}),
        ("train.optimizer=sgd", {"train": {"optimizer": "sgd"}}),
        ('name="3"', {"name": "3"}),
        ("data.magnifications=['40', '100']", {"data": {"magnifications": ["40", "100"]}}),
        ("data.options={patients = 4}", {"data": {"options": {"patients": 4}}}),
        ("evaluate.temperature=false", {"evaluate": {"temperature": False}}),
        ("description=a=b", {"description": "a=b"}),
        ("description=", {"description": ""}),
        # The field decides how a value is read, not its form.
        ("description=1", {"description": "1"}),
        ("name=2024", {"name": "2024"}),
        ("data.root=2024", {"data": {"root": "2024"}}),
        ("data.positive=1", {"data": {"positive": "1"}}),
        ("data.positive=1.0", {"data": {"positive": "1.0"}}),
        ("data.positive=true", {"data": {"positive": "true"}}),
        ("data.positive=nan", {"data": {"positive": "nan"}}),
        ("data.positive=007", {"data": {"positive": "007"}}),
        ('data.positive="1"', {"data": {"positive": "1"}}),
        ("data.positive='a b'", {"data": {"positive": "a b"}}),
        ("data.positive=[1]", {"data": {"positive": "[1]"}}),
        ("data.positive=", {"data": {"positive": None}}),
        ("train.patience=", {"train": {"patience": None}}),
        ("train.patience=3", {"train": {"patience": 3}}),
        ("data.magnifications=40", {"data": {"magnifications": ["40"]}}),
        ("data.magnifications=[40]", {"data": {"magnifications": ["40"]}}),
        ("data.magnifications=[040, 40X]", {"data": {"magnifications": ["040", "40X"]}}),
        ("data.magnifications=40,100", {"data": {"magnifications": ["40", "100"]}}),
        ("data.magnifications=[]", {"data": {"magnifications": []}}),
        ("data.magnifications=", {"data": {"magnifications": []}}),
        ("data.channels=[0, 'actin']", {"data": {"channels": [0, "actin"]}}),
        ("data.channels=DNA,1", {"data": {"channels": ["DNA", 1]}}),
        ("train.betas=0.5,0.9", {"train": {"betas": [0.5, 0.9]}}),
        ("data.split.by= image", {"data": {"split": {"by": "image"}}}),
        ("data.options.seed=1", {"data": {"options": {"seed": 1}}}),
        ("data.options.judge=valid", {"data": {"options": {"judge": "valid"}}}),
        ("data.cache=false", {"data": {"cache": False}}),
    ],
)
def test_one_override(text, tree):
    assert parse_overrides([text]) == tree
    assert parse_overrides(text) == tree


def test_overrides_add_up_and_the_last_wins():
    texts = ["train.lr=1", "train.epochs=2", "train.lr=3"]
    assert parse_overrides(texts) == {"train": {"lr": 3, "epochs": 2}}


def test_options_of_a_data_set_are_no_fields_of_a_recipe():
    assert parse_overrides(["name=3"], schema=None) == {"name": 3}


FOLDS = {"protocol": "folds", "k": 3, "val": 0.15, "by": "image"}
WHOLE = {"protocol": "folds", "k": 4, "train": 0.6, "val": 0.1, "test": 0.3}


@pytest.mark.parametrize(
    ("split", "overrides", "wanted"),
    [
        (FOLDS, ["protocol=grouped"], {"train": 0.7, "val": 0.1, "test": 0.2, "by": "group"}),
        (FOLDS, ["protocol=column"], {"val": 0.15, "by": "group"}),
        (FOLDS, ["protocol=folds"], {"val": 0.15, "k": 3, "by": "image"}),
        (FOLDS, ["protocol=grouped", "train=0.6", "test=0.25"], {"val": 0.15, "test": 0.25}),
        (FOLDS, ["protocol=grouped", "by=image"], {"by": "image", "train": 0.7}),
        (WHOLE, ["protocol=image"], {"train": 0.6, "val": 0.1, "test": 0.3}),
        (WHOLE, ["val=0.2"], {"val": 0.2, "k": 4}),
        ({"val": 0.3, "train": 0.5, "test": 0.2}, ["protocol=folds"], {"val": 0.3, "k": 5}),
        ({"protocol": "folds", "by": "site"}, ["protocol=column"], {"by": "group"}),
        ({}, ["protocol=folds", "k=3"], {"k": 3}),
        # A test part beside the folds is asked for by `test` alone.
        ({}, ["protocol=folds", "test=0.2"], {"test_share": 0.2}),
        (WHOLE, ["val=0.1", "test=0.3"], {"test_share": 0.3, "k": 4}),
        (WHOLE, ["by=image"], {"test_share": 0.0, "test": 0.3}),
        ({**FOLDS, "test": 0.15}, ["val=0.2"], {"test_share": 0.15, "val": 0.2}),
        ({"train": 0.5, "val": 0.3, "test": 0.2}, ["protocol=folds"], {"test_share": 0.0}),
    ],
)
def test_another_protocol_starts_the_section_anew(recipe_file, split, overrides, wanted):
    path = recipe_file({**BASE, "data": {"dataset": "phantom", "split": split}})
    section = read_recipe(path, [f"data.split.{text}" for text in overrides]).data.split
    assert {key: getattr(section, key) for key in wanted} == wanted
    # The same from Python, of a recipe that was read before.
    recipe = read_recipe(path)
    again = override(recipe.model_dump(), [f"data.split.{text}" for text in overrides])
    assert recipe_from_dict(again).data.split.model_dump() == section.model_dump()


def test_what_is_dropped_is_said_in_one_line(recipe_file, messages):
    path = recipe_file({**BASE, "data": {"dataset": "phantom", "split": FOLDS}})
    read_recipe(path, ["data.split.protocol=grouped"])
    assert len(messages) == 1
    assert "k = 3" in messages[0]
    assert "val = 0.15" in messages[0]
    read_recipe(path, ["data.split.val=0.2", "train.epochs=1"])
    assert len(messages) == 1
    read_recipe(recipe_file(BASE), ["data.split.protocol=folds"])
    assert len(messages) == 1


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["protocol=grouped", "k=5"], "k"),
        (["protocol=image", "repeats=1"], "repeats"),
        (["protocol=column", "test=0.2"], "test"),
        (["protocol=folds", "train=0.7"], "train"),
    ],
)
def test_a_key_that_the_protocol_does_not_use_is_refused_by_name(recipe_file, overrides, key):
    path = recipe_file({**BASE, "data": {"dataset": "phantom", "split": FOLDS}})
    with pytest.raises(RecipeError, match=rf"data\.split\.{key}\b"):
        read_recipe(path, [f"data.split.{text}" for text in overrides])
    staged = [f"transfer.stage.1.data.split.{text}" for text in overrides]
    if "protocol=folds" not in overrides:
        with pytest.raises(RecipeError, match=rf"transfer\.stage\.1\.data\.split\.{key}\b"):
            read_recipe(recipe_file(CHAIN), staged)


@pytest.mark.parametrize("text", ["train.lr", "=3", " =3", ""])
def test_an_override_needs_key_and_value(text):
    with pytest.raises(RecipeError, match="overrides needs key=value"):
        parse_overrides([text])


def test_a_value_has_no_keys():
    with pytest.raises(RecipeError, match="'train' already has a value"):
        parse_overrides(["train=3", "train.lr=1"])


KEY = st.text(alphabet="abcdefg_", min_size=1, max_size=6)
VALUE = (
    st.integers(-(2**40), 2**40)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)


def _leaves(tree, prefix=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*prefix, key))
        else:
            yield ".".join((*prefix, key)), value


@given(st.dictionaries(KEY, VALUE | st.dictionaries(KEY, VALUE, min_size=1, max_size=3)))
def test_what_toml_writes_is_read_back(tree):
    texts = [
        f"{key}={tomli_w.dumps({'v': value}).partition('=')[2].strip()}"
        for key, value in _leaves(tree)
    ]
    assert parse_overrides(texts) == tree


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_line(text):
    key, equals, _ = text.partition("=")
    if equals and key.strip():
        assert parse_overrides([text])
    else:
        with pytest.raises(RecipeError, match="overrides"):
            parse_overrides([text])


def test_merging_goes_section_by_section_and_changes_neither():
    base, extra = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "e": 5}
    assert merge(base, extra) == {"a": {"b": 4, "c": 2}, "d": 3, "e": 5}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}
    assert extra == {"a": {"b": 4}, "e": 5}


def test_a_table_given_as_a_value_takes_the_place_of_the_old_one():
    base = {"data": {"options": {"a": 1, "b": 2}, "label": "x"}}
    emptied = merge(base, parse_overrides(["data.options={}"]))
    assert emptied == {"data": {"options": {}, "label": "x"}}
    changed = merge(base, parse_overrides(["data.options={c = 3}", "data.options.d=4"]))
    assert changed["data"]["options"] == {"c": 3, "d": 4}
    added = merge(base, parse_overrides(["data.options.d=4"]))
    assert added["data"]["options"] == {"a": 1, "b": 2, "d": 4}


STAGES = [{"name": name, "data": {"dataset": name}, "epochs": 3} for name in ("idc", "lc25000")]
CHAIN = {**BASE, "transfer": {"source": "start.safetensors", "stage": STAGES}}


def test_paths_of_stages_start_from_the_recipe_too(recipe_file, tmp_path):
    path = recipe_file(CHAIN)
    overrides = ["transfer.stage.1.data.root=/there", "transfer.stage.0.epochs=1"]
    transfer = read_recipe(path, overrides).transfer
    assert transfer.source == str(tmp_path / "start.safetensors")
    assert [stage.data.root for stage in transfer.stage] == [None, "/there"]
    assert [stage.epochs for stage in transfer.stage] == [1, 3]
    nested = {**CHAIN["transfer"], "stage": [{**STAGES[0], "data": {"manifest": "m.csv"}}]}
    stage = read_recipe(recipe_file({**BASE, "transfer": nested})).transfer.stage[0]
    assert stage.data.manifest == str(tmp_path / "m.csv")


def test_the_source_imagenet_is_no_path(recipe_file):
    path = recipe_file({**BASE, "transfer": {"source": "imagenet"}})
    assert read_recipe(path).transfer.source == "imagenet"


@pytest.mark.parametrize("place", ["2", "-1", "idc"])
def test_an_item_that_is_not_there_is_refused(recipe_file, place):
    with pytest.raises(RecipeError, match=rf"transfer\.stage|stage\.{place}.*has the items 0 to 1"):
        read_recipe(recipe_file(CHAIN), [f"transfer.stage.{place}.epochs=1"])
