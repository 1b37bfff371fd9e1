"""What every metric asks of its arguments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eosin.core.errors import DataError
from eosin.core.types import BoolArray, FloatArray, IntArray


def check_classes(name: str, classes: IntArray, n_classes: int) -> IntArray:
    """Return class indices (N,) as int64, all in [0, n_classes).

    Raises:
        DataError: They are not whole numbers in one dimension, or out of range.
    """
    classes = np.asarray(classes)
    if classes.ndim != 1 or (len(classes) and not np.issubdtype(classes.dtype, np.integer)):
        raise DataError(
            f"`{name}` must be a list of class indices, "
            f"got {classes.dtype} of shape {classes.shape}"
        )
    classes = classes.astype(np.int64)
    if len(classes) and (classes.min() < 0 or classes.max() >= n_classes):
        raise DataError(
            f"`{name}` must lie in 0 to {n_classes - 1}, got {classes.min()} to {classes.max()}"
        )
    return classes


def check_finite(scores: FloatArray) -> FloatArray:
    """Return ``scores`` if all are finite.

    Raises:
        DataError: One is not.
    """
    if not np.isfinite(scores).all():
        raise DataError("scores must be finite, got NaN or infinity")
    return scores


def check_weights(weights: FloatArray | None, n_rows: int) -> FloatArray:
    """Return weights (N,) as float64; all one where there are none.

    Raises:
        DataError: The shape is not (n_rows,), or one is negative or not finite.
    """
    if weights is None:
        return np.ones(n_rows)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n_rows,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise DataError(
            f"`weights` must be {n_rows} finite numbers of at least 0, "
            f"got the shape {weights.shape}"
        )
    return weights


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
