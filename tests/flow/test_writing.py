"""A full disk, a read-only folder, an occupied one: one line, no half file, and a way on."""

import errno
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tests.facts import tells

from eosin.artifacts.metrics import read_metrics

FULL = OSError(errno.ENOSPC, "No space left on device")


def whole(run):
    """Assert that every file of a folder that stopped half-way is a whole one."""
    for path in run.rglob("*"):
        if not path.is_file():
            continue
        assert ".tmp" not in path.name, path
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".safetensors":
            load_file(path)
        if path.suffix == ".ckpt":
            torch.load(path, weights_only=True)
        if path.suffix in {".csv", ".html", ".toml"}:
            assert path.read_bytes().endswith((b"\n", b">")), path


def same_result(run, other):
    assert read_metrics(run / "metrics.json") == read_metrics(other / "metrics.json")
    own, theirs = (pd.read_csv(folder / "predictions.csv", dtype=str) for folder in (run, other))
    for table, folder in ((own, run), (theirs, other)):
        table["path"] = [str((folder / path).resolve()) for path in table["path"]]
    pd.testing.assert_frame_equal(own, theirs)


@pytest.mark.parametrize(
    "name",
    ["manifest.csv", "last.ckpt", "model.onnx", "model.safetensors", "metrics.json", "report.html"],
)
def test_a_full_disk_stops_the_run_and_freed_space_lets_it_go_on(
    command, recipe_file, tiny_run, tmp_path, monkeypatch, name
):
    rename = Path.replace

    def refuse(self, target):
        if Path(target).name == name:
            raise FULL
        return rename(self, target)

    run = tmp_path / "run with space"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        result = command("train", recipe_file(), "-o", run)
    assert result.status == 1
    assert f"could not write {run}" in result.complaint
    assert "no space left on device. Free some space. Then resume: eosin" in result.complaint
    assert result.complaint.endswith(f"--resume '{run}'")
    assert not list(run.rglob(name))
    whole(run)
    # A model without its temperature and threshold must not look like one.
    assert (run / "model" / "model.json").exists() == (name in {"metrics.json", "report.html"})
    if name in {"manifest.csv", "model.onnx"}:
        return  # the others go on in the same way
    result = command("train", "--resume", run)
    assert result.status == 0, result.err
    assert (run / "report.html").exists()
    same_result(run, tiny_run)


@pytest.mark.drawn  # figures take the room of 700 kB
@pytest.mark.parametrize("left", [40, 700])
def test_a_disk_that_is_really_full(command, recipe_file, tiny_run, small_disk, left):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2**21 - (left + 8) * 1024))
    run = small_disk / "run"
    result = command("train", recipe_file(), "-o", run)
    assert result.status == 1
    assert "no space left on device" in result.complaint
    assert "Free some space" in result.complaint
    whole(run)
    assert not (run / "metrics.json").exists() or left > 500
    ballast.unlink()
    resumable = (run / "recipe.toml").exists()
    assert resumable == ("--resume" in result.complaint)
    result = command("train", *(("--resume", run) if resumable else (recipe_file(), "-o", run)))
    if result.status == 1:
        # The figures of a report alone are larger than this disk.
        assert "no space left on device" in result.complaint
        assert (run / "metrics.json").exists()
        whole(run)
        run = shutil.move(run, small_disk.parent / "moved")
        assert command("train", "--resume", run).status in {0, 1}
        return
    assert result.status == 0
    same_result(run, tiny_run)


def test_other_verbs_on_a_full_disk(command, tiny_run, images, small_disk):
    (small_disk / "here").mkdir()
    (small_disk / "ballast").write_bytes(bytes(2**21))
    for line in (
        ("predict", tiny_run, images, "-o", small_disk / "here" / "p.csv"),
        ("evaluate", tiny_run, "-o", small_disk / "here"),
        ("data", "manifest", "folder", images, "-o", small_disk / "here" / "m.csv"),
    ):
        result = command(*line)
        assert result.status == 1, line
        assert "no space left on device. Free some space" in result.complaint
        whole(small_disk / "here")
        if line[0] != "evaluate":
            assert "or choose another folder with -o" in result.complaint
            assert command(*line[:-1], small_disk.with_name("p.csv")).status == 0
            small_disk.with_name("p.csv").unlink()
        for made in (small_disk / "here").iterdir():
            made.unlink()


def test_a_full_cache_is_moved_with_its_own_variable(
    command, recipe_file, small_disk, tmp_path, monkeypatch
):
    monkeypatch.setenv("EOSIN_CACHE", str(small_disk / "cache"))
    (small_disk / "ballast").write_bytes(bytes(2**21 - 4096))
    (small_disk / "more").write_bytes(bytes(4096))
    result = command("train", recipe_file(), "-o", tmp_path / "run")
    assert result.status == 1
    assert tells(result.complaint, small_disk, "EOSIN_CACHE")
    assert "-o" not in result.complaint.split()
    monkeypatch.setenv("EOSIN_CACHE", str(tmp_path / "cache"))
    assert command("train", recipe_file(), "-o", tmp_path / "run", "--plan").status == 0


def watch_images(monkeypatch, cache):
    """Return what images are opened from now on, of which none lies in the cache."""
    opened, plain = [], Image.open

    def note(*arguments, **options):
        opened.append(arguments[0])
        return plain(*arguments, **options)

    monkeypatch.setenv("EOSIN_CACHE", str(cache))
    monkeypatch.setattr(Image, "open", note)
    return opened


def test_a_read_only_folder_is_refused_before_the_work(
    command, recipe_file, tiny_run, images, tmp_path, read_only, monkeypatch
):
    place = tmp_path / "read only"
    place.mkdir()
    shutil.copytree(tiny_run, place / "run")
    (place / "run" / "metrics.json").unlink()
    read_only(place)
    opened = watch_images(monkeypatch, tmp_path / "cache")
    for line in (
        ("train", recipe_file(), "-o", place / "new"),
        ("train", "--resume", place / "run"),
        ("predict", tiny_run, images, "-o", place / "p.csv"),
        ("predict", tiny_run, images, "-o", place / "new" / "p.csv"),
        ("evaluate", tiny_run, "-o", place / "new"),
        ("demo", "-o", place / "new"),
        ("data", "manifest", "folder", images, "-o", place / "m.csv"),
        ("report", place / "run"),
    ):
        result = command(*line)
        assert result.status == 1, line
        if line[0] != "report":
            assert "read-only file system" in result.complaint or "permission" in result.complaint
            assert "choose another" in result.complaint
    assert opened == []
    assert sorted(path.name for path in place.iterdir()) == ["run"]
    line = ("data", "manifest", "folder", images, "-o", tmp_path / "m.csv")
    assert command(*line).status == 0


def test_an_occupied_folder_is_refused_before_the_work(
    command, recipe_file, tiny_run, tmp_path, monkeypatch
):
    opened = watch_images(monkeypatch, tmp_path / "cache")
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for line in (("train", recipe_file()), ("evaluate", tiny_run), ("demo",)):
        result = command(*line, "-o", tmp_path / "occupied")
        assert result.status == 1
        assert "is not empty. Choose another folder with -o" in result.complaint
        result = command(*line, "-o", tmp_path / "file")
        assert result.status == 1
        assert "is a file, not a folder" in result.complaint
        result = command(*line, "-o", tmp_path / "file" / "below")
        assert result.status == 1
        assert "not a directory" in result.complaint
    assert opened == []
    assert (tmp_path / "occupied" / "notes.txt").read_text() == "mine"
