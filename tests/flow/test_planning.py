"""`train --plan` beside what a training then does, needs and takes."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tests.facts import tells

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import read_history
from eosin.commands.train import divide, plan
from eosin.experiment.plan import make_plan
from eosin.experiment.prepare import prepare
from eosin.experiment.run import fit_inputs
from eosin.experiment.writer import Stopwatch, open_experiment
from eosin.recipe import recipe_from_dict
from eosin.reporting import write_report

DISK = 0.25  # of what a run takes
#: A busy machine may be this many times as fast or as slow a second later.
TIME = 4.0


@pytest.fixture
def planned(tiny_values, tiny_phantom, tmp_path):
    """Plan the tiny recipe, then train it without evaluating.

    Returns plan, run folder, and the seconds that it took: by the clock, and of the processor.
    """

    def run(**train):
        values = tiny_values(tiny_phantom)
        recipe = recipe_from_dict({**values, "train": {**values["train"], **train}})
        prepared = prepare(recipe)
        division = divide(recipe, prepared)
        experiment = open_experiment(recipe, prepared, Stopwatch())
        found = make_plan(experiment, division.samples, division.report, 1)
        folder = RunFolder(tmp_path / f"run {len(list(tmp_path.iterdir()))}")
        start, worked = time.perf_counter(), time.process_time()
        inputs = fit_inputs(experiment, division.samples)
        experiment.backend.train(recipe, experiment.start, inputs, folder)
        return found, folder, (time.perf_counter() - start, time.process_time() - worked)

    return run


@pytest.mark.parametrize(
    ("batch_size", "evaluations"),
    [
        (8, 1),
        (7, 3),  # five batches: an evaluation every second one, two an epoch
        (29, 1),  # of 30 images: the last one joins its neighbours
        (4, 5),  # eight batches: an evaluation every second one, four an epoch
        (10, 50),  # more evaluations than batches
    ],
)
def test_steps_and_evaluations_are_those_of_the_training(planned, batch_size, evaluations):
    found, run, _ = planned(batch_size=batch_size, evaluations_per_epoch=evaluations)
    assert found.split.parts["train"].n_images == 30
    history = read_history(run.history)
    assert found.evaluations == len(history)
    interval = history["step"][0]
    assert found.steps - interval < history["step"].max() <= found.steps


@pytest.mark.parametrize("batch_norm", ["running", "recalibrated"])
def test_the_time_is_that_of_the_training(planned, batch_norm):
    section = {"batch_size": 4, "evaluations_per_epoch": 4, "batch_norm": batch_norm}
    found, _, (seconds, worked) = planned(epochs=40, **section)
    # Where others want the processor the clock runs on; the work does not grow.
    assert found.seconds / TIME < seconds
    assert worked < found.seconds * TIME


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def drawn(tmp_path):
    """Return a function from a shared run to a copy with its figures, which tests leave blank."""

    def draw(run):
        copy = shutil.copytree(run, tmp_path / "drawn")
        for page in sorted(copy.rglob("report.html"), reverse=True):
            write_report(page.parent)
        return copy

    return draw


@pytest.mark.drawn
@pytest.mark.parametrize("name", ["tiny_run", "folds_run"])
def test_the_disk_is_that_of_the_run(name, request, drawn):
    run = request.getfixturevalue(name)
    found, _ = plan(run / "recipe.toml")
    assert found.run_bytes == pytest.approx(size_of(drawn(run)), rel=DISK)
    # 60 images of 64 px, three channels of a byte.
    assert found.cache_bytes == 60 * 64 * 64 * 3


def test_finished_trainings_keep_no_checkpoints_of_their_networks(folds_run):
    kept = {path.name for path in folds_run.rglob("checkpoints/*")}
    assert kept == {"inputs.parquet"}


def test_folds_need_the_checkpoints_of_one_training_at_a_time(tiny_run, folds_run):
    one, folds = (plan(run / "recipe.toml")[0] for run in (tiny_run, folds_run))
    assert folds.checkpoint_bytes == one.checkpoint_bytes > 4 * one.params


def test_of_many_images_the_tables_count(tiny_values, tiny_phantom):
    values = tiny_values(tiny_phantom)
    recipe = recipe_from_dict(values)
    prepared = prepare(recipe)
    division = divide(recipe, prepared)
    experiment = open_experiment(recipe, prepared, Stopwatch())
    once = division.samples
    many = replace(once, frame=pd.concat([once.frame] * 100, ignore_index=True))
    plans = [make_plan(experiment, samples, division.report, 1) for samples in (once, many)]
    gain = plans[1].run_bytes - plans[0].run_bytes
    assert 99 * 60 * 60 < gain < 99 * 60 * 400  # bytes an image: a line or two of text


@pytest.mark.drawn
def test_the_lines_say_it_for_every_fold(command, folds_run, drawn):
    result = command("train", folds_run / "recipe.toml", "--plan")
    assert result.status == 0
    lines = dict(line.split(maxsplit=1) for line in result.out.splitlines()[:10])
    assert list(lines) == [
        *("data", "classes", "patients", "split", "model", "device", "training"),
        *("time", "memory", "disk"),
    ]
    assert tells(lines["data"], "60 images", "10 patients", "0 unreadable")
    assert tells(lines["classes"], "benign 30", "malignant 30", "malignant")
    assert lines["patients"] == "10"
    assert lines["split"].startswith("folds: 0-0 ")
    assert "0-1 " in lines["split"]
    found, _ = plan(folds_run / "recipe.toml")
    assert found.trainings == 2
    assert lines["training"].startswith(f"2 networks: up to {found.steps // 2} steps")
    history = [read_history(folds_run / "folds" / name / "history.csv") for name in ("0-0", "0-1")]
    assert found.steps == pytest.approx(sum(h["step"].max() for h in history), abs=4)
    mebibytes = size_of(drawn(folds_run)) / 2**20
    said = float(lines["disk"].split()[1])
    assert abs(said - mebibytes) < DISK * mebibytes + 1


def test_a_run_can_be_planned_and_nothing_is_written(command, tiny_run):
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    result = command("train", "--resume", tiny_run, "--plan")
    assert result.status == 0
    assert "1 network: up to 8 steps" in result.out
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before
    result = command("train", "--plan")
    assert "no recipe was given" in result.complaint
    result = command("train", "--plan", "--resume", tiny_run / "none")
    assert "is not a run folder" in result.complaint


# What is held by the program that starts another is not what that one needs.
BIG = """
import subprocess, sys
ballast = b"x" * 2**30
sys.exit(subprocess.run([sys.executable, "-m", "eosin", *sys.argv[1:]]).returncode)
"""
MEASURED = """
import sys
from eosin.__main__ import call
assert call(sys.argv[1:], debug=True) == 0
status = open("/proc/self/status").read().splitlines()
print("peak", next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="this system tells no peak that starts anew"
)
def test_the_memory_is_that_of_the_run(process, recipe_file, tmp_path):
    recipe = recipe_file()
    planned = process(BIG, "train", recipe, "--plan", timeout=900)
    (line,) = [line for line in planned.out.splitlines() if line.startswith("memory")]
    trained = process(MEASURED, "train", recipe, "-o", tmp_path / "run", timeout=900)
    assert trained.status == 0, trained.err
    mebibytes = int(trained.out.split("peak")[1]) / 1024
    assert float(line.split()[2].replace(",", "")) == pytest.approx(mebibytes, rel=0.2)
