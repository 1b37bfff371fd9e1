"""Loggers beside ``history.csv``: TensorBoard and MLflow, into the run's ``logs/``.

Each copies the history's rows. A resumed run continues the same log: rows after its checkpoint are
trained anew, and are in the log once.

MLflow's client is used directly: unlike the loggers around it, it neither sets the tracking address
of the whole process nor records the user's name and script. It writes a file store into the run
folder, the only store that its small package (``mlflow-skinny``) can write: it calls it "in
maintenance mode", and `mlflow migrate-filestore` turns it into a database. A database needs
SQLAlchemy and Alembic as well.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from eosin.artifacts.layout import RunFolder
from eosin.core.errors import MissingPartError, OutputError, UsageError
from eosin.core.files import explain_os_errors, write_text
from eosin.core.places import is_offline
from eosin.runtime.door import import_companion

Row = dict[str, Any]

#: The environment variable that names MLflow's server.
MLFLOW_ADDRESS = "MLFLOW_TRACKING_URI"
_EXPERIMENT = "eosin"


def check_loggers(names: Sequence[str]) -> None:
    """Refuse, before any data is read, loggers that cannot be written.

    Args:
        names: ``tensorboard``, ``mlflow``.

    Raises:
        MissingPartError: A package is not installed.
        UsageError: MLflow is set to use a server, but no socket may be opened.
    """
    for name in names:
        # TensorBoard's files are written by PyTorch.
        needed = [name, "torch"] if name == "tensorboard" else [name]
        if absent := [one for one in needed if importlib.util.find_spec(one) is None]:
            extra = "train" if absent == ["torch"] else "logging"
            raise MissingPartError(
                f"'train.loggers' names {name}, but {absent[0]} is not installed",
                hint=f"pip install 'eosin[{extra}]'",
            )
    address = os.environ.get(MLFLOW_ADDRESS, "")
    if "mlflow" in names and is_offline() and address.startswith("http"):
        raise UsageError(
            f"${MLFLOW_ADDRESS} names the server {address}, but network access is disabled",
            hint=f"Unset ${MLFLOW_ADDRESS}: MLflow then writes into the run folder",
        )


class _Log(Protocol):
    """Logger of history rows.

    Attributes:
        is_open: Between :meth:`open` and :meth:`close`.
    """

    is_open: bool

    def open(self, rows: Sequence[Row]) -> None:
        """Begin, or continue after the rows of a checkpoint."""

    def add(self, row: Row) -> None:
        """Log one more row; it is on disk when this returns."""

    def close(self, *, finished: bool) -> None:
        """Close the log of a finished or interrupted training."""


class RowLogs:
    """The recipe's loggers, called together.

    Args:
        names: ``tensorboard``, ``mlflow``.
        run: Destination.
    """

    def __init__(self, names: Sequence[str], run: RunFolder) -> None:
        kinds: dict[str, Any] = {"tensorboard": _TensorBoardLog, "mlflow": _MlflowLog}
        self._logs: list[_Log] = [kinds[name](run) for name in dict.fromkeys(names)]

    def open(self, rows: Sequence[Row]) -> None:
        """Begin, or continue after the rows of a checkpoint."""
        for log in self._logs:
            log.open(rows)

    def add(self, row: Row) -> None:
        """Log one more row of the history."""
        for log in self._logs:
            log.add(row)

    def finish(self, rows: Sequence[Row]) -> None:
        """Close the log of a finished training, even one finished by an earlier process."""
        for log in self._logs:
            if not log.is_open:
                log.open(rows)
            log.close(finished=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for log in self._logs:
            if log.is_open:
                # Something has failed already, and the user must see that error.
                with suppress(OutputError):
                    log.close(finished=False)


def _measured(row: Row) -> dict[str, float]:
    """Return a row's measurements, without its step and missing values.

    The loggers have times of their own.
    """
    left_out = ("step", "seconds")
    return {key: value for key, value in row.items() if key not in left_out and value is not None}


class _TensorBoardLog:
    """``logs/tensorboard``: one event file for each training process."""

    def __init__(self, run: RunFolder) -> None:
        self._folder = run.logs / "tensorboard"
        self._logger: Any = None
        self._next = 0
        self.is_open = False

    def open(self, rows: Sequence[Row]) -> None:
        self._next = rows[-1]["step"] + 1 if rows else 0
        self.is_open = True

    def add(self, row: Row) -> None:
        with explain_os_errors("write into", self._folder):
            if self._logger is None:
                self._logger = self._start()
            for name, value in _measured(row).items():
                self._logger.add_scalar(name, value, row["step"])
            self._logger.flush()

    def _start(self) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        begun = [path.name.split(".")[3] for path in self._folder.glob("events.out.tfevents.*")]
        # Event files are read in the order of the second in which they were created.
        while begun and int(max(begun)) >= int(time.time()):
            time.sleep(0.01)
        # Makes readers skip what a killed process logged from this step on.
        options = {"purge_step": self._next} if begun else {}
        return SummaryWriter(str(self._folder), **options)

    def close(self, *, finished: bool) -> None:
        del finished
        if self._logger is not None:
            self._logger.close()
        self._logger, self.is_open = None, False


class _MlflowLog:
    """``logs/mlflow``, or the server that the user's environment names."""

    def __init__(self, run: RunFolder) -> None:
        self._folder = run.logs / "mlflow"
        self._note = run.logs / "mlflow-run.txt"
        self._title = run.root.resolve().name
        self._uri = self._folder.resolve().as_uri()
        self._address = os.environ.get(MLFLOW_ADDRESS)
        self._client: Any = None
        self._id = ""
        self._known: set[tuple[str, int]] = set()
        self.is_open = False

    def open(self, rows: Sequence[Row]) -> None:
        with self._explain():
            mlflow = _import_mlflow()
            if not self._go_on(mlflow):
                self._begin(mlflow)
        self.is_open = True
        for row in rows:
            self.add(row)

    def _go_on(self, mlflow: Any) -> bool:
        """Find the MLflow run of an earlier process and its contents; ``False`` if it is lost."""
        if not self._note.exists():
            return False
        try:
            self._connect(mlflow)
            self._id = self._note.read_text(encoding="utf-8").strip()
            keys = self._client.get_run(self._id).data.metrics
            self._known = {
                (key, metric.step)
                for key in keys
                for metric in self._client.get_metric_history(self._id, key)
            }
        except Exception:  # noqa: BLE001 -- half-written files make MLflow raise anything
            return False  # killed while it was created, removed, or on another server
        return True

    def _begin(self, mlflow: Any) -> None:
        if self._address is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            # MLflow creates a store's folder once per process, and would miss its removal.
            importlib.import_module("mlflow.store.tracking.file_store").FileStore(self._uri)
        self._connect(mlflow)
        found = self._client.get_experiment_by_name(_EXPERIMENT)
        place = found.experiment_id if found else self._client.create_experiment(_EXPERIMENT)
        self._id = self._client.create_run(place, run_name=self._title).info.run_id
        self._known = set()
        write_text(self._note, f"{self._id}\n")

    def _connect(self, mlflow: Any) -> None:
        self._client = mlflow.MlflowClient(self._address or self._uri)

    def add(self, row: Row) -> None:
        mlflow, step, now = _import_mlflow(), row["step"], int(time.time() * 1000)
        metrics = [
            mlflow.entities.Metric(key, value, now, step)
            for key, value in _measured(row).items()
            if (key, step) not in self._known
        ]
        if metrics:
            with self._explain():
                self._client.log_batch(self._id, metrics=metrics)
            self._known |= {(metric.key, step) for metric in metrics}

    def close(self, *, finished: bool) -> None:
        self.is_open = False
        with self._explain():
            self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")

    @contextmanager
    def _explain(self) -> Iterator[None]:
        mlflow = _import_mlflow()
        try:
            with explain_os_errors("write into", Path(self._address or self._folder)):
                yield
        except mlflow.MlflowException as error:
            raise OutputError(
                f"MLflow could not log to {self._address or self._folder}: {error.message}",
                hint="Make it reachable again, or log into files: unset MLFLOW_TRACKING_URI",
            ) from error


def _import_mlflow() -> Any:
    """Import MLflow with permission to write files."""
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = import_companion("mlflow")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return mlflow
