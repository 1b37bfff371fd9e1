"""Loggers beside history.csv: each row once, whatever was killed in between."""

import importlib.util
import os
import socket

import numpy as np
import pytest

from eosin.artifacts.predictions import HISTORY_COLUMNS, read_history
from eosin.core.errors import MissingPartError, OutputError, UsageError
from eosin.training.loggers import RowLogs, check_loggers

BOTH = ("tensorboard", "mlflow")
SINGLE = 1e-6  # TensorBoard keeps single precision


class Cut(Exception):  # noqa: N818 -- a power cut is no error
    """The power fails."""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """MLflow's variables are set while a test runs, and no longer."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.setenv(name, "true")


def read_tensorboard(run):
    """``{name: [(step, value), …]}`` as TensorBoard shows it."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run.logs / "tensorboard")).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def mlflow_run(run):
    """MLflow's client and the only run of its store."""
    client = pytest.importorskip("mlflow").MlflowClient((run.logs / "mlflow").as_uri())
    (experiment,) = [e for e in client.search_experiments() if e.name == "eosin"]
    (found,) = client.search_runs([experiment.experiment_id])
    return client, found


def read_mlflow(run):
    """``{name: [(step, value), …]}`` from MLflow's store."""
    client, found = mlflow_run(run)
    return {
        name: [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, name)]
        for name in found.data.metrics
    }


def assert_logged(run, *, tolerance=SINGLE):
    """Both logs hold every row of the history once, in order."""
    history = read_history(run.history)
    for read in (read_tensorboard, read_mlflow):
        logged = read(run)
        assert set(logged) == set(HISTORY_COLUMNS) - {"step", "seconds"}
        for name, points in logged.items():
            known = history[history[name].notna()]
            assert [step for step, _ in points] == list(known["step"]), (read, name)
            np.testing.assert_allclose([v for _, v in points], known[name], rtol=tolerance)


def test_every_row_is_logged_with_its_step(train_tiny):
    _, run = train_tiny("a run é#1", epochs=2, evaluations_per_epoch=2, loggers=BOTH)
    assert_logged(run)
    _, found = mlflow_run(run)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "a run é#1")
    # Neither the user's name nor a path of this machine.
    assert set(found.data.tags) == {"mlflow.runName"}


def test_without_loggers_there_are_no_logs(train_tiny):
    _, run = train_tiny("a", epochs=1)
    assert not run.logs.exists()


@pytest.mark.parametrize("minutes", [0, 5])
@pytest.mark.parametrize("cuts", [(1,), (3,), (6, 1), (2, 4)])
def test_a_resumed_training_goes_on_in_the_same_logs(train_tiny, minutes, cuts):
    section = {"epochs": 3, "evaluations_per_epoch": 3, "loggers": BOTH}
    section["checkpoint_minutes"] = minutes
    for cut in cuts:
        rows = []

        def listen(row, rows=rows, cut=cut):
            rows.append(row)
            if len(rows) == cut:
                raise Cut

        with pytest.raises(Cut):
            train_tiny("cut", on_row=listen, **section)
    first = train_tiny.folder("cut").logs / "mlflow-run.txt"
    kept = first.read_text()
    _, run = train_tiny("cut", **section)
    assert_logged(run)
    assert first.read_text() == kept
    assert mlflow_run(run)[1].info.status == "FINISHED"
    train_tiny("cut", **section)  # a finished training: nothing is logged twice
    assert_logged(run)


def rows(count):
    return [{"step": n, "loss": 1.0 / n, "val_auc": None} for n in range(1, count + 1)]


def test_half_files_do_not_break_a_resume(train_tiny):
    run = train_tiny.folder("a")
    with RowLogs(BOTH, run) as logs:
        logs.open([])
        for row in rows(3):
            logs.add(row)
    (events,) = (run.logs / "tensorboard").iterdir()
    events.write_bytes(events.read_bytes()[:-7])
    (metric,) = (run.logs / "mlflow").rglob("loss")
    metric.write_text(metric.read_text() + "17")
    with RowLogs(BOTH, run) as logs:
        logs.open(rows(2))
        logs.add(rows(3)[2])
    expected = [(row["step"], pytest.approx(row["loss"])) for row in rows(3)]
    assert read_mlflow(run)["loss"] == expected
    assert read_tensorboard(run)["loss"] == expected


@pytest.mark.parametrize("damage", ["note", "store", "meta"])
def test_a_half_made_store_is_made_anew(train_tiny, damage):
    run = train_tiny.folder("a")
    with RowLogs(["mlflow"], run) as logs:
        logs.open(rows(2))
    assert mlflow_run(run)[1].info.status == "KILLED"
    if damage == "note":  # killed after the store was made and before its name was noted
        (run.logs / "mlflow-run.txt").unlink()
    for path in [*(run.logs / "mlflow").rglob("meta.yaml")]:
        if damage == "store":
            path.unlink()
        elif damage == "meta":
            path.write_text("artifact_lo")
    with RowLogs(["mlflow"], run) as logs:
        logs.finish(rows(2))
    assert read_mlflow(run) == {"loss": [(1, 1.0), (2, 0.5)]}


def test_no_socket_is_opened_and_the_process_is_left_as_it_was(train_tiny, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    _, run = train_tiny("a", epochs=1, loggers=BOTH)
    assert read_mlflow(run)
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_the_user_s_own_address_is_used(train_tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    for name in ("a", "b"):
        _, run = train_tiny(name, epochs=1, loggers=["mlflow"])
        assert not (run.logs / "mlflow").exists()
    client = pytest.importorskip("mlflow").MlflowClient((tmp_path / "store").as_uri())
    experiment = client.get_experiment_by_name("eosin").experiment_id
    assert {found.info.run_name for found in client.search_runs([experiment])} == {"a", "b"}


def test_a_store_that_cannot_be_written_is_one_line(train_tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "file").as_uri())
    with pytest.raises(OutputError) as caught:
        train_tiny("a", epochs=1, loggers=["mlflow"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "absent", "extra"),
    [
        ("tensorboard", "tensorboard", "logging"),
        ("mlflow", "mlflow", "logging"),
        ("tensorboard", "torch", "train"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, name, absent, extra):
    check_loggers(BOTH)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda one: None if one == absent else find(one)
    )
    with pytest.raises(MissingPartError, match=f"names {name}, but {absent} is not") as caught:
        check_loggers(BOTH)
    assert caught.value.hint == f"pip install 'eosin[{extra}]'"
    check_loggers([one for one in BOTH if one != name])


def test_offline_a_server_is_refused(monkeypatch):
    monkeypatch.setenv("EOSIN_OFFLINE", "1")
    check_loggers(BOTH)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    check_loggers(["tensorboard"])
    with pytest.raises(UsageError, match="names the server http://localhost:1") as caught:
        check_loggers(BOTH)
    assert "Unset $MLFLOW_TRACKING_URI" in caught.value.hint
