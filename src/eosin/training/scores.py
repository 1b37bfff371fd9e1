"""The scores of a row of the history."""

from __future__ import annotations

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
