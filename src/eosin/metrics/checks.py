"""What every metric asks of its arguments."""

from __future__ import annotations

import numpy as np

from eosin.core.errors import DataError
from eosin.core.types import FloatArray, IntArray


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
