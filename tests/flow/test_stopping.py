"""Ctrl-C and a killed process in mid-epoch: what was finished is kept, and resuming goes on."""

import importlib.util
import json
import shlex
import shutil
import signal

import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file
from tests.facts import same_history, tells

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.metrics import read_metrics
from eosin.experiment.resume import work_alone
from eosin.experiment.run import fit_split
from eosin.images.bank import load_bank
from eosin.reporting import write_report

# Sends a signal to itself in the second epoch's second step, where last.ckpt is of the first.
STOPPED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
from eosin.training.pytorch import TorchLearner
begin, step = TorchLearner.begin_epoch, TorchLearner.step
def note(self, epoch):
    self.left = 2 if epoch == 1 else None
    begin(self, epoch)
def stop(self, batch, number):
    if self.left is not None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    return step(self, batch, number)
TorchLearner.begin_epoch, TorchLearner.step = note, stop
from eosin.__main__ import run
run(sys.argv[2:])
"""


def same_weights(run, other):
    first, second = (load_file(folder / "model" / "model.safetensors") for folder in (run, other))
    assert first.keys() == second.keys()
    return all(first[name].tobytes() == second[name].tobytes() for name in first)


def resume_and_compare(command, run, uninterrupted):
    assert (run / "checkpoints" / "last.ckpt").exists()
    assert not (run / "metrics.json").exists()
    assert not (run / "model").exists()
    result = command("train", "--resume", run)
    assert result.status == 0, result.err
    assert same_weights(run, uninterrupted)
    assert read_metrics(run / "metrics.json") == read_metrics(uninterrupted / "metrics.json")
    assert same_history(run / "history.csv", uninterrupted / "history.csv")
    assert not list(run.rglob(".*"))


def test_ctrl_c_in_mid_epoch(command, process, recipe_file, tiny_run, tmp_path):
    run = tmp_path / "run one"
    result = process(STOPPED, "SIGINT", "train", recipe_file(), "-o", run)
    assert result.status == 130
    go_on = f"eosin train --resume {shlex.quote(str(run))}"
    assert tells(result.complaint, "interrupted", run, go_on)
    resume_and_compare(command, run, tiny_run)
    result = command("train", "--resume", run)
    assert result.status == 0
    assert "is complete" in result.err


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_process_killed_in_mid_epoch(command, process, recipe_file, tiny_run, tmp_path):
    run = tmp_path / "run"
    result = process(STOPPED, "SIGKILL", "train", recipe_file(), "-o", run)
    assert result.status == -signal.SIGKILL
    (run / "checkpoints" / ".last-x.tmp.ckpt").write_bytes(b"half")
    resume_and_compare(command, run, tiny_run)


def test_ctrl_c_while_images_are_read_leaves_nothing(command, recipe_file, tmp_path, stop_at):
    with stop_at(load_bank):
        result = command("train", recipe_file(), "-o", tmp_path / "run")
    assert result.status == 130
    assert "interrupted" in result.complaint
    assert not (tmp_path / "run").exists()


def test_ctrl_c_while_the_report_is_written(command, tiny_run, tmp_path, stop_at):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "report.html").unlink()
    with stop_at(write_report):
        result = command("train", "--resume", run)
    assert result.status == 130
    assert "--resume" in result.complaint
    assert command("train", "--resume", run).status == 0
    assert (run / "report.html").exists()


def test_folds_are_resumed_fold_by_fold(command, folds_run, tmp_path, stop_at, on_entry):
    run = tmp_path / "run"
    with stop_at(fit_split, 2):
        result = command("train", folds_run / "recipe.toml", "-o", run)
    assert result.status == 130
    assert "--resume" in result.complaint
    assert not (run / "metrics.json").exists()
    first = {path: path.stat().st_mtime_ns for path in (run / "folds" / "0-0").rglob("*")}

    trained = []
    with on_entry(fit_split, lambda given: trained.append(given["run"].root.name)):
        result = command("train", "--resume", run)
    assert result.status == 0, result.err
    assert trained == ["0-1"]
    assert "fold 1 of 2: done before" in result.err
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert read_metrics(run / "metrics.json") == read_metrics(folds_run / "metrics.json")
    assert same_weights(run, folds_run)


def test_a_changed_recipe_is_named_and_refused(command, recipe_file, tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    for line in (
        (recipe_file(train={"lr": 0.5}), "--resume", run),
        ("--resume", run, "--set", "train.lr=0.5"),
    ):
        result = command("train", *line)
        assert result.status == 2
        assert "'train.lr' was 0.001, is 0.5" in result.complaint
    result = command("train", "--resume", run, "--set", "model.arguments.hidden_activation=relu")
    assert result.status == 2
    assert "'model.arguments.hidden_activation' was None, is 'relu'" in result.complaint
    result = command("train", recipe_file(), "--resume", tmp_path / "none")
    assert result.status == 1
    assert "is no run folder" in result.complaint


@pytest.fixture
def listed(images, recipe_file, tmp_path):
    """A manifest of the tiny images and its recipe; changed through the function it gives."""
    manifest = tmp_path / "table.csv"
    rows = [
        {"path": str(path.relative_to(tmp_path)), "label": name, "group": path.parent.name}
        for name in ("benign", "malignant")
        for path in sorted((images / name).rglob("*.png"))
    ]

    def change(do=None):
        table = pd.DataFrame(rows)
        (do(table) if do else table).to_csv(manifest, index=False)

    change()
    data = {"manifest": str(manifest), "positive": "malignant"}
    recipe = recipe_file(data=data, train={"epochs": 1}, drop=("dataset", "root", "options"))
    return recipe, change, rows[0]


def test_changed_data_are_named_and_refused(command, listed, tmp_path):
    recipe, change, first = listed
    path, run = first["path"], tmp_path / "run"
    assert command("train", recipe, "-o", run).status == 0
    image = tmp_path / path
    kept = image.read_bytes()

    def result():
        found = command("train", "--resume", run)
        assert found.status == 1
        start = f"eosin: the data have changed since {run} was started: "
        assert found.complaint.startswith(start)
        assert "start a new run" in found.complaint
        return found.complaint.removeprefix(start).partition(". Put")[0]

    for metrics in (True, False):  # a finished run, and one that is not
        if not metrics:
            (run / "metrics.json").unlink()
        change(lambda table: table.iloc[1:])
        assert tells(result(), path, "gone")
        change(lambda t: pd.concat([t, t.iloc[:1].assign(path="images/../" + path)]))
        assert result() == f"images/../{path} is new"
        change(lambda t: pd.concat([t, t.iloc[:1]]))
        assert result() == f"{path} was listed 1 times, is 2"
        change(lambda t: t.assign(label=["malignant", *t["label"][1:]]))
        assert result() == f"the label of {path} was 'benign', is 'malignant'"
        change(lambda t: t.iloc[::-1])
        assert result() == "the rows are in another order"
        change(lambda t: t.assign(split=["train", *[""] * (len(t) - 1)]))
        assert result() == f"the split of {path} was '', is 'train'"
        change(lambda t: t.assign(group=["X", "Y", *t["group"][2:]]))
        assert result() == f"the group of {path} was {first['group']!r}, is 'X' (and 1 more change)"
        change()
        Image.new("RGB", (64, 64)).save(image)
        assert result() == f"the content of {path} is another"
        image.unlink()
        assert tells(result(), path, "gone")
        image.write_bytes(kept)
    (run / "checkpoints" / "inputs.parquet").unlink()
    change(lambda table: table.iloc[1:])
    assert "labels" in result()
    change()
    assert command("train", "--resume", run).status == 0


def as_noted_verbatim(run, **columns):
    """Let a run have noted its table as version 0.1 did: cells as they stand, another sum."""
    notes = run / "checkpoints" / "inputs.parquet"
    pd.read_parquet(notes).assign(**columns).to_parquet(notes, index=False)
    environment = run / "environment.json"
    found = json.loads(environment.read_text())
    environment.write_text(json.dumps({**found, "data_fingerprint": "0" * 64}))


def test_a_run_of_an_earlier_version_goes_on_after_cells_are_cleaned(command, listed, tmp_path):
    recipe, change, _ = listed
    run = tmp_path / "run"

    def number(table):
        names = sorted(table["group"].unique())
        patient = [str(names.index(name) + 1) for name in table["group"]]
        return table.assign(group="", patient=patient, magnification="40x", mpp="0.50", site=" A")

    change(number)
    assert command("train", recipe, "-o", run).status == 0
    noted = pd.read_parquet(run / "checkpoints" / "inputs.parquet")
    assert set(noted["magnification"]) == {"40"}
    floats = noted["patient"] + ".0"
    as_noted_verbatim(run, patient=floats, group=floats, magnification="40x", mpp="0.50", site=" A")
    assert command("train", "--resume", run).status == 0
    (run / "metrics.json").unlink()
    assert command("train", "--resume", run).status == 0
    # Groups that cleaning joins: what is finished stays, what is not would have another split.
    groups = noted["group"].where(noted.index > 0, noted["group"] + " ")
    as_noted_verbatim(run, patient=groups, group=groups)
    assert command("train", "--resume", run).status == 0
    (run / "metrics.json").unlink()
    result = command("train", "--resume", run)
    assert result.status == 1
    assert f"the group of {noted['path'][0]} was '{groups[0]}', is" in result.complaint


def test_two_processes_do_not_work_in_one_folder(command, tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "metrics.json").unlink()
    before = sorted(path.stat().st_mtime_ns for path in run.rglob("*"))
    with work_alone(RunFolder(run)):
        result = command("train", "--resume", run)
    assert result.status == 1
    assert tells(result.complaint, "another process", run)
    assert sorted(path.stat().st_mtime_ns for path in run.rglob("*")) == before
    assert command("train", "--resume", run).status == 0


def test_a_fold_is_resumed_with_its_run(command, folds_run, tmp_path):
    run = tmp_path / "run one"
    shutil.copytree(folds_run, run)
    result = command("train", "--resume", run / "folds" / "0-1")
    assert result.status == 1
    go_on = f"Go on with: eosin train --resume {shlex.quote(str(run))}"
    assert result.complaint == (
        f"eosin: {run / 'folds' / '0-1'} is a fold of the run {run}. {go_on}"
    )


def test_a_folder_killed_before_its_recipe_was_written_can_be_used(command, recipe_file, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".recipe-x1.tmp.toml").write_text("half")
    (run / ".training.lock").touch()
    (run / "thesis.txt").write_text("mine")
    result = command("train", recipe_file(), "-o", run)
    assert "is not empty" in result.complaint
    assert len(list(run.iterdir())) == 3  # nothing of a folder in use is touched
    (run / "thesis.txt").unlink()
    assert command("train", recipe_file(train={"epochs": 1}), "-o", run).status == 0
    assert not list(run.glob(".*"))


def test_a_missing_logger_is_told_before_any_image_is_read(
    command, recipe_file, tmp_path, monkeypatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "mlflow" else find(name)
    )
    recipe = recipe_file(train={"loggers": ["tensorboard", "mlflow"]})
    for option in (("-o", tmp_path / "run"), ("--plan",)):
        result = command("train", recipe, *option)
        assert result.status == 1
        assert tells(result.err, "train.loggers", "mlflow", "pip install 'eosin[logging]'")
        assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()
    result = command("train", recipe_file(train={"loggers": ["mlfow"]}))
    assert result.status == 2
    assert "'train.loggers" in result.complaint
