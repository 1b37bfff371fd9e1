"""The wheel, in an environment of its own and without a checkout."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
#: What would lead back to the checkout, or slow a second installation down.
LEFT_OUT = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "EOSIN_DATA"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run(*words, folder):
    env = {key: value for key, value in os.environ.items() if key not in LEFT_OUT}
    env |= {"PIP_CONSTRAINT": str(ROOT / "constraints.txt"), "EOSIN_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a folder with the sdist and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, folder=folder)
    return folder


@pytest.fixture(scope="module")
def eosin(built, tmp_path_factory):
    """Return the command of an empty environment into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=True)
    (wheel,) = built.glob("*.whl")
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[train]", folder=folder)
    shown = run(python, "-c", "import eosin; print(eosin.__file__)", folder=folder)
    assert shown.startswith(str(folder))
    return folder / "bin" / "eosin"


def test_the_sdist_builds_the_wheel_of_the_checkout(built, tmp_path):
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT, folder=tmp_path)
    (ours,), (theirs,) = tmp_path.glob("*.whl"), built.glob("*.whl")
    assert ours.read_bytes() == theirs.read_bytes()


def test_it_runs_the_demo(eosin, tmp_path):
    run(eosin, "--offline", "demo", "-o", tmp_path / "demo", folder=tmp_path)
    assert (tmp_path / "demo" / "report.html").exists()


def test_it_trains_a_folder_and_predicts(eosin, tmp_path):
    random = np.random.default_rng(0)
    for grey, label in ((60, "benign"), (180, "tumour")):
        for patient in range(6):
            folder = tmp_path / "own" / label / f"P{patient}"
            folder.mkdir(parents=True)
            for n in range(3):
                pixels = (grey + random.integers(0, 60, (64, 64, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{n}.png")
    source = [tmp_path / "own", "--positive", "tumour"]
    run(eosin, "--offline", "train", *source, "-o", tmp_path / "run", folder=tmp_path)
    table = tmp_path / "predictions.csv"
    images = tmp_path / "own" / "tumour"
    run(eosin, "--offline", "predict", tmp_path / "run/model", images, "-o", table, folder=tmp_path)
    assert len(pd.read_csv(table)) == 18
