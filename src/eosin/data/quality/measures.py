"""Quality measures of one image, independent of the others.

Focus is the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000) at the stored resolution, in
which blur shows first, divided by coarser detail: the variance of the Laplacian of the image shrunk
fourfold, plus the variance of the image itself. All three are grey levels squared, so that a pale
stain or a dim lamp does not count; a tile's share of background hardly does, nor its magnification,
which would change the plain variance. Of a section the colours are added first; of fluorescence the
channels' variances are, so that a channel of mere noise does not count. It still depends on tissue
and scanner: only images of one set compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eosin.core.errors import ImageError
from eosin.core.progress import progress_bar
from eosin.core.threads import map_threads
from eosin.core.types import BoolArray, FloatArray, Image, Pixels, Samples
from eosin.images.decode import QUARTER, decode_image, may_be_deep_grey
from eosin.images.failures import isolated
from eosin.images.hashes import hash_pixels
from eosin.images.planes import decode_planes
from eosin.stain import find_ink

#: Tissue is darker than this in its darkest colour and tinted by so much: glass is neither, and a
#: shaded or grey field is not tinted.
_LIGHTEST_TISSUE, _LEAST_TINT = 220, 10
#: Factor between coarse and fine detail.
_COARSE = 4
#: Image values that are processed at once.
_STRIP_VALUES = 4 << 20


@dataclass(frozen=True, slots=True)
class Measures:
    """Quality measures of one image."""

    height: int  # pixels
    width: int  # pixels
    is_rgb: bool  # True for three 8-bit colours, False for fluorescence channels as stored
    has_colour: bool  # True if the colours differ anywhere
    pixels: str  # hash of shape and values, as in the leak audit
    extent: int  # largest difference of two values of one channel
    focus: float | None  # fine over coarse detail, ≥ 0; None where it is undefined
    at_bottom: float  # share of values that are 0, of all channels
    at_top: float  # share of values at the upper end; of fluorescence in the worst channel
    is_dark: bool  # True if values of 16 bits use less than a quarter of the range, and some of it
    tissue: float | None  # share of pixels that are tissue, 0–1; None for fluorescence
    ink: float | None  # share of pixels that have a pen's colour, 0–1; None for fluorescence


def decode_stored(path: Path, index: int | None = None) -> tuple[Pixels, bool]:
    """Decode an image with all significant bits; grey ones of 16 keep all: the upper may be empty.

    Returns uint8 RGB, shape (H, W, 3), or uint8 or uint16 channels, shape (H, W, C); True if it is
    RGB. Raises ImageError if it can be read as neither.
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
        if index is None and not may_be_deep_grey(path):
            return image, True
        planes = decode_planes(path, index)
    except ImageError:
        return image, True
    is_deep = planes.dtype != np.uint8 and planes.shape[2] == 1
    return (planes, False) if is_deep else (image, True)


def measure_image(image: Pixels, *, is_rgb: bool = True) -> Measures:
    """Measure an image: uint8 RGB (H, W, 3), or uint8 or uint16 channels (H, W, C)."""
    channels = np.ascontiguousarray(np.moveaxis(image, -1, 0))
    flat = channels.reshape(len(channels), -1)
    highest, lowest = flat.max(axis=1), flat.min(axis=1)
    limit = _top_of(highest)
    top = np.array([np.count_nonzero(one == limit) for one in flat]) / flat.shape[1]
    has_colour = is_rgb and _has_colour(channels)
    tissue, ink = _measure_stain(image) if is_rgb else (None, None)
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
        tissue=tissue,
        ink=ink,
    )


def _measure_stain(image: Image) -> tuple[float, float]:
    """Return the shares of an image's pixels that are tissue and ink."""
    n_tissue = n_ink = 0
    for start, stop in _strips(len(image), image.shape[1]):
        strip = image[start:stop]
        ink = find_ink(strip)
        n_ink += int(np.count_nonzero(ink))
        tissue = _find_tissue(np.ascontiguousarray(np.moveaxis(strip, -1, 0)))
        n_tissue += int(np.count_nonzero(tissue & ~ink))
    n_pixels = image.shape[0] * image.shape[1]
    return n_tissue / n_pixels, n_ink / n_pixels


def _strips(height: int, row_values: int) -> Iterator[tuple[int, int]]:
    """Yield first row and last row + 1 of strips: a large image as a whole takes gigabytes."""
    step = max(1, _STRIP_VALUES // max(1, row_values) // _COARSE) * _COARSE
    for start in range(0, height, step):
        yield start, min(start + step, height)


def measure_focus(channels: Pixels) -> float | None:
    """Return the focus of an image (C, H, W): fine over coarse detail.

    From 0 (flat) to about 20 (white noise), see the module; None where nothing varies, or for fewer
    than 3 × 3 pixels.
    """
    n_channels, height, width = channels.shape
    strips = list(_strips(height, n_channels * width))

    def values(start: int, stop: int) -> FloatArray:
        return channels[:, max(start, 0) : stop].astype(np.float32)

    spread = _vary(values(start, stop) for start, stop in strips)
    if min(height, width) < 3 or spread == 0:
        return None
    shrunk = np.concatenate([_shrink(values(start, stop)) for start, stop in strips], axis=1)
    fine = _vary(_laplacian(values(start - 1, stop + 1)) for start, stop in strips)
    coarse = _vary([_laplacian(shrunk)]) if min(shrunk.shape[1:]) >= 3 else 0.0
    return fine / (coarse + spread)


def _laplacian(values: FloatArray) -> FloatArray:
    """Return the Laplacian of the inner pixels, shape (C, H - 2, W - 2)."""
    laplacian = values[:, :-2, 1:-1] + values[:, 2:, 1:-1]
    laplacian += values[:, 1:-1, :-2]
    laplacian += values[:, 1:-1, 2:]
    laplacian -= 4 * values[:, 1:-1, 1:-1]
    return laplacian


def _shrink(values: FloatArray) -> FloatArray:
    """Average 4 × 4 pixels, shape (C, H // 4, W // 4); a rest at the border is left out."""
    height, width = (size // _COARSE for size in values.shape[1:])
    kept = values[:, : height * _COARSE, : width * _COARSE]
    # Rows first, which are contiguous in memory: four times as fast as both at once.
    rows = kept.reshape(len(values), height, _COARSE, width * _COARSE).sum(axis=2)
    total: FloatArray = rows[..., ::_COARSE].copy()
    for place in range(1, _COARSE):
        total += rows[..., place::_COARSE]
    return total / _COARSE**2


def _vary(strips: Iterable[FloatArray]) -> float:
    """Return the variance of strips (C, h, W), summed over channels; 0 for no values.

    Equal to NumPy's, in half the time.
    """
    count, total = 0, 0.0
    mean: FloatArray = np.zeros((1, 1), dtype=np.float32)
    for strip in strips:
        flat = strip.reshape(len(strip), -1)
        number = flat.shape[1]
        if number:
            middle = flat.mean(axis=1, keepdims=True)
            flat = flat - middle
            gap = middle - mean
            # Chan's formula for the sums of squares of two parts.
            total += float(np.vdot(flat, flat))
            total += float(np.vdot(gap, gap)) * count * number / (count + number)
            mean = mean + gap * (number / (count + number))
            count += number
    return total / count if count else 0.0


def _has_colour(channels: Image) -> bool:
    return bool((channels[1:] != channels[0]).any())


def _find_tissue(channels: Image) -> BoolArray:
    darkest = np.minimum(np.minimum(channels[0], channels[1]), channels[2])
    lightest = np.maximum(np.maximum(channels[0], channels[1]), channels[2])
    tissue: BoolArray = (darkest <= _LIGHTEST_TISSUE) & (lightest - darkest >= _LEAST_TINT)
    return tissue


def _top_of(highest: Pixels) -> int:
    """Return the largest possible value: the type's, or that of a 10 to 14-bit camera."""
    largest = int(highest.max())
    if highest.dtype == np.uint16 and largest in {2**bits - 1 for bits in (10, 12, 14)}:
        return largest
    return int(np.iinfo(highest.dtype).max)


def measure_samples(
    samples: Samples, *, cells: Sequence[str] | None = None
) -> dict[str, Measures | str]:
    """Decode and measure every image of a table, or those of ``cells``, once.

    Images of a stack count by themselves. Returns by image reference, in the table's order, its
    measures, or the reason why it is unreadable.
    """
    cells = samples.image_cells if cells is None else cells

    def measure(cell: str) -> Measures | str:
        try:
            with isolated(cell):
                image, is_rgb = decode_stored(*samples.locate(cell))
                return measure_image(image, is_rgb=is_rgb)
        except ImageError as error:
            return str(error)

    found: dict[str, Measures | str] = {}
    results = zip(cells, map_threads(measure, cells), strict=True)
    with progress_bar("Checking images") as advance:
        for done, (cell, result) in enumerate(results, start=1):
            found[cell] = result
            advance(done, len(cells))
    return found
