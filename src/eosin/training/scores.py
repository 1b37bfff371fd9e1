"""The scores of a row of the history."""

from __future__ import annotations

import numpy as np

from eosin.core.types import FloatArray, IntArray
from eosin.metrics import accuracy, auc, precision, recall, softmax


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
        Loss, accuracy, precision, recall and AUC; ``None`` where one is undefined.
    """
    probabilities = softmax(logits, 1.0)
    predicted, n_classes = logits.argmax(axis=1), logits.shape[1]
    found = {
        "loss": loss,
        "accuracy": accuracy(targets, predicted, n_classes),
        "precision": precision(targets, predicted, n_classes, positive=positive),
        "recall": recall(targets, predicted, n_classes, positive=positive),
        "auc": auc(targets, probabilities, positive=positive),
    }
    return {name: None if np.isnan(value) else float(value) for name, value in found.items()}
