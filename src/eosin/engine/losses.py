"""Softmax with cross-entropy, and the L2 penalty."""

from __future__ import annotations

import numpy as np

from eosin.core.errors import RecipeError
from eosin.core.types import FloatArray, IntArray


def softmax(logits: FloatArray) -> FloatArray:
    """Return probabilities (B, K), each row summing to one."""
    # With a largest logit of 0 no exponential overflows.
    powers: FloatArray = np.exp(logits - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def cross_entropy(
    logits: FloatArray, targets: IntArray, class_weights: FloatArray | None = None
) -> tuple[float, FloatArray]:
    """Return the mean loss of a batch and its derivative (B, K) by the logits.

    The derivative through the soft-max is the probabilities minus the targets, without division by
    a probability that may be zero.

    Args:
        logits: Shape (B, K).
        targets: Class index of each row, (B,).
        class_weights: Weight of each class, (K,); the mean is then weighted, as in PyTorch.

    Raises:
        RecipeError: Not every row has one class of the K.
    """
    rows, classes = logits.shape
    if targets.shape != (rows,) or not ((targets >= 0) & (targets < classes)).all():
        raise RecipeError(f"`targets` must be {rows} class indices from 0 to {classes - 1}")
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    log_probabilities = shifted - log_sum
    weights = np.ones(rows, logits.dtype)
    if class_weights is not None:
        weights = np.asarray(class_weights, logits.dtype)[targets]
    weights = weights / weights.sum()
    gradient = np.exp(log_probabilities)
    true = (np.arange(rows), targets)
    gradient[true] -= 1
    loss = -float(weights @ log_probabilities[true])
    return loss, gradient * weights[:, None]
