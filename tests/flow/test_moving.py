"""Runs whose images, or whose folder, were moved after the training."""

import re
import shlex
import shutil

import pandas as pd
import pytest
from PIL import Image

import eosin
from eosin.artifacts.integrity import list_run_files
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.metrics import read_metrics
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import read_document
from eosin.recipe import read_recipe, recipe_from_dict


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_values, tiny_phantom, tiny_run):
    """A folder with a run and the images that it was trained on; copied, never changed."""
    folder = tmp_path_factory.mktemp("moving")
    for name in ("benign", "malignant"):
        shutil.copytree(tiny_phantom / name, folder / "images" / name)
    values = tiny_values(folder / "images")
    values["data"] |= {"dataset": "folder", "positive": "malignant", "options": {}}
    values["train"] |= {"epochs": 1}
    eosin.train(recipe_from_dict(values), output=folder / "run")
    return folder


@pytest.fixture
def place(trained, tmp_path):
    """A copy of them whose recipe names the copied images."""
    folder = tmp_path / "here"
    shutil.copytree(trained, folder)
    for name in ("recipe.toml", "environment.json"):
        file = folder / "run" / name
        file.write_text(file.read_text().replace(str(trained), str(folder)))
    list_run_files(RunFolder(folder / "run"))
    return folder


def resume_hint(result):
    """The command that an error offers."""
    return shlex.split(re.search(r"eosin (train --resume .*)", result.complaint)[1])


def test_a_run_whose_images_were_moved_is_shown_where_they_are(command, place, tmp_path):
    run = place / "run"
    (place / "images").rename(tmp_path / "else")
    result = command("evaluate", run, "-o", tmp_path / "no")
    assert result.status == 1
    typed = [word.replace("FOLDER", str(tmp_path / "else")) for word in resume_hint(result)]
    before = read_metrics(run / "metrics.json")
    assert command(*typed).status == 0
    assert command("evaluate", run, "-o", tmp_path / "again").status == 0
    assert read_metrics(tmp_path / "again" / "metrics.json")["test"] == before["test"]
    # Every later verb finds them.
    assert read_recipe(run / "recipe.toml").data.root == str(tmp_path / "else")
    assert read_document(run / "environment.json", Environment).data_root == str(tmp_path / "else")
    for name in ("manifest.csv", "predictions.csv"):
        assert all((run / path).is_file() for path in pd.read_csv(run / name)["path"])
    assert command("train", run / "recipe.toml", "--plan").status == 0


def test_images_in_a_folder_of_another_case_are_found_by_the_hint(command, place, tmp_path):
    run, images = place / "run", place / "images"
    if (place / "IMAGES").exists():
        pytest.skip("this file system does not distinguish case")
    images.rename(place / "Images")
    result = command("evaluate", run, "-o", tmp_path / "no")
    assert result.status == 1
    typed = [word.replace("FOLDER", str(place / "Images")) for word in resume_hint(result)]
    result = command(*typed)
    assert result.status == 0, result.err
    assert command("evaluate", run, "-o", tmp_path / "again").status == 0


def test_a_stopped_run_goes_on_with_images_in_another_place(command, place, tmp_path):
    run = place / "run"
    (run / "metrics.json").unlink()
    (place / "images").rename(tmp_path / "else")
    result = command("train", "--resume", run)
    assert "--set data.root=FOLDER" in result.complaint
    result = command("train", "--resume", run, "--set", f"data.root={tmp_path / 'else'}")
    assert result.status == 0, result.err
    assert command("train", "--resume", run).status == 0


def test_other_images_in_the_new_place_are_refused(command, place, tmp_path):
    (place / "images").rename(tmp_path / "else")
    first = min((tmp_path / "else").rglob("*.png"))
    Image.new("RGB", (64, 64)).save(first)
    line = ("--resume", place / "run", "--set", f"data.root={tmp_path / 'else'}")
    result = command("train", *line)
    assert result.status == 1
    assert first.name in result.complaint
    assert read_recipe(place / "run" / "recipe.toml").data.root == str(place / "images")
    result = command("train", *line, "--set", "train.lr=0.5")
    assert result.status == 2
    assert "train.lr" in result.complaint


def test_what_has_changed_is_named_before_the_split_is_drawn(command, place):
    (place / "run" / "metrics.json").unlink()
    one = min((place / "images").rglob("*.png"))
    new = one.parents[1] / "P99" / "copy.png"
    new.parent.mkdir()
    shutil.copy(one, new)
    result = command("train", "--resume", place / "run")
    assert result.status == 1
    assert "P99/copy.png is new" in result.complaint


def test_a_run_folder_that_was_moved_alone_finds_its_images(command, place, tmp_path):
    run = tmp_path / "far" / "away" / "run"
    run.parent.mkdir(parents=True)
    (place / "run").rename(run)
    result = command("evaluate", run, "-o", tmp_path / "again")
    assert result.status == 0, result.err
    before = read_metrics(run / "metrics.json")
    assert read_metrics(tmp_path / "again" / "metrics.json")["test"] == before["test"]
    other = tmp_path / "other"
    line = ("--set", "seed=9", "--set", "data.split.protocol=column")
    line += ("--set", f"data.manifest={tmp_path / 'again' / 'split.csv'}")
    table = pd.read_csv(run / "manifest.csv", dtype=str)
    table["path"] = [str((place / "run" / path).resolve()) for path in table["path"]]
    table.to_csv(tmp_path / "again" / "split.csv", index=False)
    result = command("train", run / "recipe.toml", *line, "-o", other)
    assert result.status == 0, result.err
    assert command("compare", run, other, "-o", tmp_path / "compared").status == 0
    assert command("ensemble", run, other, "-o", tmp_path / "joined").status == 0
    assert "moved" not in command("train", "--resume", run).err
    assert all((run / path).is_file() for path in pd.read_csv(run / "manifest.csv")["path"])


def test_folds_that_were_moved_find_their_images(command, folds_run, tmp_path):
    run = shutil.copytree(folds_run, tmp_path / "far" / "away" / "run")
    assert command("evaluate", run, "--split", "oof", "-o", tmp_path / "again").status == 0
    assert command("train", "--resume", run).status == 0
    for folder in (run, *(run / "folds").iterdir()):
        assert all(
            (folder / path).is_file() for path in pd.read_csv(folder / "manifest.csv")["path"]
        )


def test_folds_that_a_killed_process_did_not_reach_follow_later(command, folds_run, tmp_path):
    run = shutil.copytree(folds_run, tmp_path / "far" / "away" / "run")
    assert command("train", "--resume", run).status == 0
    fold = sorted((run / "folds").iterdir())[-1]
    for name in ("manifest.csv", "predictions.csv"):
        shutil.copy(folds_run / "folds" / fold.name / name, fold / name)
    assert command("train", "--resume", run).status == 0
    for name in ("manifest.csv", "predictions.csv"):
        assert all((fold / path).is_file() for path in pd.read_csv(fold / name)["path"])
