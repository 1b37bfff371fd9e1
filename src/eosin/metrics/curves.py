"""Curves over all thresholds, as points to draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eosin.core.errors import DataError
from eosin.core.types import BoolArray, FloatArray
from eosin.metrics.checks import check_finite, check_weights
from eosin.metrics.counts import divide, sum_by


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of a curve, one for each distinct score, from the highest threshold down.

    Attributes:
        thresholds: A row is called positive where its score is at least this, shape (K,). The
            first point of a ROC curve, where nothing is called, has the threshold infinity.
        x: False-positive rate, or recall, (K,).
        y: True-positive rate, or precision, (K,).
    """

    thresholds: FloatArray
    x: FloatArray
    y: FloatArray


def roc_curve(scores: FloatArray, positive: BoolArray, weights: FloatArray | None = None) -> Curve:
    """Return the points of the ROC curve: x is 1 - specificity, y is recall.

    Args:
        scores: One score a row, shape (N,).
        positive: Which rows are of the positive class, (N,).
        weights: Weight of each row, (N,); rows without weight give no point.

    Raises:
        DataError: Shapes differ, a score is not finite or a weight is negative.
    """
    thresholds, hits, false = _steps(scores, positive, weights)
    hits, false = np.append(0.0, hits), np.append(0.0, false)
    return Curve(
        np.append(np.inf, thresholds),
        divide(false, false[-1:]),
        divide(hits, hits[-1:]),
    )


def precision_recall_curve(
    scores: FloatArray, positive: BoolArray, weights: FloatArray | None = None
) -> Curve:
    """Return the points of the precision-recall curve: x is recall, y is precision.

    Arguments and errors are those of :func:`roc_curve`. There is no point for "nothing called":
    its precision is undefined.
    """
    thresholds, hits, false = _steps(scores, positive, weights)
    return Curve(thresholds, divide(hits, hits[-1:]), divide(hits, hits + false))


def _steps(
    scores: FloatArray, positive: BoolArray, weights: FloatArray | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the distinct scores, descending, with the positive and negative weight at or above."""
    scores = check_finite(np.asarray(scores, dtype=np.float64))
    positive = np.asarray(positive, dtype=bool)
    if scores.shape != positive.shape or scores.ndim != 1:
        raise DataError(f"`positive` must have the shape {scores.shape}, got {positive.shape}")
    weights = check_weights(weights, len(scores))
    kept = weights > 0
    thresholds, block = np.unique(-scores[kept], return_inverse=True)
    size = len(thresholds)
    hits = sum_by(block, weights[kept] * positive[kept], size)
    false = sum_by(block, weights[kept] * ~positive[kept], size)
    return -thresholds, np.cumsum(hits), np.cumsum(false)
