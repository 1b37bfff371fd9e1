"""What a confusion matrix is made of, for many weightings of the rows at once.

Every formula takes counts of shape (..., C) and keeps the leading axes, so that a point estimate
(no leading axis) and two thousand resamples (R, C) go through the same few lines. A ratio without
a denominator is NaN here: whether that becomes a reason or an error is the caller's decision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eosin.core.types import BoolArray, FloatArray, IntArray


def divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Divide element by element; NaN, without a warning, where the denominator is zero."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out: FloatArray = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def sum_by(index: IntArray, values: FloatArray | BoolArray, size: int) -> FloatArray:
    """Sum values (N,) by their index (N,) in [0, size), shape (size,)."""
    return np.asarray(np.bincount(index, values, minlength=size), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Weighted counts of each class.

    Attributes:
        hits: Rows of the class that were predicted as it, shape (..., C).
        predicted: Rows predicted as the class, (..., C).
        actual: Rows of the class, (..., C).
    """

    hits: FloatArray
    predicted: FloatArray
    actual: FloatArray

    @classmethod
    def from_confusion(cls, matrix: FloatArray) -> ClassCounts:
        """Read the counts off a confusion matrix (C, C): rows actual, columns predicted."""
        return cls(np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1))

    @property
    def total(self) -> FloatArray:
        """Rows in all, shape (..., 1)."""
        return np.asarray(self.actual.sum(axis=-1, keepdims=True))


def accuracy(counts: ClassCounts) -> FloatArray:
    """Return the share of rows predicted right, shape (...)."""
    return divide(counts.hits.sum(axis=-1), counts.actual.sum(axis=-1))


def recall(counts: ClassCounts) -> FloatArray:
    """Return, for each class, the share of its rows that were found, shape (..., C)."""
    return divide(counts.hits, counts.actual)


def precision(counts: ClassCounts) -> FloatArray:
    """Return, for each class, the share of rows predicted as it that are it, shape (..., C)."""
    return divide(counts.hits, counts.predicted)


def specificity(counts: ClassCounts) -> FloatArray:
    """Return, for each class, the share of the other rows not predicted as it, shape (..., C)."""
    others = counts.total - counts.actual
    return divide(others - (counts.predicted - counts.hits), others)


def f1(counts: ClassCounts) -> FloatArray:
    """Return, for each class, 2·TP / (2·TP + FP + FN), shape (..., C).

    It is undefined only for a class that neither occurs nor is predicted.
    """
    return divide(2 * counts.hits, counts.predicted + counts.actual)


def balanced_accuracy(counts: ClassCounts) -> FloatArray:
    """Return the mean recall of all classes, shape (...); NaN where a class has no rows."""
    return np.asarray(recall(counts).mean(axis=-1))
