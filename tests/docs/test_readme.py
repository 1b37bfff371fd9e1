"""What the README promises exists, and its commands run."""

import re
import shlex
from pathlib import Path

import pytest

from eosin.__main__ import _call

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _commands():
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "eosin":
                yield words[1:]


def test_first_screen_names_both_commands():
    top = README[:1200]
    assert "make demo" in top
    assert "make test" in top
    assert "Research use" in top


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_verb_table_matches_the_command():
    from eosin.cli import app, data

    told = set(re.findall(r"^\| `eosin (\w+)", README, flags=re.MULTILINE))
    there = {c.name or c.callback.__name__ for c in app.registered_commands} | {"data"}
    assert told == there
    row = next(line for line in README.splitlines() if line.startswith("| `eosin data"))
    assert set(re.findall(r"`(?:eosin data )?(\w+)`", row)) == {
        c.name for c in data.registered_commands
    }


@pytest.mark.data
def test_commands_run_in_order(data_root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    folder = data_root / "breakhis-200x-224"
    patches = folder / "BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis"
    quick = ["--set", "train.epochs=1", "--set", "data.limit=4", "--set", "data.split.k=2"]
    quick += ["--set", "model.input_px=64", "--set", "evaluate.resamples=200"]
    ran = 0
    for words in _commands():
        filled = [word.replace("FOLDER", str(folder)) for word in words]
        filled = [str(patches) if word == "PATCHES" else word for word in filled]
        status = _call([*filled, *(quick if words[0] == "train" else [])], debug=False)
        assert status == 0, (filled, capsys.readouterr().err)
        ran += 1
    assert ran >= 3
    assert (tmp_path / "predictions.csv").exists()
