"""Gate before prediction: measures of an image at the network's input, and the limits on them.

All measures are of the 8-bit image that the network receives. Structure is the variance of the
image and of its successive 2 × 2 means: their differences are the energy in octaves of spatial
frequency (a Haar pyramid), and the ratio of two neighbouring octaves depends neither on contrast
nor on stain. The second over the finest is the softness, which blur multiplies; of the others the
logarithm is taken. Colour is optical density of the tissue pixels: how dense, and which share of it
is red and blue, as in ``evaluation.drift``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eosin.artifacts.gate import REFUSALS, Gate, Refusal
from eosin.artifacts.model import Preprocessing
from eosin.core.types import BoolArray, FloatArray, Image, ImageSource
from eosin.stain import find_ink

#: By measure, the reason of an image with less and with more than in training; ``None`` where that
#: alone is no reason.
_REASONS: dict[str, tuple[Refusal | None, Refusal | None]] = {
    "tissue": ("blank", None),
    "white": (None, None),
    "contrast": ("blank", None),
    "ink": (None, "ink"),
    "softness": ("scale", "blurred"),
    "density": ("stain", "stain"),
    "stain_red": ("stain", "stain"),
    "stain_blue": ("stain", "stain"),
    "stain_spread": ("stain", "stain"),
    "black": (None, "domain"),
    "skewness": ("domain", "domain"),
}
_OCTAVE, _LIGHT = "octave_", "light of "
_STAINED = (
    "tissue", "density", "stain_red", "stain_blue", "stain_spread", "ink", "black",
    "white",
)  # fmt: skip
#: More than half of an image is not a pen mark; the measure is the square root of the share.
_MOST_INK = 0.5**0.5
#: Contrast of a plain image: the logarithm of five grey levels.
_PLAIN = float(np.log(5.0))
#: Octaves at most, and the least side of the coarsest image, in pixels.
_MOST_OCTAVES, _LEAST_SIDE = 5, 4
#: Shortest side on which colours are measured: of a larger image every second pixel, or fewer.
_COLOUR_PX = 96
#: Least optical density, summed over the colours, of a tissue pixel, and least share of them for a
#: colour.
_TISSUE_DENSITY, _LEAST_TISSUE = 0.45, 0.01
_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)
#: Grey levels from which on a pixel is white, and below which it is black.
_WHITE, _BLACK = 248, 8
#: Least variance, in squared grey levels: of rounding to 8 bits.
_LEAST_VARIANCE = 1e-3
#: Deviations are cut off here, in spreads of the training images: what is far off is so.
_MOST_DEVIATION = 50.0
#: The same for the distance.
_MOST_TOGETHER = 8.0
_BATCH = 64
#: Reasons as texts, an array of objects (N,); empty where an image passes.
Refused = Any


def measures_of(preprocessing: Preprocessing) -> tuple[str, ...]:
    """Return the names of the M measures of a model's images."""
    n_octaves = _count_octaves(preprocessing.input_px)
    ratios = ["softness", *(f"{_OCTAVE}{place}" for place in range(2, n_octaves))]
    structure = ("contrast", "skewness", *ratios[: max(n_octaves - 1, 0)])
    if preprocessing.planes is None:
        return (*_STAINED, *structure)
    return (*(f"{_LIGHT}{name}" for name in preprocessing.channels), *structure)


def reasons_of(measure: str) -> tuple[Refusal | None, Refusal | None]:
    """Return the reason of an image with less, and with more, of a measure than in training."""
    if measure.startswith(_OCTAVE):
        return ("scale", "scale") if measure == f"{_OCTAVE}2" else (None, None)
    return ("stain", "stain") if measure.startswith(_LIGHT) else _REASONS[measure]


def measure_images(images: ImageSource, preprocessing: Preprocessing) -> FloatArray:
    """Measure images at the network's input.

    Args:
        images: uint8, shape (N, H, W, C).
        preprocessing: Of the model.

    Returns:
        Shape (N, T, M): of each of the T images of a magnification stack (1 otherwise) the M
        measures; NaN where one is undefined, or where an image is missing.
    """
    n_tiles = max(1, len(preprocessing.magnifications))
    found = np.empty((len(images), n_tiles, len(measures_of(preprocessing))))
    for start in range(0, len(images), _BATCH):
        for place, image in enumerate(images[start : start + _BATCH], start=start):
            found[place] = _measure_stack(image, preprocessing)
    return found


def find_refused(gate: Gate, images: ImageSource, preprocessing: Preprocessing) -> Refused:
    """Return the reason why each image is refused, empty if it passes, shape (N,).

    Where several limits are exceeded it is the first of :data:`~eosin.artifacts.gate.REFUSALS`; but
    of a plain image ``blank``, and where most of it is of a pen's colour ``domain``.
    """
    if gate.distance is None:
        return np.full(len(images), "", dtype=object)
    values = measure_images(images, preprocessing)
    return np.array([_find_reason(gate, stack) for stack in values], dtype=object)


def _find_reason(gate: Gate, stack: FloatArray) -> str:
    """Return the reason why an image with the measures (T, M) is refused; empty if it passes."""
    names = list(gate.measures)
    found: set[str] = set()
    for name, exceeded in zip(names, _exceed(gate, stack), strict=True):
        pairs = zip(reasons_of(name), exceeded, strict=True)
        found |= {reason for reason, is_beyond in pairs if reason is not None and is_beyond}
    if gate.distance is not None and _distance(gate, stack).max() > gate.distance.high:
        found.add("domain")
    if "blank" in found and np.nanmin(stack[:, names.index("contrast")]) < _PLAIN:
        return "blank"
    if "ink" in found and np.nanmax(stack[:, names.index("ink")]) > _MOST_INK:
        return "domain"
    return next((reason for reason in REFUSALS if reason in found), "")


def _exceed(gate: Gate, stack: FloatArray) -> BoolArray:
    """Return whether one of the images (T, M) lies below, and above, each measure's limits, (M, 2).

    Measures that are undefined (NaN) exceed none.
    """
    shown = gate.measures.values()
    low = np.array([-np.inf if one.low is None else one.low for one in shown])
    high = np.array([np.inf if one.high is None else one.high for one in shown])
    return np.column_stack([(stack < low).any(axis=0), (stack > high).any(axis=0)])


def _distance(gate: Gate, values: FloatArray) -> FloatArray:
    """Return the Mahalanobis distance of measures (N, M), shape (N,), per measure."""
    if gate.distance is None:
        return np.zeros(len(values))
    shown = list(gate.measures.values())
    spreads = [np.array([getattr(one, side) for one in shown]) for side in ("below", "above")]
    scaled = scale(values, np.array([one.centre for one in shown]), *spreads)
    return mahalanobis(scaled, np.array(gate.distance.mean), np.array(gate.distance.precision))


def scale(
    values: FloatArray, centre: FloatArray, below: FloatArray, above: FloatArray
) -> FloatArray:
    """Return measures (N, M) as deviations from the centre, in spreads; undefined ones are 0."""
    away = np.nan_to_num(values - centre)
    scaled: FloatArray = np.clip(
        np.where(away < 0, away / below, away / above), -_MOST_DEVIATION, _MOST_DEVIATION
    )
    return scaled


def bounded(scaled: FloatArray) -> FloatArray:
    """Return scaled measures as they count for the distance: within ±8 spreads."""
    return np.clip(scaled, -_MOST_TOGETHER, _MOST_TOGETHER)


def mahalanobis(scaled: FloatArray, mean: FloatArray, precision: FloatArray) -> FloatArray:
    """Return the distance of scaled measures (N, M) from ``mean`` (M,), divided by √M."""
    away = bounded(scaled) - mean
    squared = np.einsum("nm,mk,nk->n", away, precision, away)
    return np.asarray(np.sqrt(np.maximum(squared, 0) / max(1, len(mean))))


def _measure_stack(image: Image, preprocessing: Preprocessing) -> FloatArray:
    """Measure an image (H, W, C); of a stack each image (T, M), NaN where it is missing."""
    n_tiles = max(1, len(preprocessing.magnifications))
    if n_tiles == 1:
        return _measure_one(image, preprocessing)[None]
    tiles = np.split(image, n_tiles, axis=2)
    unknown = np.full(len(measures_of(preprocessing)), np.nan)
    return np.stack(
        [_measure_one(tile, preprocessing) if tile.any() else unknown for tile in tiles]
    )


def _measure_one(image: Image, preprocessing: Preprocessing) -> FloatArray:
    n_octaves = _count_octaves(preprocessing.input_px)
    if preprocessing.planes is None:
        # Both stains absorb green.
        structure = _measure_structure(image[..., 1].astype(np.float32), n_octaves)
        return np.array([*_measure_colour(image), *structure])
    light = np.log1p(image.reshape(-1, image.shape[2]).mean(axis=0))
    structure = _measure_structure(image.mean(axis=2, dtype=np.float32), n_octaves)
    return np.array([*light, *structure])


def _measure_colour(image: Image) -> Sequence[float]:
    """Return the measures of :data:`_STAINED` of an image, uint8, shape (H, W, 3)."""
    step = max(1, min(image.shape[:2]) // _COLOUR_PX)
    flat = np.ascontiguousarray(image[::step, ::step]).reshape(-1, 3)
    red, green, blue = (_DENSITY.take(flat[:, place]) for place in range(3))
    total = red + green + blue
    is_tissue = (total > _TISSUE_DENSITY).astype(np.float32)
    n_tissue, n_pixels = float(is_tissue.sum()), len(flat)
    ink, greens = np.sqrt(np.count_nonzero(find_ink(flat)) / n_pixels), flat[:, 1]
    black = np.count_nonzero(greens < _BLACK) / n_pixels
    white = np.count_nonzero(greens >= _WHITE) / n_pixels
    tissue = n_tissue / n_pixels
    if tissue < _LEAST_TISSUE:
        return (tissue, *[np.nan] * 4, ink, black, white)
    sums = np.array([is_tissue @ red, is_tissue @ green, is_tissue @ blue])
    dose = float(sums.sum())
    apart = (red - blue) * is_tissue
    variance = float(apart @ apart) / n_tissue - float(apart.sum() / n_tissue) ** 2
    spread = np.sqrt(max(variance, 0.0)) * n_tissue / dose
    density = np.log(dose / n_tissue)
    return (tissue, density, sums[0] / dose, sums[2] / dose, spread, ink, black, white)


def _measure_structure(grey: FloatArray, n_octaves: int) -> list[float]:
    """Return contrast, skewness and the ratios of octaves of an image (H, W)."""
    away = grey - grey.mean()
    variances = [float(np.vdot(away, away)) / away.size]
    cubes = float(np.vdot(away * away, away)) / away.size
    skewness = cubes / max(variances[0], 1.0) ** 1.5
    for _ in range(n_octaves):
        away = _halve(away)
        mean = float(away.mean())
        variances.append(float(np.vdot(away, away)) / away.size - mean**2)
    energies = np.maximum(-np.diff(variances), _LEAST_VARIANCE)
    contrast = 0.5 * np.log(variances[0] + _LEAST_VARIANCE)
    ratios = energies[:-1] / energies[1:]
    return [contrast, skewness, *(1 / ratios[:1]), *np.log(ratios[1:])]


def _halve(grey: FloatArray) -> FloatArray:
    """Average 2 × 2 pixels; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in grey.shape)
    rows = grey[0:height:2, :width] + grey[1:height:2, :width]
    halved: FloatArray = (rows[:, 0::2] + rows[:, 1::2]) / 4
    return halved


def _count_octaves(input_px: tuple[int, int]) -> int:
    return max(0, min(_MOST_OCTAVES, (min(input_px) // _LEAST_SIDE).bit_length() - 1))
