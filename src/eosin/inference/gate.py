"""Gate before prediction: measures of an image at the network's input, and the limits on them.

All measures are of the 8-bit image that the network receives. Structure is the variance of the
image and of its successive 2 × 2 means: their differences are the energy in octaves of spatial
frequency (a Haar pyramid), and the ratio of two neighbouring octaves depends neither on contrast
nor on stain. The second over the finest is the softness, which blur multiplies; of the others the
logarithm is taken. Colour is optical density of the tissue pixels: how dense, and which share of it
is red and blue, as in ``evaluation.drift``.
"""

from __future__ import annotations

import math
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
#: Images at a time: they fit into a processor's cache.
_BATCH = 8
#: Planes of an image's size that measuring takes.
_PLANES = 5
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
    memory = np.empty(_PLANES * _BATCH * math.prod(preprocessing.input_px), dtype=np.float32)
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        for place, tiles in enumerate(np.split(batch, n_tiles, axis=3)):
            mine = _measure_tiles(tiles, preprocessing, memory)
            if n_tiles > 1:
                mine[~tiles.any(axis=(1, 2, 3))] = np.nan
            found[start : start + len(batch), place] = mine
    return found


def find_refused(gate: Gate, images: ImageSource, preprocessing: Preprocessing) -> Refused:
    """Return the reason why each image is refused, empty if it passes, shape (N,).

    Where several limits are exceeded it is the first of :data:`~eosin.artifacts.gate.REFUSALS`; but
    of a plain image ``blank``, and where most of it is of a pen's colour ``domain``.
    """
    if gate.distance is None:
        return np.full(len(images), "", dtype=object)
    values = measure_images(images, preprocessing)
    exceeded = _exceed(gate, values)
    flat = values.reshape(-1, values.shape[2])
    distance = _distance(gate, flat).reshape(values.shape[:2]).max(axis=1, initial=0.0)
    is_far = distance > gate.distance.high
    found = np.full(len(values), "", dtype=object)
    for place in np.flatnonzero(exceeded.any(axis=(1, 2)) | is_far):
        found[place] = _find_reason(gate, values[place], exceeded[place], bool(is_far[place]))
    return found


def _find_reason(gate: Gate, stack: FloatArray, exceeded: BoolArray, is_far: bool) -> str:
    """Return the reason why an image with the measures (T, M) is refused; empty if it passes.

    ``exceeded`` are the limits that it is beyond, (M, 2), as by :func:`_exceed`.
    """
    names = list(gate.measures)
    found = {"domain"} if is_far else set[str]()
    for name, beyond in zip(names, exceeded, strict=True):
        pairs = zip(reasons_of(name), beyond, strict=True)
        found |= {reason for reason, is_beyond in pairs if reason is not None and is_beyond}
    if "blank" in found and np.nanmin(stack[:, names.index("contrast")]) < _PLAIN:
        return "blank"
    if "ink" in found and np.nanmax(stack[:, names.index("ink")]) > _MOST_INK:
        return "domain"
    return next((reason for reason in REFUSALS if reason in found), "")


def _exceed(gate: Gate, values: FloatArray) -> BoolArray:
    """Return whether an image lies below, and above, each measure's limits, (N, M, 2).

    ``values`` (N, T, M) are of its T images, of which one is enough. Measures that are undefined
    (NaN) exceed none.
    """
    shown = gate.measures.values()
    low = np.array([-np.inf if one.low is None else one.low for one in shown])
    high = np.array([np.inf if one.high is None else one.high for one in shown])
    return np.stack([(values < low).any(axis=1), (values > high).any(axis=1)], axis=-1)


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


def _measure_tiles(tiles: Image, preprocessing: Preprocessing, memory: FloatArray) -> FloatArray:
    """Return the M measures of images (N, H, W, C), shape (N, M).

    ``memory`` is for intermediate results: to ask the system for it each time takes longer than to
    compute them.
    """
    n_octaves = _count_octaves(preprocessing.input_px)
    grey = _within(memory, tiles.shape[:3])
    if preprocessing.planes is None:
        coloured = _measure_colour(tiles, memory)
        # Both stains absorb green.
        grey[...] = tiles[..., 1]
        return np.hstack([coloured, _measure_structure(grey, memory[grey.size :], n_octaves)])
    light = np.log1p(tiles.mean(axis=(1, 2)))
    np.mean(tiles, axis=3, dtype=np.float32, out=grey)
    return np.hstack([light, _measure_structure(grey, memory[grey.size :], n_octaves)])


def _measure_colour(images: Image, memory: FloatArray) -> FloatArray:
    """Return the measures of :data:`_STAINED` of images, uint8, shape (N, H, W, 3)."""
    step = max(1, min(images.shape[1:3]) // _COLOUR_PX)
    chosen = np.moveaxis(images[:, ::step, ::step], -1, 0)
    colours = np.ascontiguousarray(chosen).reshape(3, len(images), -1)
    density = _within(memory, (_PLANES, *colours.shape[1:]))
    np.take(_DENSITY, colours, out=density[:3], mode="clip")
    total, is_tissue = density[3:]
    np.add(density[0], density[1], out=total)
    total += density[2]
    is_tissue[...] = total > _TISSUE_DENSITY
    ink, greens = np.sqrt(find_ink(np.moveaxis(colours, 0, -1)).mean(axis=1)), colours[1]
    tissue, black = is_tissue.mean(axis=1), (greens < _BLACK).mean(axis=1)
    white = (greens >= _WHITE).mean(axis=1)
    # Of an image without tissue the colours are undefined.
    n_tissue = np.where(tissue < _LEAST_TISSUE, np.nan, is_tissue.sum(axis=1, dtype=np.float64))
    sums = np.matmul(np.moveaxis(density[:3], 0, 1), is_tissue[..., None])[..., 0].T
    sums = sums.astype(np.float64)
    dose = sums.sum(axis=0) + 0 * n_tissue
    apart = np.subtract(density[0], density[2], out=total)
    apart *= is_tissue
    variance = _mean_product(apart, apart) * total.shape[1] / n_tissue
    variance -= (apart.sum(axis=1) / n_tissue) ** 2
    spread = np.sqrt(np.maximum(variance, 0.0)) * n_tissue / dose
    return np.column_stack(
        [
            *(tissue, np.log(dose / n_tissue), sums[0] / dose, sums[2] / dose, spread),
            *(ink, black, white),
        ]
    )


def _measure_structure(grey: FloatArray, memory: FloatArray, n_octaves: int) -> FloatArray:
    """Return contrast, skewness and the ratios of octaves of images (N, H, W), changed here."""
    away, spare = grey, _within(memory, grey.shape)
    away -= _mean(grey)[:, None, None]
    variances = [_mean_product(away, away)]
    np.multiply(away, away, out=spare)
    skewness = _mean_product(spare, away) / np.maximum(variances[0], 1.0) ** 1.5
    for _ in range(n_octaves):
        away = _halve(away, spare)
        variances.append(_mean_product(away, away) - _mean(away) ** 2)
    energies = np.maximum(-np.diff(variances, axis=0), _LEAST_VARIANCE)
    contrast = 0.5 * np.log(variances[0] + _LEAST_VARIANCE)
    ratios = energies[:-1] / energies[1:]
    return np.column_stack([contrast, skewness, *(1 / ratios[:1]), *np.log(ratios[1:])])


def _mean_product(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the mean product of each row of two arrays (N, …), shape (N,)."""
    rows, others = (array.reshape(len(array), -1) for array in (one, other))
    products = np.matmul(rows[:, None, :], others[:, :, None])
    mean: FloatArray = products[:, 0, 0].astype(np.float64) / rows.shape[1]
    return mean


def _mean(grey: FloatArray) -> FloatArray:
    mean: FloatArray = grey.reshape(len(grey), -1).mean(axis=1)
    return mean


def _halve(grey: FloatArray, spare: FloatArray) -> FloatArray:
    """Average 2 × 2 pixels of images (N, H, W), in their memory and that of ``spare``.

    An odd last row or column is left out.
    """
    height, width = (side // 2 * 2 for side in grey.shape[1:])
    rows = _within(spare, (len(grey), height // 2, width))
    np.add(grey[:, 0:height:2, :width], grey[:, 1:height:2, :width], out=rows)
    halved = _within(grey, (len(grey), height // 2, width // 2))
    np.add(rows[..., 0::2], rows[..., 1::2], out=halved)
    halved *= 0.25
    return halved


def _within(memory: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return an array at the beginning of another's memory."""
    return memory.reshape(-1)[: math.prod(shape)].reshape(shape)


def _count_octaves(input_px: tuple[int, int]) -> int:
    return max(0, min(_MOST_OCTAVES, (min(input_px) // _LEAST_SIDE).bit_length() - 1))
