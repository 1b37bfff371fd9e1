"""Commands that pages, files and reports print work when typed as printed."""

import html
import json
import re
import shlex
import shutil

import pandas as pd
import pytest

import eosin
from eosin.recipe import recipe_from_dict


def printed(page):
    """Return the commands of a page's last section, as words after ``eosin``."""
    text = html.unescape(page.read_text(encoding="utf-8"))
    blocks = re.findall(r"<pre[^>]*>(.*?)</pre>", text, flags=re.DOTALL)
    lines = [re.sub("<[^>]*>", "", line).strip() for block in blocks for line in block.splitlines()]
    found = [shlex.split(line)[1:] for line in lines if line.startswith("eosin ")]
    assert found, page
    return found


def recorded(run):
    """Return the command that a run's ``environment.json`` records."""
    text = json.loads((run / "environment.json").read_text())["command"]
    assert text.startswith("eosin ")
    return shlex.split(text)[1:]


@pytest.fixture(scope="module")
def numpy_run(tmp_path_factory, tiny_values, tiny_phantom, tiny_run):
    """A run of the NumPy engine, which makes another in two seconds."""
    values = tiny_values(tiny_phantom)
    values["model"] |= {"input_px": 52, "backend": "numpy"}
    values["train"]["epochs"] = 1
    output = tmp_path_factory.mktemp("printed") / "a run"
    return eosin.train(recipe_from_dict(values), output=output).run


def test_the_commands_of_a_run_s_page_train_it_again(command, numpy_run, tmp_path, monkeypatch):
    run = shutil.copytree(numpy_run, tmp_path / "a run")
    monkeypatch.chdir(run)
    ((*words,),) = printed(run / "report.html")
    assert command(*words).status == 0
    assert (tmp_path / "rerun" / "predictions.csv").exists()
    assert command(*recorded(run), "--plan").status == 0


def test_a_run_records_what_was_typed_without_folders(command, recipe_file, tmp_path):
    path = recipe_file(train={"epochs": 1}, model={"input_px": 52, "backend": "numpy"})
    typed = ["train", path, "--set", "seed=3", "-o", tmp_path / "a run"]
    assert command(*typed).status == 0
    shown = ["train", "…/recipe.toml", "--set", "seed=3", "-o", "…/a run"]
    assert recorded(tmp_path / "a run") == shown
    page = (tmp_path / "a run" / "report.html").read_text(encoding="utf-8")
    assert "eosin train …/recipe.toml" in html.unescape(page)
    assert str(tmp_path) not in page


def test_the_commands_of_an_evaluation_s_page_make_it_again(
    command, numpy_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    known = {"MODEL": numpy_run / "model", "MANIFEST.csv": numpy_run / "manifest.csv"}
    first = command("evaluate", known["MODEL"], "--data", known["MANIFEST.csv"], "-o", "first")
    assert first.status == 0, first.err
    for words in printed(tmp_path / "first" / "report.html"):
        result = command(*(known.get(word, word) for word in words))
        assert result.status == 0, result.err
    made = [pd.read_csv(tmp_path / name / "predictions.csv") for name in ("first", "RERUN")]
    pd.testing.assert_frame_equal(*made)


def test_the_commands_of_an_ensemble_s_page_make_it_again(
    command, numpy_run, tiny_run, tmp_path, monkeypatch
):
    for run, name in ((numpy_run, "a run"), (tiny_run, "tiny")):
        (tmp_path / name).symlink_to(run)
    monkeypatch.chdir(tmp_path)
    joined = command("ensemble", numpy_run, tiny_run, "-o", "joined")
    assert joined.status == 0, joined.err
    ((*words,),) = printed(tmp_path / "joined" / "report.html")
    result = command(*words)
    assert result.status == 0, result.err
    assert words[: words.index("-o")] == recorded(tmp_path / "joined")


def test_the_advice_of_the_card_is_typed(command, numpy_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = (numpy_run / "model" / "card.md").read_text(encoding="utf-8")
    known = {
        "MODEL": numpy_run / "model",
        "MANIFEST.csv": numpy_run / "manifest.csv",
        "RUN": numpy_run,
        "SHARE": "0.1",
    }
    for pattern in (r"eosin (evaluate MODEL --data [\w.]+)", r"eosin (evaluate RUN --\w+ \w+)"):
        words = re.search(pattern, card)[1].split()
        result = command(*(known.get(word, word) for word in words), "-o", words[1])
        assert result.status == 0, result.err


def test_what_the_audit_did_not_look_for_is_looked_for(command, numpy_run, monkeypatch):
    reach = " ".join(json.loads((numpy_run / "audit.json").read_text())["reach"])
    monkeypatch.chdir(numpy_run)
    words = re.search(r"eosin (data audit \S+?\.csv)", reach)[1].split()
    table = [{"MANIFEST.csv": "manifest.csv"}.get(word, word) for word in words]
    assert command(*table).status == 0
    words = re.search(r"--set data\S+", reach)[0].rstrip(".,").split()
    result = command("train", "recipe.toml", "--plan", *words)
    assert result.status == 0, result.err


def test_what_doctor_prints(command, tiny_phantom, tmp_path, monkeypatch, recipe_file):
    monkeypatch.delenv("EOSIN_DATA", raising=False)
    found = re.search(r"export (\w+)=FOLDER$", command("doctor").out, re.MULTILINE)
    monkeypatch.setenv(found[1], str(tmp_path))
    out = command("doctor").out
    assert "export" not in out
    words = re.search(r"--set data\.root=FOLDER\b", out)[0].split()
    words[-1] = words[-1].replace("FOLDER", str(tiny_phantom))
    result = command("train", recipe_file(data={"root": "/none"}), "--plan", *words)
    assert result.status == 0, result.err


def test_doctor_names_a_cache_that_cannot_be_written(command, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EOSIN_DATA", str(tmp_path))
    monkeypatch.setenv("EOSIN_CACHE", str(tmp_path / "file" / "cache"))
    found = re.search(r"export (\w+)=FOLDER$", command("doctor").out, re.MULTILINE)
    monkeypatch.setenv(found[1], str(tmp_path / "cache"))
    assert "export" not in command("doctor").out


@pytest.mark.parametrize("line", [["train", "--no-such"], ["data", "audit"], ["nothing"]])
def test_a_wrong_command_line_names_its_help(command, line):
    words = re.search("See `eosin (.*)`", command(*line).complaint)[1].split()
    assert command(*words).status == 0


def test_features_are_left_out(command, numpy_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = ("evaluate", numpy_run / "model", "--data", numpy_run / "manifest.csv")
    result = command(*line, "--features", numpy_run / "predictions.csv")
    assert result.status == 2
    assert "--features" in result.complaint
    assert command(*line).status == 0


@pytest.fixture
def table(tiny_run, tiny_phantom, tmp_path):
    """Write a table of the phantom in which one patient has two names, in two parts."""
    rows = pd.read_csv(tiny_run / "manifest.csv", dtype=str, keep_default_na=False)
    rows["path"] = [str((tiny_run / path).resolve()) for path in rows["path"]]
    rows = rows[["path", "label", "patient", "split"]]
    few = rows.index[rows["split"] == "train"][:2]
    rows.loc[few, "patient"] = rows.loc[few, "patient"].str.lower()
    rows.loc[few, "split"] = "test"
    rows.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def test_a_split_that_separates_joined_groups_is_drawn_anew(command, table, tmp_path, recipe_file):
    result = command("data", "audit", table, "--quick", "--repair", tmp_path / "new.csv")
    words = re.search(r"still separates .*\((--set [^)]*)\)", result.out)[1].split()
    recipe = recipe_file(
        data={
            "manifest": str(tmp_path / "new.csv"),
            "positive": "malignant",
            "split": {"protocol": "column"},
        },
        model={"backend": "numpy", "input_px": 52},
        drop=("dataset", "root", "options"),
    )
    assert command("train", recipe, "-o", tmp_path / "a").status == 1
    result = command("train", recipe, *words, "-o", tmp_path / "b")
    assert result.status == 0, result.err


def test_a_repaired_table_is_audited_with_pseudonyms(command, table, tmp_path):
    line = ("data", "audit", table, "--quick", "--repair", tmp_path / "new.csv")
    result = command(*line, "--pseudonymise")
    assert result.status == 2
    assert "--pseudonymise" in result.complaint.partition(". ")[2]
    command(*line)  # leaves with the status of the leak that the split makes
    result = command("data", "audit", tmp_path / "new.csv", "--quick", "--pseudonymise")
    assert result.status == 1
    assert "same_group" in result.out
