"""Class-conditional conformal prediction with whole groups as units; decides when to abstain.

The images of one patient are not exchangeable with those of another, but patients are. Each group
that calibrates a class therefore weighs the same, its images share that weight, and the next group
has the same weight at infinity: the hierarchical conformal prediction of Lee, Barber and Willett,
"Distribution-free inference with hierarchical data" (2023). Guarantee: the set of an image from a
new, exchangeable group contains its label with a probability of at least 1 - alpha. One quantile
per class ("Mondrian") gives every class this guarantee, however rare.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from eosin.core.errors import DataError
from eosin.core.text import quantity
from eosin.core.types import BoolArray, FloatArray, IntArray
from eosin.metrics.predictions import check_classes, check_probabilities, encode

#: Tolerance for sums of shares in another order.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ConformalRule:
    """Conformal rule: when a model abstains.

    Attributes:
        quantiles: By class, one minus the least probability with which it is in the set;
            ``None`` where a class has too few groups.
        n_groups: By class, groups that calibrated it.
        reason: Why there are no quantiles.
    """

    quantiles: dict[str, float] | None
    n_groups: dict[str, int]
    reason: str | None = None


def calibrate(
    probabilities: FloatArray,
    targets: IntArray,
    groups: Sequence[Hashable] | npt.NDArray[Any],
    class_names: Sequence[str],
    alpha: float,
) -> ConformalRule:
    """Calibrate the conformal quantile of each class.

    Args:
        probabilities: Of images that the model was not trained on, shape (N, K).
        targets: Class index of each image, (N,).
        groups: Group of each image, (N,).
        class_names: Names of the K classes.
        alpha: Share of images of each class whose label the set may miss, between 0 and 1.

    Returns:
        The rule; without quantiles and with a reason where a class has too few groups for
        ``alpha``.

    Raises:
        DataError: Shapes differ, or a value is out of range.
    """
    table = check_probabilities(probabilities)
    targets = check_classes("targets", targets, table.shape[1])
    if not 0 < alpha < 1:
        raise DataError(f"`alpha` must be between 0 and 1, got {alpha}")
    codes = encode(groups)
    if not len(table) == len(targets) == len(codes) or len(class_names) != table.shape[1]:
        raise DataError(
            f"one target and one group per row ({len(table)}) and one name per class "
            f"({table.shape[1]}) are needed, got {len(targets)}, {len(codes)}, {len(class_names)}"
        )
    rows = [targets == index for index in range(table.shape[1])]
    sizes = {name: len(np.unique(codes[own])) for name, own in zip(class_names, rows, strict=True)}
    scarce = min(sizes, key=lambda name: sizes[name])
    needed = groups_needed(alpha)
    if sizes[scarce] < needed:
        reason = (
            f"{quantity(sizes[scarce], 'group')} of {scarce!r}, but "
            f"alpha {alpha:g} needs {needed} of each class"
        )
        return ConformalRule(None, sizes, reason)
    quantiles = {
        name: _quantile(1.0 - table[own, index], codes[own], alpha)
        for index, (name, own) in enumerate(zip(class_names, rows, strict=True))
    }
    return ConformalRule(quantiles, sizes)


def groups_needed(alpha: float) -> int:
    """Return the least number of groups G of a class for which ``alpha`` >= 1 / (G + 1)."""
    return max(1, ceil(1.0 / alpha - 1.0 - _ROUNDING))


def prediction_sets(probabilities: FloatArray, quantiles: Sequence[float]) -> BoolArray:
    """Return the sets (N, K) of probabilities (N, K), for one quantile per class, in [0, 1]."""
    sets: BoolArray = 1.0 - probabilities <= np.asarray(quantiles, dtype=np.float64)
    return sets


def contradicts(sets: BoolArray, decided: IntArray) -> BoolArray:
    """Return True (N,) where the set (N, K) is a single class other than the decided one (N,).

    A threshold may decide for a class outside the set.
    """
    shown: BoolArray = (sets.sum(axis=1) == 1) & ~sets[np.arange(len(sets)), decided]
    return shown


def abstains(sets: BoolArray, decided: IntArray) -> BoolArray:
    """Return True (N,) where the set (N, K) is not exactly the decided class (N,)."""
    shown: BoolArray = (sets.sum(axis=1) != 1) | contradicts(sets, decided)
    return shown


def _quantile(scores: FloatArray, codes: IntArray, alpha: float) -> float:
    """Return the least score up to which lie 1 - alpha of the weight of G groups and one more."""
    _, group, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    weights = 1.0 / (sizes[group] * (len(sizes) + 1))
    order = np.argsort(scores)
    reached = np.cumsum(weights[order]) >= 1.0 - alpha - _ROUNDING
    return float(scores[order[int(np.argmax(reached))]])
