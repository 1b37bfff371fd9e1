"""Folders as they are found: odd names, links, hidden files, images of few pixels."""

import os
import shutil
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import eosin

POSIX = pytest.mark.skipif(os.name == "nt", reason="needs POSIX file systems")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")


def save(path, height=40, width=40, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    with open(path, "wb") as stream:  # noqa: PTH123 (names that are bytes)
        Image.fromarray(pixels).save(stream, format="PNG")


@pytest.fixture
def folder_recipe(recipe_file, images):
    """Write the tiny recipe for the copied class folders; returns its path."""

    def write():
        data = {"dataset": "folder", "root": str(images), "positive": "malignant"}
        return recipe_file(data=data, drop=("options",))

    return write


def is_escaped(name):
    return name.isascii() and "\\x" in name


@POSIX
def test_training_prediction_and_check_see_the_same_files(images, model, command, tmp_path):
    first = next((images / "benign").rglob("*.png"))
    shutil.copytree(images / "benign", tmp_path / "elsewhere")
    (images / "benign" / "linked").symlink_to(tmp_path / "elsewhere")
    (images / "benign" / "loop").symlink_to("..")
    for hidden in (".ipynb_checkpoints", "__MACOSX", ".Trash-1000"):
        (images / "benign" / hidden).mkdir()
        shutil.copy(first, images / "benign" / hidden / "x.png")
    for name in ("._x.png", "Thumbs.db", "x.heic", "x.svs"):
        (images / "benign" / name).write_bytes(b"x")
    Image.open(first).convert("RGB").save(images / "benign" / "x.jfif", format="JPEG")

    made = command("data", "manifest", "folder", images, "-o", tmp_path / "m.csv")
    predicted = command("predict", model, images, "-o", tmp_path / "p.csv")
    checked = command("data", "check", images, "-o", tmp_path / "quality")
    assert [made.status, predicted.status, checked.status] == [0, 0, 0]
    tables = [tmp_path / "m.csv", tmp_path / "p.csv", tmp_path / "quality" / "quality.csv"]
    # A manifest's paths start from its own folder, and links in them are resolved.
    listed = [sorted(map(os.path.realpath, tmp_path / pd.read_csv(t)["path"])) for t in tables]
    assert listed[0] == listed[1] == listed[2]
    assert len([path for path in listed[0] if "elsewhere" in path]) > 0
    for result in (made.out, predicted.err, checked.out):
        assert "3 hidden folders" in result
        assert "1 .heic" in result


def test_training_says_what_it_left_out(folder_recipe, command, images):
    (images / "benign" / "x.heic").touch()
    recipe = folder_recipe()
    result = command("train", recipe, "--plan")
    assert result.status == 0, result.err
    assert "1 .heic" in result.err


@LINUX
def test_names_that_are_not_utf8_are_read_and_escaped(images, model, command, tmp_path):
    folder = os.fsencode(images / "benign")
    save(folder + b"/good\xe9.png")
    with open(folder + b"/bad\xe9.png", "wb") as stream:  # noqa: PTH123
        stream.write(b"no image")
    for table in ("p.csv", "q.parquet"):
        result = command("predict", model, images, "-o", tmp_path / table)
        assert result.status == 1
        assert "1 file" in result.err
    found = pd.read_csv(tmp_path / "p.csv")
    assert command("predict", model, images, "-o", tmp_path / os.fsdecode(b"\xe9.csv")).status == 1
    assert list(pd.read_parquet(tmp_path / "q.parquet")["path"]) == list(found["path"])
    assert sum(map(is_escaped, found["path"])) == 1
    (lacking,) = eosin.predict(model, images, allow_skipped=True).skipped
    assert is_escaped(lacking[0])
    assert is_escaped(lacking[1])
    for options in ([], ["--json"], ["--pseudonymise"]):
        result = command(
            "data", "check", images, "-o", tmp_path / f"q{len(options)}{options}", *options
        )
        assert result.status == 1
    made = command("data", "manifest", "folder", images, "-o", tmp_path / "m.csv")
    assert made.status == 1
    assert "UTF-8" in made.complaint


@LINUX
def test_a_folder_whose_name_is_not_utf8_is_refused_for_training_alone(
    images, model, command, tmp_path, recipe_file
):
    folder = tmp_path / os.fsdecode(b"r\xe9")
    shutil.copytree(images, folder)
    assert command("predict", model, folder, "-o", tmp_path / "p.csv").status == 0
    made = command("data", "manifest", "folder", folder, "-o", tmp_path / "m.csv")
    assert "UTF-8" in made.complaint
    table = folder / "m.csv"
    rows = [f"{path.relative_to(folder)},{path.parts[-3]}" for path in folder.rglob("*.png")]
    table.write_text("\n".join(["path,label", *rows]))
    data = {"manifest": str(tmp_path / "x.csv"), "positive": "malignant"}
    recipe = recipe_file(data=data, drop=("dataset", "options"))
    result = command("train", recipe, "--plan", "--set", f"data.manifest={table}")
    assert result.status == 2  # a value of the recipe, which has to be text
    assert "UTF-8" in result.complaint


@POSIX
def test_marks_of_manifests_in_names_hinder_neither_prediction_nor_check(
    images, model, command, tmp_path
):
    save(images / "benign" / "left|right.png")
    save(images / "benign" / "a#1.png", seed=1)
    assert command("predict", model, images, "-o", tmp_path / "p.csv").status == 0
    assert command("data", "check", images, "-o", tmp_path / "q").status == 0
    predicted = set(pd.read_csv(tmp_path / "p.csv")["path"])
    assert {str(images / "benign" / name) for name in ("left|right.png", "a#1.png")} <= predicted
    assert predicted == set(pd.read_csv(tmp_path / "q" / "quality.csv")["path"])
    hidden = command("predict", model, images, "-o", tmp_path / "h.csv", "--pseudonymise")
    assert hidden.status == 0
    assert not pd.read_csv(tmp_path / "h.csv")["path"].str.contains("a#1|right", regex=True).any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 40), (40, 3), (1, 50), (3, 3), (2, 2)])
def test_an_image_of_few_pixels_ends_nothing(
    images, model, command, tmp_path, height, width, folder_recipe
):
    save(images / "benign" / "few.png", height, width)
    assert command("predict", model, images, "-o", tmp_path / "p.csv").status == 0
    assert command("data", "check", images, "-o", tmp_path / "q").status == 0
    manifest = tmp_path / "m.csv"
    assert command("data", "manifest", "folder", images, "-o", manifest).status == 0
    assert command("data", "audit", manifest, "--quick").status == 0
    recipe = folder_recipe()
    assert command("train", recipe, "--plan").status == 0


@POSIX
def test_a_folder_that_cannot_be_listed_is_named_and_the_rest_is_done(
    images, model, command, tmp_path
):
    locked = images / "benign" / next(os.walk(images / "benign"))[1][0]
    lines = (
        ["predict", model, images, "-o", tmp_path / "p.csv"],
        ["data", "check", images],
        ["data", "manifest", "folder", images, "-o", tmp_path / "m.csv"],
    )
    for line in lines:  # as an administrator, so that everything is imported
        assert command(*line).status == 0
    (tmp_path / "m.csv").unlink()
    n_files = len(pd.read_csv(tmp_path / "p.csv"))
    n_locked = len(list(locked.rglob("*.png")))
    with as_somebody(tmp_path, locked):
        predicted, checked, made = (command(*line) for line in lines)
    assert [predicted.status, checked.status, made.status] == [1, 1, 1]
    assert len(pd.read_csv(tmp_path / "p.csv")) == n_files - n_locked
    assert str(locked) in checked.out
    assert str(locked) in made.complaint


@contextmanager
def as_somebody(place, locked):
    """Work as a user to whom one folder is closed, in a place of their own."""
    locked.chmod(0)
    if os.geteuid() != 0:
        try:
            yield
        finally:
            locked.chmod(0o700)
        return
    for above in (place, *place.parents[:3]):  # pytest's own folders are the user's alone
        above.chmod(above.stat().st_mode | 0o055)
    place.chmod(0o777)
    for path in place.glob("*.csv"):
        path.chmod(0o666)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        locked.chmod(0o700)
