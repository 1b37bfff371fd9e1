"""What is measured of one image, whatever the others are.

Focus is the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000) at the stored resolution, in
which blur shows first, over what coarser detail there is: the variance of the Laplacian of the
image shrunk fourfold, plus the variance of the image itself. All three are grey levels squared, so
that a pale stain or a dim lamp does not count; a tile's share of background hardly does, nor, which
the plain variance would, its magnification. Of a section the colours are added first; of
fluorescence the channels' variances are, which leaves a channel of mere noise without a say. It
still depends on tissue and scanner: only images of one set compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eosin.core.errors import ImageError
from eosin.core.types import BoolArray, FloatArray, Image, Pixels
from eosin.datasets.audit.hashes import hash_pixels
from eosin.inference.decode import decode_image
from eosin.inference.depth import QUARTER
from eosin.inference.planes import decode_planes
from eosin.stain import find_ink

#: Tissue is darker than this in its darkest colour and tinted by so much: glass is neither, and a
#: shaded or grey field is not tinted.
_LIGHTEST_TISSUE, _LEAST_TINT = 220, 10
#: What fine detail is compared with is so many times as coarse.
_COARSE = 4


@dataclass(frozen=True, slots=True)
class Measures:
    """The numbers of one image; a few hundred bytes, so that those of a whole set are kept.

    Attributes:
        height: Pixels.
        width: Pixels.
        is_rgb: Whether it has three 8-bit colours; else fluorescence channels as stored.
        has_colour: Whether the colours differ anywhere.
        pixels: Hash of shape and values, the audit's own.
        extent: Largest distance between two values of one channel.
        focus: Fine detail over coarse, ≥ 0; ``None`` where it is undefined.
        at_bottom: Share of values that are 0, of all channels.
        at_top: Share of values at the upper end; of fluorescence in the worst channel.
        is_dark: Whether values of 16 bits use less than a quarter of the range, and some of it.
        tissue: Share of pixels that are tissue, 0–1; ``None`` of fluorescence.
        ink: Share of pixels that have a pen's colour, 0–1; ``None`` of fluorescence.
    """

    height: int
    width: int
    is_rgb: bool
    has_colour: bool
    pixels: str
    extent: int
    focus: float | None
    at_bottom: float
    at_top: float
    is_dark: bool
    tissue: float | None
    ink: float | None


def decode_stored(path: Path, index: int | None = None) -> tuple[Pixels, bool]:
    """Decode an image with all the bits that count.

    Grey images of 16 bits come as they were counted: their upper eight may hold nothing.

    Returns:
        uint8 RGB, shape (H, W, 3), or uint8 or uint16 channels, shape (H, W, C); whether it is RGB.

    Raises:
        ImageError: It can be read as neither.
    """
    try:
        image = decode_image(path, index)
    except ImageError as error:
        try:
            return decode_planes(path, index), False
        except ImageError:
            raise error from None
    # One pixel in 64 shows the colour of nearly all sections.
    if any(_has_colour(np.moveaxis(part, -1, 0)) for part in (image[::8, ::8], image)):
        return image, True
    try:
        planes = decode_planes(path, index)
    except ImageError:
        return image, True
    is_deep = planes.dtype != np.uint8 and planes.shape[2] == 1
    return (planes, False) if is_deep else (image, True)


def measure_image(image: Pixels, *, is_rgb: bool = True) -> Measures:
    """Measure one image.

    Args:
        image: uint8 RGB, shape (H, W, 3), or uint8 or uint16 channels, shape (H, W, C).
        is_rgb: Which of the two.
    """
    channels = np.ascontiguousarray(np.moveaxis(image, -1, 0))
    flat = channels.reshape(len(channels), -1)
    highest, lowest = flat.max(axis=1), flat.min(axis=1)
    top = np.count_nonzero(flat == _top_of(highest), axis=1) / flat.shape[1]
    has_colour = is_rgb and _has_colour(channels)
    ink = find_ink(image) if is_rgb else None
    return Measures(
        height=image.shape[0],
        width=image.shape[1],
        is_rgb=is_rgb,
        has_colour=has_colour,
        pixels=hash_pixels(image),
        extent=int((highest - lowest).max()),
        focus=measure_focus(channels.sum(axis=0, dtype=np.int32)[None] if is_rgb else channels),
        at_bottom=1 - np.count_nonzero(flat) / flat.size,
        at_top=float(top.mean() if is_rgb else top.max()),
        is_dark=image.dtype != np.uint8 and 0 < int(highest.max()) <= QUARTER,
        tissue=None if ink is None else _share(_find_tissue(channels) & ~ink),
        ink=None if ink is None else _share(ink),
    )


def measure_focus(channels: Pixels) -> float | None:
    """Return how strong the finest detail is, beside the coarser.

    Args:
        channels: Shape (C, H, W).

    Returns:
        From 0 (flat) to about 20 (white noise), see the module's header; ``None`` where nothing
        varies, or an image has fewer than 3 × 3 pixels.
    """
    values = channels.astype(np.float32)
    spread = _vary(values)
    if min(values.shape[1:]) < 3 or spread == 0:
        return None
    return _vary_laplacian(values) / (_vary_laplacian(_shrink(values)) + spread)


def _vary_laplacian(values: FloatArray) -> float:
    """Return the variance of the Laplacian, summed over channels; 0 where nothing is inside."""
    if min(values.shape[1:]) < 3:
        return 0.0
    laplacian = values[:, :-2, 1:-1] + values[:, 2:, 1:-1]
    laplacian += values[:, 1:-1, :-2]
    laplacian += values[:, 1:-1, 2:]
    laplacian -= 4 * values[:, 1:-1, 1:-1]
    return _vary(laplacian)


def _shrink(values: FloatArray) -> FloatArray:
    """Average squares of pixels, shape (C, H // 4, W // 4); a rest at the border is left out."""
    height, width = (size // _COARSE for size in values.shape[1:])
    kept = values[:, : height * _COARSE, : width * _COARSE]
    # Rows first, which lie side by side in memory: four times as fast as both at once.
    rows = kept.reshape(len(values), height, _COARSE, width * _COARSE).sum(axis=2)
    total: FloatArray = rows[..., ::_COARSE].copy()
    for place in range(1, _COARSE):
        total += rows[..., place::_COARSE]
    return total / _COARSE**2


def _vary(values: FloatArray) -> float:
    """Return the variance over each channel, summed over channels: as NumPy's, in half the time."""
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return float(np.vdot(flat, flat)) / len(flat[0])


def _share(marked: BoolArray) -> float:
    return int(np.count_nonzero(marked)) / int(marked.size)


def _has_colour(channels: Image) -> bool:
    return bool((channels[1:] != channels[0]).any())


def _find_tissue(channels: Image) -> BoolArray:
    darkest = np.minimum(np.minimum(channels[0], channels[1]), channels[2])
    lightest = np.maximum(np.maximum(channels[0], channels[1]), channels[2])
    tissue: BoolArray = (darkest <= _LIGHTEST_TISSUE) & (lightest - darkest >= _LEAST_TINT)
    return tissue


def _top_of(highest: Pixels) -> int:
    """Return the value that cannot be exceeded: the type's, or that of a 10 to 14-bit camera."""
    largest = int(highest.max())
    if highest.dtype == np.uint16 and largest in {2**bits - 1 for bits in (10, 12, 14)}:
        return largest
    return int(np.iinfo(highest.dtype).max)
