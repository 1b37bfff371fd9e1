"""Ranking metrics of two classes, for many weightings of the rows at once.

The area under the ROC curve is the weighted share of (positive, negative) pairs in the right
order, ties counting one half (Mann-Whitney). Average precision is the sum of precision times
the step in recall over the distinct scores, without interpolation, as scikit-learn defines it.
Rows are sorted once; a weighting then costs two cumulative sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eosin.core.errors import DataError
from eosin.core.types import BoolArray, FloatArray, IntArray
from eosin.metrics.predictions import check_finite, check_weights, divide, sum_by


def ranking_scores(probabilities: FloatArray, index: int) -> FloatArray:
    """Return scores in the order of one class's probability, as precise near 1 as near 0.

    In float64 a probability above 1 - 1e-16 is 1, and images with different logits would tie; for
    two classes the other class's probability still separates them.

    Args:
        probabilities: One column per class, (N, C).
        index: The class.

    Returns:
        Shape (N,): finite, equal where the probabilities are.
    """
    wanted = np.asarray(probabilities[:, index])
    if probabilities.shape[1] != 2:
        return wanted
    other = np.maximum(probabilities[:, 1 - index], np.finfo(np.float64).tiny)
    return np.where(wanted > 0.5, 1.0 / other, wanted)


class Ranking:
    """Rows in descending order of their score.

    Args:
        scores: One score per row, any finite range, shape (N,).
        positive: Which rows are of the positive class, shape (N,).

    Attributes:
        order: Row numbers in descending order of score, shape (N,). Weights come in this order.
    """

    def __init__(self, scores: FloatArray, positive: BoolArray) -> None:
        self.order: IntArray = np.argsort(-scores, kind="stable")
        ranked, is_positive = scores[self.order], positive[self.order]
        self._positives = np.flatnonzero(is_positive)
        # A block is a run of equal scores; only blocks with a positive row add to either sum.
        is_end = np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]
        ends = np.flatnonzero(is_end)
        positives_until = np.cumsum(is_positive)[ends]
        has_positive = np.diff(positives_until, prepend=0) > 0
        starts = np.append(0, ends + 1)[: len(ends)]
        self._ends, self._starts = ends[has_positive], starts[has_positive]
        self._positive_ends = positives_until[has_positive] - 1
        # Without ties the gathers by block would copy arrays that are in order already.
        self._one_row_each = len(self._ends) == len(self._positives)
        self._mixed = not self._one_row_each or bool(np.any(self._starts != self._ends))

    def measure(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the area under the ROC curve and the average precision.

        Args:
            weights: Non-negative weights in the order of :attr:`order`, shape (R, N).

        Returns:
            Two arrays (R,). The area is NaN where a class has no weight; average precision is
            NaN where the positive class has none.
        """
        if not len(self._positives):
            nothing = np.full(len(weights), np.nan)
            return nothing, nothing.copy()
        seen = np.cumsum(weights, axis=1)  # (R, N)
        mass, found = self._found(weights)  # (R, B)
        seen_at_end = seen.take(self._ends, axis=1)
        positives, total = found[:, -1].copy(), seen[:, -1]
        # Negatives ranked above each block; those tied with it count half.
        above = seen_at_end - found
        if self._mixed:
            above += self._before(seen) - (found - mass)
            above *= 0.5
        wrong = np.einsum("rb,rb->r", mass, above)
        negatives = total - positives
        area = 1.0 - divide(wrong, positives * negatives)
        # An empty block has no mass either: any denominator will do.
        np.maximum(seen_at_end, np.finfo(float).tiny, out=seen_at_end)
        np.divide(found, seen_at_end, out=found)
        return area, divide(np.einsum("rb,rb->r", mass, found), positives)

    def _found(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the positive weight of each block and until its end, both (R, B)."""
        mass = weights.take(self._positives, axis=1)
        found = np.cumsum(mass, axis=1)
        if self._one_row_each:
            return mass, found
        found = found.take(self._positive_ends, axis=1)
        return np.diff(found, axis=1, prepend=0.0), found

    def _before(self, seen: FloatArray) -> FloatArray:
        """Return the weight ranked before each block, shape (R, B)."""
        before: FloatArray = seen.take(np.maximum(self._starts - 1, 0), axis=1)
        before[:, self._starts == 0] = 0.0
        return before


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of a curve, one per distinct score, from the highest threshold down.

    Attributes:
        thresholds: A row is predicted positive where its score is at least this, shape (K,). The
            first point of a ROC curve, without predicted positives, has the threshold infinity.
        x: False-positive rate, or recall, (K,).
        y: True-positive rate, or precision, (K,).
    """

    thresholds: FloatArray
    x: FloatArray
    y: FloatArray


def roc_curve(scores: FloatArray, positive: BoolArray, weights: FloatArray | None = None) -> Curve:
    """Return the points of the ROC curve: x is 1 - specificity, y is recall.

    Args:
        scores: One score per row, shape (N,).
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

    Arguments and errors are those of :func:`roc_curve`. There is no point without predicted
    positives: its precision is undefined.
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
