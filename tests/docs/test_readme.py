"""What the README and the first pages promise exists, and their commands run."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eosin.__main__ import call
from eosin.recipe.shipped import shipped_recipes

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
START = (ROOT / "docs" / "get-started.md").read_text(encoding="utf-8")
MOST_LINES = 120


def _commands(page):
    for block in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL):
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


def test_the_readme_is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) < MOST_LINES
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def _own_patches(root):
    """Draw patches as the README wants a user's own laid out."""
    random = np.random.default_rng(0)
    for label in ("healthy", "tumour"):
        for patient in range(6):
            folder = root / label / f"{label}{patient}"
            folder.mkdir(parents=True)
            for n in range(3):
                pixels = random.integers(0, 255, (50, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{n}.png")
    return root


def test_each_recipe_that_the_pages_name_is_there():
    table = START.partition("| data, as published | recipe |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([\w-]+)` \|$", table, flags=re.MULTILINE))
    assert len(named) >= 5
    assert named <= shipped_recipes().keys()


def _run(words, stands_for, capsys):
    """Run a command of the README in a quick form, with its capitals replaced."""
    quick = ["--set", "train.epochs=1", "--set", "data.limit=4", "--set", "data.split.k=2"]
    quick += ["--set", "model.input_px=64", "--set", "evaluate.resamples=200"]
    filled = [
        re.sub("^(.*=)?([A-Z]+)$", lambda found: (found[1] or "") + stands_for[found[2]], word)
        for word in words
    ]
    status = call([*filled, *(quick if words[0] == "train" else [])], debug=False)
    assert status == 0, (filled, capsys.readouterr().err)


@pytest.mark.data
def test_commands_on_public_data_run_in_order(data_root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = data_root / "breakhis-200x-224"
    patches = folder / "BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis"
    stands_for = {"FOLDER": str(folder), "PATCHES": str(patches)}
    page = START.partition("## Public data")[2]
    commands = list(_commands(page))
    assert len(commands) >= 3
    for words in commands:
        _run(words, stands_for, capsys)
    assert (tmp_path / "predictions.csv").exists()


@pytest.mark.parametrize("page", [README, START], ids=["README", "get-started"])
def test_the_commands_for_own_images_run_in_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = str(_own_patches(tmp_path / "own"))
    stands_for = {"FOLDER": own, "CLASS": "tumour", "PATCHES": own}
    commands = list(_commands(page.partition("## Your own images")[2].partition("\n## ")[0]))
    assert len(commands) == 3
    for words in commands:
        _run(words, stands_for, capsys)
    assert list(tmp_path.glob("runs/*/report.html"))
