"""Predictions that metrics are computed from, and the validation of every argument."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from eosin.core.errors import DataError
from eosin.core.types import BoolArray, FloatArray, IntArray

#: Tolerance of the sum of a row of probabilities: float32 and half-precision networks round.
SUM_TOLERANCE = 1e-3
#: How far a float32 softmax may step over 0 or 1.
ROUNDING = 1e-6


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
            f"`{name}` must be 0 to {n_classes - 1}, got {classes.min()} to {classes.max()}"
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


def encode(labels: Iterable[Hashable]) -> IntArray:
    """Number labels in the order in which they first appear, shape (N,)."""
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(label, len(index)) for label in labels], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a model for images with known labels.

    Attributes:
        probabilities: Probability of each class, each row summing to one, shape (N, C).
        targets: Class index of each row, (N,).
        predicted: Decided class index, (N,): the arg-max of the probabilities, or the decision at a
            threshold.
        groups: Group of each row, such as the patient, (N,): the unit of resampling.
        positive: The positive class of a binary task; with ``None`` every metric that exists per
            class is the macro average, also for two classes.
        class_names: Names of the classes in reasons; their indices by default.

    Raises:
        DataError: Shapes differ, a probability is not finite, out of range or in a row that
            does not sum to one, an index is out of range, or ``positive`` is given for more than
            two classes.
    """

    probabilities: FloatArray
    targets: IntArray
    predicted: IntArray
    groups: Sequence[Hashable] | npt.NDArray[Any]
    positive: int | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        table = check_probabilities(self.probabilities)
        n_rows, n_classes = table.shape
        for name in ("targets", "predicted", "groups"):
            if len(getattr(self, name)) != n_rows:
                raise DataError(
                    f"`{name}` must have one entry per row of probabilities ({n_rows}), "
                    f"got {len(getattr(self, name))}"
                )
        if self.positive is not None and (n_classes != 2 or self.positive not in (0, 1)):
            raise DataError(
                f"`positive` must be 0 or 1 in a task of two classes, "
                f"got {self.positive} of {n_classes}"
            )
        if self.class_names is not None and len(self.class_names) != n_classes:
            raise DataError(
                f"`class_names` must name {n_classes} classes, got {len(self.class_names)}"
            )
        object.__setattr__(self, "probabilities", table)
        for name in ("targets", "predicted"):
            object.__setattr__(self, name, check_classes(name, getattr(self, name), n_classes))

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def ranked_classes(self) -> Sequence[int]:
        """The classes whose ranking is measured: the positive one, or all."""
        return range(self.n_classes) if self.positive is None else (self.positive,)

    @property
    def confusion(self) -> IntArray:
        """Rows by actual and predicted class, shape (C, C)."""
        cells = self.targets * self.n_classes + self.predicted
        return np.bincount(cells, minlength=self.n_classes**2).reshape(self.n_classes, -1)

    @property
    def n_classes(self) -> int:
        """Number of classes, C."""
        return int(self.probabilities.shape[1])

    @cached_property
    def group_codes(self) -> IntArray:
        """Number of each row's group, from 0, shape (N,)."""
        return encode(self.groups)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.group_codes.max()) + 1 if len(self) else 0

    @cached_property
    def class_in_group(self) -> BoolArray:
        """True where a group holds a row of a class, shape (groups, C)."""
        table = np.zeros((self.n_groups, self.n_classes), dtype=bool)
        table[self.group_codes, self.targets] = True
        return np.clip(table, 0.0, 1.0)

    def take(self, rows: IntArray) -> Predictions:
        """Return some rows, (M,), which may repeat; nothing is checked again."""
        part = object.__new__(Predictions)
        for name in ("probabilities", "targets", "predicted"):
            object.__setattr__(part, name, getattr(self, name)[rows])
        object.__setattr__(part, "groups", self.group_codes[rows])
        object.__setattr__(part, "positive", self.positive)
        object.__setattr__(part, "class_names", self.class_names)
        return part

    def class_name(self, index: int) -> str:
        """Return the name of a class for a sentence."""
        return f"class {index}" if self.class_names is None else repr(self.class_names[index])


def check_probabilities(probabilities: FloatArray) -> FloatArray:
    """Return a table of probabilities as float64, shape (N, C) with C of at least 2.

    Raises:
        DataError: The shape or a value does not fit, or a row does not sum to one.
    """
    table = check_finite(np.asarray(probabilities, dtype=np.float64))
    if table.ndim != 2 or table.shape[1] < 2:
        raise DataError(
            f"`probabilities` must have the shape (rows, 2 or more classes), got {table.shape}"
        )
    if table.size and (table.min() < -ROUNDING or table.max() > 1 + ROUNDING):
        raise DataError(
            f"`probabilities` must be between 0 and 1, got {table.min():g} to {table.max():g}"
        )
    off = np.abs(table.sum(axis=1) - 1)
    if (off > SUM_TOLERANCE).any():
        row = int(off.argmax())
        raise DataError(
            f"each row of `probabilities` must sum to 1, got {table[row].sum():g} in row {row}"
        )
    return np.clip(table, 0.0, 1.0)
