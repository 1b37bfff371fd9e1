"""``profile.json``: what a model's images look like; and how outside images differ from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import Embedding, Preprocessing
from eosin.artifacts.profile import Distribution, Drift, Profile
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.progress import progress_bar
from eosin.core.types import FloatArray, Image, ImageSource, Samples
from eosin.data.quality.measures import measure_focus
from eosin.evaluation import Judged
from eosin.evaluation.drift import compare_profiles, describe_values, shares_of
from eosin.images.bank import ImageBank, load_bank
from eosin.images.references import without
from eosin.images.spacing import choose_some, measure_sizes

_BATCH = 32
#: Less than so many of the pixels, and the tissue is too little to have a colour.
_LEAST_TISSUE = 0.02
#: Optical density, summed over the colours, from which on a pixel is tissue.
_TISSUE_DENSITY = 0.45


def write_profile(model: ModelFolder, bank: ImageBank, train: Samples, judged: Judged) -> None:
    """Write what a model's images look like into its folder.

    Args:
        model: The model folder.
        bank: The images, read as the model reads them.
        train: Those that it was trained on.
        judged: What it said of images that it was calibrated on: those of validation, or those
            that folds held out.
    """
    splits = judged.samples.frame.get("split")
    profile = measure_profile(bank, train, judged)
    on = None if splits is None else str(splits.iloc[0])
    write_document(model.profile, profile.model_copy(update={"predicted_on": on}))


def profile_samples(
    model: ModelFolder, preprocessing: Preprocessing, samples: Samples, judged: Judged
) -> None:
    """Write the profile of a model whose images are not at hand: they are read as it reads them.

    Args:
        model: The model folder.
        preprocessing: How the model reads an image.
        samples: Of its training part, where they have one, else all that it was trained on.
        judged: What it said of images that it was not trained on.
    """
    has_parts = "split" in samples.frame and (samples.frame["split"] == "train").any()
    some = choose_some(samples.part("train") if has_parts else samples)
    bank, hashes = load_bank(some, preprocessing)
    write_profile(model, bank, without(some, hashes.unreadable), judged)


def measure_profile(bank: ImageBank, samples: Samples, judged: Judged) -> Profile:
    """Measure images and predictions.

    Args:
        bank: The images, read as the model reads them.
        samples: Those whose appearance is measured.
        judged: The predictions, of these or of other images.
    """
    return Profile(
        measured=_kind(bank),
        appearance=_describe_appearance(bank, choose_some(samples)),
        prediction=describe_values(_scores(judged), judged.samples.groups),
        classes=dict(shares_of(samples.frame["label"], judged.samples.class_names)),
    )


def find_drift(model: ModelFolder, bank: ImageBank, judged: Judged) -> Drift:
    """Tell how outside images differ from those that a model was trained on.

    Args:
        model: The model folder.
        bank: The outside images, read as the model reads them.
        judged: What it said of them.
    """
    if not model.profile.exists():
        return Drift(
            verdict="unknown",
            reason="the model carries no profile of its training images; one trained anew has it",
        )
    training = read_document(model.profile, Profile)
    drift = compare_profiles(training, measure_profile(bank, judged.samples, judged))
    names, positive = judged.samples.class_names, judged.positive
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
    """Measure images as the network sees them.

    Args:
        images: uint8, shape (N, H, W, C), N at least 1.
        channels: Names of fluorescence channels; nothing of brightfield.

    Returns:
        By quantity, a number an image, shape (N,); NaN where it is undefined.
    """
    rows: list[dict[str, float]] = []
    with progress_bar("Measuring images") as advance:
        for start in range(0, len(images), _BATCH):
            rows += [_measure_one(one, channels) for one in images[start : start + _BATCH]]
            advance(len(rows), len(images))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _measure_one(image: Image, channels: tuple[str, ...] | None) -> dict[str, float]:
    """Measure one image at the network's input; of a bundle the mean of its images.

    Args:
        image: uint8, shape (H, W, C).
        channels: Names of fluorescence channels; nothing of brightfield.
    """
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
    """Return which shares of the light that tissue absorbs are red and blue: the dye, not its dose.

    Args:
        flat: RGB, shape (N, 3).
    """
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


def _scores(judged: Judged) -> FloatArray:
    if judged.positive is None:
        return np.asarray(judged.probabilities.max(axis=1))
    return judged.probabilities[:, judged.positive]
