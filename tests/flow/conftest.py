"""Fixtures that run the command in this process: importing PyTorch anew takes seconds."""

import copy
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w
from PIL import Image

import eosin
from eosin.__main__ import call as call_command
from eosin.recipe import recipe_from_dict


@dataclass(frozen=True)
class Result:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def complaint(self):
        """The one line of cause and hint."""
        lines = [line for line in self.err.splitlines() if line.startswith("eosin: ")]
        assert len(lines) == 1, self.err
        assert self.err.splitlines()[-1] == lines[0], self.err
        assert "Traceback" not in self.err
        assert "internal error" not in lines[0]
        return lines[0]


@pytest.fixture
def command(capsys):
    """Run the command in this process."""

    def call(*arguments, debug=False):
        capsys.readouterr()
        status = call_command([str(argument) for argument in arguments], debug=debug)
        return Result(status, *capsys.readouterr())

    return call


@pytest.fixture
def process():
    """Run ``python -c CODE ARGUMENT…`` in a new process."""

    def run(code, *arguments, **options):
        line = [sys.executable, "-c", code, *map(str, arguments)]
        options = {"capture_output": True, "text": True, "timeout": 120, **options}
        done = subprocess.run(line, **options)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def recipe_file(tiny_values, tiny_phantom, tiny_run, tmp_path):
    """Write the tiny recipe (of ``tiny_run``) with changed sections; return its path."""

    def write(folder=tmp_path, name="recipe.toml", *, drop=(), **sections):
        values = copy.deepcopy(tiny_values(tiny_phantom))
        for section, changes in sections.items():
            values[section] = {**values.get(section, {}), **changes}
        for key in drop:
            values["data"].pop(key)
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tomli_w.dumps(values).encode())
        return path

    return write


@pytest.fixture
def images(tmp_path, tiny_phantom, tiny_run):
    """Return a copy of the tiny phantom's class folders, which may be damaged."""
    folder = tmp_path / "images"
    for name in ("benign", "malignant"):
        shutil.copytree(tiny_phantom / name, folder / name)
    return folder


@pytest.fixture
def model(tiny_run, tmp_path):
    """Return a copy of the tiny model folder, which may be damaged."""
    return Path(shutil.copytree(tiny_run / "model", tmp_path / "model"))


@pytest.fixture(scope="session")
def folds_run(once, tiny_values, tiny_phantom):
    """Return a run with two folds; copy it before changing it."""
    values = tiny_values(tiny_phantom)
    values["data"] = {**values["data"], "split": {"protocol": "folds", "k": 2, "val": 0.4}}
    # So large that the two patients of a class in the other fold suffice to fit abstention.
    values["evaluate"] = {**values["evaluate"], "alpha": 0.45}
    recipe = recipe_from_dict(values)
    return once("folds", lambda folder: eosin.train(recipe, output=folder / "folds")) / "folds"


@contextmanager
def mounted(folder, options):
    """Mount a small file system; skip if only an administrator may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("mount") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs Linux and an administrator")
    line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.fixture
def small_disk(tmp_path):
    """Mount an empty disk of 2 MiB."""
    with mounted(tmp_path / "disk", "size=2m") as folder:
        yield folder


def truncate(path):
    """Cut an image in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def cut():
    """Return a function that cuts an image file in half, as PNG or as JPEG."""

    def cut_file(path, *, jpeg=False):
        if jpeg:
            target = path.with_suffix(".jpg")
            Image.open(path).save(target, quality=95)
            path.unlink()
            path = target
        truncate(path)
        return path

    return cut_file
