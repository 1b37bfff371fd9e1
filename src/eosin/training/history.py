"""Progress of a training: its history rows, what they are computed from, and its best state."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eosin.artifacts.layout import RunFolder
from eosin.core.errors import DAMAGE, ArtifactError, EosinError, TrainingError
from eosin.core.types import FloatArray, IntArray
from eosin.engine import EarlyStopping
from eosin.metrics.calibration import softmax
from eosin.metrics.catalogue import HISTORY
from eosin.metrics.measurement import measure_values
from eosin.metrics.predictions import Predictions

#: A row of ``history.csv``: the value of each column, ``None`` for an undefined score.
Row = dict[str, Any]


def score(
    logits: FloatArray, targets: IntArray, loss: float, positive: int | None
) -> dict[str, float | None]:
    """Compute the scores of predictions.

    Args:
        logits: Shape (N, K).
        targets: Class index of each, shape (N,).
        loss: Mean loss.
        positive: Index of the positive class; ``None`` for macro averages.

    Returns:
        The loss and the metrics of the history; ``None`` for an undefined one.
    """
    rows = np.arange(len(targets))
    predictions = Predictions(softmax(logits), targets, logits.argmax(axis=1), rows, positive)
    found = {"loss": loss, **measure_values(predictions, HISTORY)}
    return {name: None if np.isnan(value) else float(value) for name, value in found.items()}


class Tally:
    """Accumulator of losses, logits and targets since the last evaluation."""

    def __init__(self) -> None:
        self._loss = 0.0
        self._logits: list[FloatArray] = []
        self._targets: list[IntArray] = []

    def add(self, logits: FloatArray, targets: IntArray, loss: float) -> None:
        """Add one batch: logits (B, K), classes (B,), and its mean loss."""
        self._loss += loss * len(targets)
        self._logits.append(logits)
        self._targets.append(targets)

    @property
    def is_finite(self) -> bool:
        """True if no logit is NaN or infinite."""
        return all(np.isfinite(logits).all() for logits in self._logits)

    def scores(self, positive: int | None) -> dict[str, float | None]:
        """Return the scores; ``None`` for an undefined one, empty if nothing was added.

        The loss is the mean over the batches, each weighted by its images.

        Args:
            positive: Index of the positive class; ``None`` for macro averages.
        """
        if not self._targets:
            return {}
        logits, targets = np.concatenate(self._logits), np.concatenate(self._targets)
        return score(logits, targets, self._loss / len(targets), positive)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint: one array of each kind."""
        if not self._targets:
            return {"loss": self._loss}
        logits, targets = np.concatenate(self._logits), np.concatenate(self._targets)
        return {"loss": self._loss, "logits": logits, "targets": targets}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore the state."""
        self._loss = state["loss"]
        self._logits = [state["logits"]] if "logits" in state else []
        self._targets = [state["targets"]] if "targets" in state else []


@dataclass
class Progress:
    """Progress of a training, as a checkpoint keeps it.

    Attributes:
        stopping: The best score so far, and how many evaluations ago it was.
        epoch: Epochs that are done.
        batch: Batches of the next epoch that are done.
        step: Steps that are done.
        best_step: Steps that were done at the best evaluation.
        rows: The history.
        tally: Batches since the last evaluation.
        seconds: Wall time until :attr:`since`, over all processes.
        since: Time of the monotonic clock when the wall time was last counted.
    """

    stopping: EarlyStopping
    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_step: int | None = None
    rows: list[Row] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def count_seconds(self) -> float:
        """Add the time since the last call and return the sum."""
        now = time.monotonic()
        self.seconds, self.since = self.seconds + now - self.since, now
        return self.seconds

    def add_step(self, logits: FloatArray, targets: IntArray, loss: float) -> None:
        """Count one step: logits (B, K), classes (B,), and the mean loss.

        Raises:
            TrainingError: The loss is not finite.
        """
        self.step, self.batch = self.step + 1, self.batch + 1
        if not math.isfinite(loss):
            raise self._diverged("the loss", str(loss))
        self.tally.add(logits, targets, loss)

    def check_outputs(self, validated: Tally) -> None:
        """Raise TrainingError unless the outputs on the validation images are finite."""
        if not validated.is_finite:
            raise self._diverged("the output on a validation image", "NaN or infinite")

    def _diverged(self, what: str, value: str) -> TrainingError:
        return TrainingError(
            f"{what} became {value} in epoch {self.epoch + 1}, step {self.step}",
            hint="Lower train.lr, or set train.clip_gradient",
        )

    def end_epoch(self) -> None:
        """Go to the next epoch; batches after the last evaluation belong to no history row."""
        self.epoch, self.batch, self.tally = self.epoch + 1, 0, Tally()

    def state(self) -> dict[str, Any]:
        """Return the state: plain values, and as ``tally`` a number and two arrays."""
        return {
            **{name: getattr(self, name) for name in ("epoch", "batch", "step", "best_step")},
            "rows": self.rows,
            "best": self.stopping.best,
            "waited": self.stopping.waited,
            "tally": self.tally.state(),
            "seconds": self.count_seconds(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore the state; raises almost anything at one that :meth:`state` did not return."""
        for name in ("epoch", "batch", "step", "best_step"):
            setattr(self, name, None if state[name] is None else operator.index(state[name]))
        self.rows = list(state["rows"])
        self.stopping.best, self.stopping.waited = state["best"], state["waited"]
        self.tally.load(state["tally"])
        # Absent in a checkpoint of an earlier version.
        self.seconds = float(state.get("seconds", 0.0))


class BestWeights:
    """The weights of the best evaluation: ``checkpoints/best-<step>.safetensors``.

    A newer file never overwrites the one that ``last.ckpt`` names: a run killed in between resumes
    from that checkpoint and needs what was best then.

    Args:
        run: Destination.
        step: Steps that were done at the best evaluation, as a checkpoint names it.

    Raises:
        ArtifactError: The file that it names is gone.
    """

    def __init__(self, run: RunFolder, step: int | None) -> None:
        self._run = run
        self._step = step
        if step is not None and not self.path.exists():
            raise ArtifactError(
                f"{self.path}, the best weights so far, is missing",
                hint=f"Remove {run.last_checkpoint} to restart this training",
            )
        self.forget_others()

    @property
    def path(self) -> Path:
        """The file, once there is a best evaluation."""
        return self._run.best_checkpoint(self._step or 0)

    def save(self, step: int, save_weights: Callable[[Path], None]) -> None:
        """Save the weights after ``step`` steps as the best."""
        before, self._step = self._step, step
        save_weights(self.path)
        if before not in {None, self._named, step}:
            self._run.best_checkpoint(before or 0).unlink(missing_ok=True)

    def forget_others(self) -> None:
        """Remove all but the best, which the checkpoint on disk now names."""
        self._named = self._step
        for path in self._run.checkpoints.glob("best-*.safetensors"):
            if path != self.path:
                path.unlink(missing_ok=True)


@contextmanager
def explain_damage(path: Path) -> Iterator[None]:
    """Raise one error for all that the reader of a damaged or hostile checkpoint raises."""
    try:
        yield
    except EosinError:
        raise
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror or error}") from error
    except DAMAGE as error:
        raise _damaged(path, "is damaged") from error


def _damaged(path: Path, what: str) -> ArtifactError:
    return ArtifactError(f"{path} {what}", hint="Remove it to restart this training")


def foreign_checkpoint(path: Path) -> ArtifactError:
    """Return the error of a checkpoint that another version of Eosin wrote."""
    return ArtifactError(
        f"{path} was written by another version of Eosin",
        hint="Use that version, or remove it to restart this training",
    )
