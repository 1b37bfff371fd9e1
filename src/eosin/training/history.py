"""Scores of a history row, and the accumulator that they are computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from eosin.core.types import FloatArray, IntArray
from eosin.metrics import Predictions, measure_values, softmax
from eosin.metrics.catalogue import HISTORY


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

    def add(self, logits: FloatArray, targets: IntArray, loss: float = 0.0) -> None:
        """Add one batch: logits (B, K), classes (B,), and its mean loss."""
        self._loss += loss * len(targets)
        self._logits.append(logits)
        self._targets.append(targets)

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

    def scores(
        self,
        positive: int | None,
        loss: Callable[[FloatArray, IntArray], float] | None = None,
    ) -> dict[str, float | None]:
        """Return the scores; ``None`` for an undefined one, empty if nothing was added.

        Args:
            positive: Index of the positive class; ``None`` for macro averages.
            loss: Function of all logits and targets; by default the mean of the batches' losses.
        """
        if not self._targets:
            return {}
        logits, targets = np.concatenate(self._logits), np.concatenate(self._targets)
        mean = self._loss / len(targets) if loss is None else loss(logits, targets)
        return score(logits, targets, mean, positive)
