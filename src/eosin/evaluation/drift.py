"""How far outside images are from those that a model was trained on, quantity by quantity.

Two questions are asked of each. How large is the difference: Wasserstein's distance between the
two distributions, in standard deviations of the training images. And could it be chance: patients
of one source differ too, so that a few new ones have another mean in any case. A difference counts
where it is large and beyond what so many further groups of the training's own source would show
(the prediction interval of a mean, Student's t). Every group has the same say: one patient with a
thousand images makes no drift. ``docs/external.md`` tells how the limits were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import stdtr

from eosin.artifacts.profile import Distribution, Drift, Profile, Shift, Verdict
from eosin.core.types import FloatArray

#: Distances from which on a quantity is shifted, and far off.
SHIFTED, FAR_OFF = 0.5, 1.0
#: Less probable than this, a difference is not laid to chance.
CHANCE = 0.001
#: With fewer groups nobody can tell how much groups differ.
LEAST_GROUPS = 3
_GRID = np.linspace(0.0, 1.0, 101)
#: What is too small to matter, in the quantity's own unit: no spread counts as smaller.
_LEAST_SPREAD = {
    "focus": 0.2, "saturation": 0.02, "stain_red": 0.01, "stain_blue": 0.01, "prediction": 0.05,
}  # fmt: skip
#: Of 255, for colours and contrast; and of the side's own mean.
_LEAST_LIGHT, _LEAST_SIDE = 4.0, 0.1
_ORDER: tuple[Verdict, ...] = ("not judged", "as in training", "shifted", "far off")


def describe_values(values: FloatArray, groups: Any) -> Distribution | None:
    """Describe one number of images, each group weighing the same.

    Args:
        values: Shape (N,); what is not finite is left out.
        groups: Of each image, shape (N,).

    Returns:
        Nothing where no value is finite.
    """
    known = np.isfinite(values)
    values = np.asarray(values, dtype=np.float64)[known]
    if len(values) == 0:
        return None
    _, place, sizes = np.unique(
        np.asarray(groups)[known].astype(str), return_inverse=True, return_counts=True
    )
    weights = 1.0 / (sizes[place] * len(sizes))
    means = np.bincount(place, weights=values) / sizes
    centre = float(means.mean())
    return Distribution(
        n_images=len(values),
        n_groups=len(sizes),
        mean=centre,
        spread=float(np.sqrt(weights @ (values - centre) ** 2)),
        group_spread=float(means.std(ddof=1)) if len(sizes) > 1 else None,
        quantiles=tuple(_quantiles(values, weights).round(6).tolist()),
    )


def _quantiles(values: FloatArray, weights: FloatArray) -> FloatArray:
    order = np.argsort(values, kind="stable")
    # An image stands in the middle of its own weight.
    reached = np.cumsum(weights[order]) - weights[order] / 2
    return np.asarray(np.interp(_GRID, reached, values[order]), dtype=np.float64)


def compare_profiles(training: Profile, outside: Profile) -> Drift:
    """Tell how the outside images differ.

    Args:
        training: What travels with the model.
        outside: The same of the outside images.
    """
    pairs = {
        name: (mine, outside.appearance[name])
        for name, mine in training.appearance.items()
        if name in outside.appearance
    }
    if training.prediction is not None and outside.prediction is not None:
        pairs["prediction"] = (training.prediction, outside.prediction)
    shifts = {name: compare(name, *pair) for name, pair in pairs.items()}
    return Drift(
        verdict=max(
            (shift.verdict for shift in shifts.values()), key=_ORDER.index, default=_ORDER[0]
        ),
        shifts=shifts,
        training_classes=training.classes,
        outside_classes=outside.classes,
    )


def compare(name: str, training: Distribution, outside: Distribution) -> Shift:
    """Compare one quantity.

    Args:
        name: Of the quantity, for the spread that is too small to matter.
        training: Of the training images.
        outside: Of the outside images.
    """
    mine, theirs = np.array(training.quantiles), np.array(outside.quantiles)
    least = _LEAST_SIDE * training.mean if name == "side_px" else _LEAST_LIGHT
    spread = max(training.spread, _LEAST_SPREAD.get(name, least))
    distance = float(np.trapezoid(np.abs(theirs - mine), _GRID)) / spread
    chance = _find_chance(training, outside)
    return Shift(
        training=training,
        outside=outside,
        distance=distance,
        beyond=_share_beyond(theirs, mine[1], mine[-2]),
        chance=chance,
        verdict=_judge(name, distance, chance),
    )


def _share_beyond(quantiles: FloatArray, low: float, high: float) -> float:
    """Return the share of a distribution that lies below ``low`` or above ``high``."""
    inside = np.mean((quantiles >= low) & (quantiles <= high))
    return float(1 - inside)


def _find_chance(training: Distribution, outside: Distribution) -> float | None:
    """Return how probable such a mean is among further groups of the training's own source."""
    if training.n_groups < LEAST_GROUPS or training.group_spread is None:
        return None
    error = training.group_spread * np.sqrt(1 / training.n_groups + 1 / outside.n_groups)
    if error == 0:
        return float(training.mean == outside.mean)
    far = abs(outside.mean - training.mean) / error
    return float(2 * stdtr(training.n_groups - 1, -far))


def _judge(name: str, distance: float, chance: float | None) -> Verdict:
    if chance is None:
        return "not judged"
    if distance < SHIFTED or chance >= CHANCE:
        return "as in training"
    # Another size may be the same field, stored finer: by itself it says little.
    return "far off" if distance >= FAR_OFF and name != "side_px" else "shifted"


def shares_of(labels: Any, class_names: tuple[str, ...]) -> Mapping[str, float]:
    """Return the share of each class among labels."""
    found = np.asarray(labels, dtype=str)
    return {name: float(np.mean(found == name)) for name in class_names}
