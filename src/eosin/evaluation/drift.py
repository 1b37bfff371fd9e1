"""Drift of external images from a model's training images, by quantity.

A difference is Wasserstein's distance between the two distributions, in standard deviations of the
training images. Because patients of one source differ too, it counts only where it is both large
and outside the prediction interval (Student's t) of the mean of as many further groups of the
training's source. Every group has the same weight. ``docs/external.md`` explains the limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import stdtr

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import Embedding, Preprocessing
from eosin.artifacts.profile import Distribution, Drift, Profile, Shift, Verdict
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.progress import progress_bar
from eosin.core.types import FloatArray, Image, ImageSource, Samples
from eosin.data.quality.measures import measure_focus
from eosin.evaluation import Evaluated
from eosin.images.bank import ImageBank, load_bank
from eosin.images.references import without
from eosin.images.spacing import choose_some, measure_sizes

#: Distances from which on a quantity is shifted, and far off.
SHIFTED, FAR_OFF = 0.5, 1.0
#: Significance level.
CHANCE = 0.001
#: With fewer groups the variation between groups is unknown.
LEAST_GROUPS = 3
_GRID = np.linspace(0.0, 1.0, 101)
#: Least standard deviation of each quantity, in its own unit: smaller ones do not matter.
_LEAST_SPREAD = {
    "focus": 0.2, "saturation": 0.02, "stain_red": 0.01, "stain_blue": 0.01, "prediction": 0.05,
}  # fmt: skip
#: The same for colours and contrast (of 255), and for the side (relative to its mean).
_LEAST_LIGHT, _LEAST_SIDE = 4.0, 0.1
_ORDER: tuple[Verdict, ...] = ("not judged", "as in training", "shifted", "far off")


_BATCH = 32
#: Least share of tissue pixels for a stain colour.
_LEAST_TISSUE = 0.02
#: Least optical density, summed over the colours, of a tissue pixel.
_TISSUE_DENSITY = 0.45


def describe_values(values: FloatArray, groups: Any) -> Distribution | None:
    """Return the distribution of a quantity (N,) of images, each group (N,) with the same weight.

    Values that are not finite are left out; ``None`` where none is finite.
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
    # An image lies in the middle of its own weight.
    reached = np.cumsum(weights[order]) - weights[order] / 2
    return np.asarray(np.interp(_GRID, reached, values[order]), dtype=np.float64)


def compare_profiles(training: Profile, outside: Profile) -> Drift:
    """Compare a model's reference profile with that of external images."""
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
    """Compare the distributions of one quantity in training and external images."""
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
        verdict=_verdict(name, distance, chance),
    )


def _share_beyond(quantiles: FloatArray, low: float, high: float) -> float:
    """Return the share of a distribution that lies below ``low`` or above ``high``."""
    inside = np.mean((quantiles >= low) & (quantiles <= high))
    return float(1 - inside)


def _find_chance(training: Distribution, outside: Distribution) -> float | None:
    """Return the probability of such a mean among further groups of the training's source."""
    if training.n_groups < LEAST_GROUPS or training.group_spread is None:
        return None
    error = training.group_spread * np.sqrt(1 / training.n_groups + 1 / outside.n_groups)
    if error == 0:
        return float(training.mean == outside.mean)
    far = abs(outside.mean - training.mean) / error
    return float(2 * stdtr(training.n_groups - 1, -far))


def _verdict(name: str, distance: float, chance: float | None) -> Verdict:
    if chance is None:
        return "not judged"
    if distance < SHIFTED or chance >= CHANCE:
        return "as in training"
    # Another size may be the same field stored at a finer resolution: alone it proves little.
    return "far off" if distance >= FAR_OFF and name != "side_px" else "shifted"


def shares_of(labels: Any, class_names: tuple[str, ...]) -> Mapping[str, float]:
    """Return the share of each class among labels."""
    found = np.asarray(labels, dtype=str)
    return {name: float(np.mean(found == name)) for name in class_names}


def write_profile(
    model: ModelFolder, bank: ImageBank, train: Samples, evaluated: Evaluated
) -> None:
    """Write the reference profile of a model's images, and of predictions not trained on."""
    splits = evaluated.samples.frame.get("split")
    profile = measure_profile(bank, train, evaluated)
    on = None if splits is None else str(splits.iloc[0])
    write_document(model.profile, profile.model_copy(update={"predicted_on": on}))


def profile_samples(
    model: ModelFolder, preprocessing: Preprocessing, samples: Samples, evaluated: Evaluated
) -> None:
    """Write the reference profile of a model, reading its images anew."""
    has_parts = "split" in samples.frame and (samples.frame["split"] == "train").any()
    some = choose_some(samples.part("train") if has_parts else samples)
    bank, hashes = load_bank(some, preprocessing)
    write_profile(model, bank, without(some, hashes.unreadable), evaluated)


def measure_profile(bank: ImageBank, samples: Samples, evaluated: Evaluated) -> Profile:
    """Measure the profile of images, as the model reads them, and of predictions.

    The predictions may be for other images.
    """
    return Profile(
        measured=_kind(bank),
        appearance=_describe_appearance(bank, choose_some(samples)),
        prediction=describe_values(_scores(evaluated), evaluated.samples.groups),
        classes=dict(shares_of(samples.frame["label"], evaluated.samples.class_names)),
    )


def find_drift(model: ModelFolder, bank: ImageBank, evaluated: Evaluated) -> Drift:
    """Measure the drift of external images, as the model reads them, and of their predictions."""
    if not model.profile.exists():
        return Drift(
            verdict="unknown",
            reason="the model has no reference profile of its training images; retraining adds it",
        )
    training = read_document(model.profile, Profile)
    drift = compare_profiles(training, measure_profile(bank, evaluated.samples, evaluated))
    names, positive = evaluated.samples.class_names, evaluated.positive
    return drift.model_copy(update={"predicted": None if positive is None else names[positive]})


def _kind(bank: ImageBank) -> Any:
    if isinstance(bank.preprocessing, Embedding):
        return "features"
    return "brightfield" if bank.preprocessing.planes is None else "fluorescence"


def _describe_appearance(bank: ImageBank, samples: Samples) -> dict[str, Distribution]:
    if isinstance(bank.preprocessing, Embedding):
        return {}
    is_section = bank.preprocessing.planes is None
    columns = measure_images(bank.of(samples), None if is_section else bank.preprocessing.channels)
    columns["side_px"] = np.sqrt(measure_sizes(samples, bank.preprocessing).prod(axis=1))
    found = {name: describe_values(values, samples.groups) for name, values in columns.items()}
    return {name: one for name, one in found.items() if one is not None}


def measure_images(
    images: ImageSource, channels: tuple[str, ...] | None = None
) -> dict[str, FloatArray]:
    """Measure images at the network's input.

    Args:
        images: uint8, shape (N, H, W, C), N at least 1.
        channels: Names of fluorescence channels; ``None`` for brightfield.

    Returns:
        By quantity, one number per image, shape (N,); NaN where undefined.
    """
    rows: list[dict[str, float]] = []
    with progress_bar("Measuring images") as advance:
        for start in range(0, len(images), _BATCH):
            rows += [_measure_one(one, channels) for one in images[start : start + _BATCH]]
            advance(len(rows), len(images))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _measure_one(image: Image, channels: tuple[str, ...] | None) -> dict[str, float]:
    """Measure an image (H, W, C), uint8, at the network's input; of a stack its images' mean."""
    if channels is not None:
        return measure_planes(image, channels)
    tiles = [tile for tile in np.split(image, image.shape[2] // 3, axis=2) if tile.any()]
    found = [measure_section(tile) for tile in tiles or [image[..., :3]]]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def measure_section(image: Image) -> dict[str, float]:
    """Measure a brightfield image, uint8, shape (H, W, 3)."""
    flat = image.reshape(-1, 3).astype(np.float32)
    red, green, blue = flat.mean(axis=0)
    highest, lowest = flat.max(axis=1), flat.min(axis=1)
    stain_red, stain_blue = _stain_colour(flat)
    return {
        "red": float(red),
        "green": float(green),
        "blue": float(blue),
        "contrast": float(flat.mean(axis=1).std()),
        "saturation": float(((highest - lowest) / np.maximum(highest, 1.0)).mean()),
        "stain_red": stain_red,
        "stain_blue": stain_blue,
        "focus": _log_focus(image.astype(np.int32).sum(axis=2)[None]),
    }


def _stain_colour(flat: FloatArray) -> tuple[float, float]:
    """Return the shares of red and blue in the optical density of RGB (N, 3): hue without dose."""
    density = -np.log((flat + 1) / 256)
    tissue = density[density.sum(axis=1) > _TISSUE_DENSITY]
    if len(tissue) < _LEAST_TISSUE * len(flat):
        return float("nan"), float("nan")
    red, _, blue = tissue.mean(axis=0) / tissue.mean(axis=0).sum()
    return float(red), float(blue)


def measure_planes(image: Image, channels: tuple[str, ...]) -> dict[str, float]:
    """Measure fluorescence channels, windowed to 8 bits, shape (H, W, C)."""
    means = image.reshape(-1, image.shape[2]).mean(axis=0)
    found = {f"light of {name}": float(mean) for name, mean in zip(channels, means, strict=True)}
    return {**found, "focus": _log_focus(np.moveaxis(image, -1, 0))}


def _log_focus(channels: Any) -> float:
    """Return the logarithm of the focus: twice as sharp and half as sharp are equally far off."""
    focus = measure_focus(channels)
    return float(np.log(focus)) if focus else float("nan")


def _scores(evaluated: Evaluated) -> FloatArray:
    if evaluated.positive is None:
        return np.asarray(evaluated.probabilities.max(axis=1))
    return evaluated.probabilities[:, evaluated.positive]
