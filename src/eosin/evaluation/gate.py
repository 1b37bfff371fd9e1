"""Fit of the gate before prediction, on training images alone, checked group by group.

Patients differ, so that a quantile over the training images would refuse too many images of new
ones. Each image is therefore measured against centre and spread of the other groups (ten folds);
the limits are a common factor on the 98th percentile of these deviations, the factor being the one
at which the gate refuses the share ``BUDGET`` of the held-out images. Every group has the same
weight. No validation or test image is used. ``docs/adr/0025-gate.md`` has the reasons.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eosin.artifacts.gate import Distance, Gate, Limits
from eosin.artifacts.model import Embedding, Preprocessing
from eosin.core.types import BoolArray, FloatArray, ImageSource, IntArray
from eosin.inference.gate import (
    bounded,
    mahalanobis,
    measure_images,
    measures_of,
    reasons_of,
    scale,
)

#: Share of images of new groups that a gate is fitted to refuse.
BUDGET = 0.01
#: Fewer images or groups give no limits.
LEAST_IMAGES, LEAST_GROUPS = 20, 3
#: Most images that are measured, from all groups in turn.
MOST_IMAGES = 4000
_FOLDS = 10
_TAIL = 0.98
#: Of G groups the most different one is exceeded by a new one with the probability 1 / (G + 1): the
#: limits are wider by the factor 1 + a / G + b / G². Chosen in simulation (``benchmarks.gate``).
_FEW_GROUPS = (6.0, 30.0)
#: Least spread of each measure, in its own unit: smaller differences do not matter.
_LEAST_SPREAD = {
    "tissue": 0.02, "white": 0.02, "black": 0.01, "ink": 0.05, "density": 0.05, "stain_red": 0.01,
    "stain_blue": 0.01, "stain_spread": 0.01, "skewness": 0.2, "softness": 0.1,
}  # fmt: skip
_LEAST_LOG = 0.05
#: Weight of the diagonal in the covariance, and a variance that is added to it.
_SHRINKAGE, _RIDGE = 0.1, 1e-3
_DIGITS = 6


def choose_rows(groups: Any) -> IntArray:
    """Return the rows to measure: all, or 4,000 from all groups in turn."""
    count = len(groups)
    if count <= MOST_IMAGES:
        return np.arange(count)
    order = np.random.default_rng(0).permutation(count)
    _, place = np.unique(np.asarray(groups)[order], return_inverse=True)
    by_group = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[by_group], place)
    turn = np.empty(count, dtype=np.int64)
    turn[by_group] = np.arange(count)
    turn -= starts
    return np.asarray(np.sort(order[np.argsort(turn, kind="stable")[:MOST_IMAGES]]))


def fit_gate(images: ImageSource, groups: Any, preprocessing: Preprocessing) -> Gate | None:
    """Fit the gate on training images.

    Args:
        images: uint8, shape (N, H, W, C), as the network receives them.
        groups: The group of each, (N,).
        preprocessing: Of the model.

    Returns:
        The gate; without limits and with a reason where there are too few images or groups; None
        for features, which are no images.
    """
    if isinstance(preprocessing, Embedding):
        return None
    rows = choose_rows(groups)
    groups = np.asarray(groups)[rows].astype(str)
    n_groups = len(np.unique(groups))
    facts: dict[str, Any] = {"n_images": len(rows), "n_groups": n_groups, "budget": BUDGET}
    if len(rows) < LEAST_IMAGES or n_groups < LEAST_GROUPS:
        few = f"{LEAST_IMAGES} training images of {LEAST_GROUPS} groups"
        return Gate(**facts, reason=f"at least {few} are needed, got {len(rows)} of {n_groups}")
    values = measure_images(_Rows(images, rows), preprocessing)
    names = measures_of(preprocessing)
    # The images of a stack are measured one by one.
    n_tiles = values.shape[1]
    flat, weights = values.reshape(-1, len(names)), weigh(np.repeat(groups, n_tiles))
    floors = np.array([_LEAST_SPREAD.get(name, _LEAST_LOG) for name in names])
    deviations = _hold_out(flat, np.repeat(groups, n_tiles), floors, names)
    usual = np.array([max(1.0, quantile(column, weights, _TAIL)) for column in deviations.T])
    largest = (deviations / usual).max(axis=1).reshape(-1, n_tiles).max(axis=1)
    margin = 1 + _FEW_GROUPS[0] / n_groups + _FEW_GROUPS[1] / n_groups**2
    factor = max(1.0, quantile(largest, weigh(groups), 1 - BUDGET)) * margin
    return Gate(**facts, margin=margin, **_limits(flat, weights, floors, names, usual * factor))


def find_passed(refused: Any, targets: IntArray) -> BoolArray:
    """Return the images to calibrate on, (N,): those that pass, or all if a class would be lost.

    Args:
        refused: Reasons (N,), empty where an image passes; ``None`` without a gate.
        targets: Class index of each, (N,).
    """
    everything = np.ones(len(targets), dtype=bool)
    if refused is None:
        return everything
    passed = np.asarray(refused == "")
    return passed if set(targets[passed]) == set(targets) else everything


class _Rows:
    """Some rows of an image source."""

    def __init__(self, images: ImageSource, rows: IntArray) -> None:
        self._images, self._rows = images, rows
        self.shape = (len(rows), *images.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, chosen: slice | IntArray) -> Any:
        return self._images[self._rows[chosen]]


def weigh(groups: Any) -> FloatArray:
    """Return weights (N,) by which each group (N,) has the same; their sum is 1."""
    _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (sizes[place] * len(sizes)))


def quantile(values: FloatArray, weights: FloatArray, level: float) -> float:
    """Return the weighted quantile of values (N,) that are finite; 0 where none is."""
    known = np.isfinite(values)
    if not known.any():
        return 0.0
    found = np.quantile(values[known], level, weights=weights[known], method="inverted_cdf")
    return float(found)


def _hold_out(
    values: FloatArray, groups: Any, floors: FloatArray, names: tuple[str, ...]
) -> FloatArray:
    """Return deviations (N, 2 M + 1) from the other groups: below, above, and the distance."""
    _, place = np.unique(groups, return_inverse=True)
    n_groups = int(place.max()) + 1
    n_folds = min(_FOLDS, n_groups)
    fold_of = np.random.default_rng(0).permutation(np.arange(n_groups) % n_folds)[place]
    found = np.zeros((len(values), 2 * len(names) + 1))
    low, high = np.array([[one is not None for one in reasons_of(name)] for name in names]).T
    for fold in range(n_folds):
        own = fold_of == fold
        weights = weigh(groups[~own])
        spreads = _spreads(values[~own], weights, floors)
        scaled = scale(values[own], *spreads)
        mean, precision = _covary(scale(values[~own], *spreads), weights)
        found[own] = np.column_stack(
            [
                np.maximum(-scaled, 0) * low,
                np.maximum(scaled, 0) * high,
                mahalanobis(scaled, mean, precision),
            ]
        )
    return found


def _spreads(
    values: FloatArray, weights: FloatArray, floors: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return centre, and spread below and above it, of each measure, (M,) each."""
    levels = (0.1, 0.5, 0.9)
    low, centre, high = np.array(
        [[quantile(column, weights, level) for column in values.T] for level in levels]
    )
    return centre, np.maximum(centre - low, floors), np.maximum(high - centre, floors)


def _covary(scaled: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean (M,) and inverse covariance (M, M) of scaled measures, shrunk to the diagonal."""
    shown = bounded(scaled)
    mean = weights @ shown
    away = shown - mean
    covariance = away.T @ (away * weights[:, None])
    own = np.diag(np.diag(covariance))
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * own + _RIDGE * np.eye(len(mean))
    return mean, np.linalg.inv(shrunk)


def _limits(
    values: FloatArray,
    weights: FloatArray,
    floors: FloatArray,
    names: tuple[str, ...],
    limits: FloatArray,
) -> dict[str, Any]:
    """Return measures and distance of the gate, from limits (2 M + 1,) in spreads."""
    centre, below, above = (_round(one) for one in _spreads(values, weights, floors))
    mean, precision = _covary(scale(values, centre, below, above), weights)
    count = len(names)
    measures = {}
    for place, name in enumerate(names):
        lower, upper = (reason is not None for reason in reasons_of(name))
        measures[name] = Limits(
            centre=centre[place],
            below=below[place],
            above=above[place],
            low=_shorten(centre[place] - limits[place] * below[place]) if lower else None,
            high=_shorten(centre[place] + limits[count + place] * above[place]) if upper else None,
        )
    return {
        "measures": measures,
        "distance": Distance(
            mean=_round(mean).tolist(),
            precision=_round(precision).tolist(),
            high=_shorten(float(limits[-1])),
        ),
    }


def _shorten(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _round(values: FloatArray) -> FloatArray:
    return np.array([_shorten(float(value)) for value in values.flat]).reshape(values.shape)
