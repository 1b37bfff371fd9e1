"""Scores of a row of the history, and the tally that they are taken from."""

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
    """Score what a network said.

    Args:
        logits: Shape (N, K).
        targets: Class index of each, shape (N,).
        loss: Its mean.
        positive: Index of the positive class; ``None`` for macro averages.

    Returns:
        The loss and the metrics of the history; ``None`` where one is undefined.
    """
    rows = np.arange(len(targets))
    predictions = Predictions(softmax(logits), targets, logits.argmax(axis=1), rows, positive)
    found = {"loss": loss, **measure_values(predictions, HISTORY)}
    return {name: None if np.isnan(value) else float(value) for name, value in found.items()}


class Tally:
    """Losses, logits and targets since the last evaluation."""

    def __init__(self) -> None:
        self._loss = 0.0
        self._logits: list[FloatArray] = []
        self._targets: list[IntArray] = []

    def add(self, logits: FloatArray, targets: IntArray, loss: float = 0.0) -> None:
        """Count one batch: logits (B, K), classes (B,), and its mean loss."""
        self._loss += loss * len(targets)
        self._logits.append(logits)
        self._targets.append(targets)

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs; one array a kind, however many batches there were."""
        if not self._targets:
            return {"loss": self._loss}
        logits, targets = np.concatenate(self._logits), np.concatenate(self._targets)
        return {"loss": self._loss, "logits": logits, "targets": targets}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._loss = state["loss"]
        self._logits = [state["logits"]] if "logits" in state else []
        self._targets = [state["targets"]] if "targets" in state else []

    def scores(
        self,
        positive: int | None,
        loss: Callable[[FloatArray, IntArray], float] | None = None,
    ) -> dict[str, float | None]:
        """Return the scores; ``None`` where one is undefined, nothing where nothing was counted.

        Args:
            positive: Index of the positive class; ``None`` for macro averages.
            loss: Of all logits and targets; by default the mean of the batches' losses.
        """
        if not self._targets:
            return {}
        logits, targets = np.concatenate(self._logits), np.concatenate(self._targets)
        mean = self._loss / len(targets) if loss is None else loss(logits, targets)
        return score(logits, targets, mean, positive)
