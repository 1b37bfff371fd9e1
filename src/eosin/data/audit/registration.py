"""Thumbnails of images, and their registration for the search for copies.

Sections are converted to grey. Of fluorescence, whatever its depth, each channel is stretched from
its least to its largest count and averaged: a copy with another window is found, and a channel that
one of the two lacks does not matter. A thumbnail is 32 × 32 pixels, whatever shape the image has;
it takes one KiB, so that 100,000 of them fit in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from scipy import ndimage

from eosin.core.types import FloatArray, Image, IntArray, Pixels

SKETCH_PX = 32
#: Side of the cells that texture is measured in, and the least grey levels of texture over paper.
_CELL_PX, _LEAST_DETAIL = 4, 4.0
#: Detail lies between these two widths of a Gaussian, in thumbnail pixels: finer is noise, and lost
#: in a small copy; coarser is shading, which other images share.
_FINE_PX, _COARSE_PX = 1.0, 3.0
_PICTURES_AT_ONCE = 4096
#: Image values that are converted to floats at once.
_STRIP_VALUES = 4 << 20
#: Names of the eight views of a thumbnail.
VIEWS = (
    "",
    "turned by 90°",
    "turned by 180°",
    "turned by 270°",
    "mirrored",
    "mirrored and turned by 90°",
    "turned upside down and mirrored",
    "mirrored and turned by 270°",
)
#: Cells a side in which views are compared.
GRID = 8
#: Widths of the Gaussian, in pixels, and steps at each.
_LEVELS = ((1.5, 6), (0.7, 4))
#: Largest move of an edge as a share of the half side: a crop by 5 % and a little.
_LARGEST_MOVE = 0.16
_DAMPING = 1e-2
_PAIRS_AT_ONCE = 2048


def sketch(image: Pixels) -> Image:
    """Return the grey thumbnail, uint8 (32, 32), of an image, uint8 or uint16 (H, W, C).

    Three channels of uint8 are RGB.
    """
    small = to_grey(image).resize((SKETCH_PX, SKETCH_PX), PillowImage.Resampling.BILINEAR)
    return np.asarray(small)


def to_grey(image: Pixels) -> PillowImage.Image:
    """Convert an image to grey as the module describes."""
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return PillowImage.fromarray(np.asarray(image, dtype=np.uint8)).convert("L")
    low = image.min(axis=(0, 1))
    spread = np.maximum(image.max(axis=(0, 1)) - low, 1).astype(np.float32)
    grey = np.empty(image.shape[:2], dtype=np.uint8)
    step = max(1, _STRIP_VALUES // max(1, image[0].size))
    for start in range(0, len(image), step):
        strip = slice(start, start + step)
        share = ((image[strip].astype(np.float32) - low) / spread).mean(axis=2)
        grey[strip] = np.rint(255 * share)
    return PillowImage.fromarray(grey)


def find_detail(pictures: npt.NDArray[np.generic]) -> FloatArray:
    """Return the band-pass detail, without noise and shading, float32, shape (N, H, W)."""
    values = np.asarray(pictures, dtype=np.float32)
    fine = ndimage.gaussian_filter(values, (0, _FINE_PX, _FINE_PX))
    found: FloatArray = fine - ndimage.gaussian_filter(values, (0, _COARSE_PX, _COARSE_PX))
    return found


def measure_texture(pictures: Image) -> FloatArray:
    """Return the share of each thumbnail that has texture, 0–1, shape (N,)."""
    shares = []
    for start in range(0, len(pictures), _PICTURES_AT_ONCE):
        detail = find_detail(pictures[start : start + _PICTURES_AT_ONCE])
        cells = detail.reshape(len(detail), SKETCH_PX // _CELL_PX, _CELL_PX, -1, _CELL_PX)
        strength = np.sqrt((cells * cells).mean(axis=(2, 4)))
        shares.append((strength > _LEAST_DETAIL).mean(axis=(1, 2)))
    return np.concatenate([np.zeros(0), *shares])


@dataclass(frozen=True)
class Registration:
    """Alignment of pairs of thumbnails."""

    view: IntArray  # which of the eight views of the moved thumbnail fits, shape (P,)
    scale: FloatArray  # relative size of the moved thumbnail's sides in the fixed one, shape (P, 2)
    score: FloatArray  # correlation of the details, −1–1, shape (P,)


def to_grid(pictures: npt.NDArray[np.generic]) -> FloatArray:
    """Return the means of 8 × 8 cells, float32, shape (N, 8, 8)."""
    side = pictures.shape[1] // GRID
    values = np.asarray(pictures, dtype=np.float32)
    means: FloatArray = values.reshape(len(values), GRID, side, GRID, side).mean(axis=(2, 4))
    return means


def turn(pictures: FloatArray, view: int) -> FloatArray:
    """Return one of the eight views of thumbnails, shape (N, H, H)."""
    seen = pictures[:, :, ::-1] if view >= 4 else pictures
    return np.rot90(seen, view % 4, axes=(1, 2))


def find_view(fixed: Image, moved: Image) -> tuple[IntArray, FloatArray]:
    """Return the best view of each moved thumbnail, and the correlation of its cells."""
    a, b = _standardised(to_grid(fixed)), _standardised(to_grid(moved))
    fits = np.stack([(a * turn(b, view)).mean(axis=(1, 2)) for view in range(len(VIEWS))])
    return fits.argmax(axis=0), fits.max(axis=0)


def register(pictures: Image, pairs: IntArray) -> Registration:
    """Align pairs of thumbnails, uint8 (N, S, S).

    ``pairs`` are rows of the fixed and of the moved thumbnail, shape (P, 2).
    """
    parts = [
        _register(pictures[some[:, 0]], pictures[some[:, 1]])
        for some in np.split(pairs, range(_PAIRS_AT_ONCE, len(pairs), _PAIRS_AT_ONCE))
    ]
    view, scale, score = (np.concatenate(found) for found in zip(*parts, strict=True))
    return Registration(view, scale, score)


def _register(fixed: Image, moved: Image) -> tuple[IntArray, FloatArray, FloatArray]:
    view, _ = find_view(fixed, moved)
    a, b = fixed.astype(np.float32), moved.astype(np.float32)
    for number in range(1, len(VIEWS)):
        b[view == number] = turn(b[view == number], number)
    move = _find_move(a, b)
    rows, columns, inside = _warp_matrices(move, a.shape[1])
    detail = rows @ find_detail(b) @ columns
    return view, 1 + move[:, (1, 3)], _correlation(find_detail(a), detail, inside)


def _find_move(fixed: FloatArray, moved: FloatArray) -> FloatArray:
    """Return shift and growth of y, then of x, in half sides, shape (P, 4)."""
    n_pairs, side, _ = fixed.shape
    move = np.zeros((n_pairs, 4), dtype=np.float32)
    place = np.linspace(-1, 1, side, dtype=np.float32)
    for sigma, steps in _LEVELS:
        a, b = (
            _standardised(ndimage.gaussian_filter(values, (0, sigma, sigma)))
            for values in (fixed, moved)
        )
        dy, dx = np.gradient(a, axis=(1, 2))
        parts = (dy, dy * place[:, None], dx, dx * place)
        slopes = (
            np.stack([part.reshape(n_pairs, side * side) for part in parts], axis=1)
            * (side - 1)
            / 2
        )
        hessian = slopes @ slopes.transpose(0, 2, 1)  # (P, 4, 4)
        trace = np.trace(hessian, axis1=1, axis2=2)[:, None, None]
        inverse = np.linalg.inv(hessian + (_DAMPING * trace + 1e-3) * np.eye(4))
        for _ in range(steps):
            rows, columns, inside = _warp_matrices(move, side)
            gap = ((a - rows @ b @ columns) * inside).reshape(n_pairs, side * side, 1)
            step = (inverse @ (slopes @ gap))[..., 0]
            move = np.clip(move + step, -_LARGEST_MOVE, _LARGEST_MOVE).astype(np.float32)
    return move


def _warp_matrices(move: FloatArray, side: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return matrices that interpolate rows and columns, and a mask of the overlap."""
    place = np.linspace(-1, 1, side, dtype=np.float32)
    pixels = np.arange(side, dtype=np.float32)

    def weigh(shift: FloatArray, growth: FloatArray) -> tuple[FloatArray, FloatArray]:
        wanted = (shift[:, None] + (1 + growth[:, None]) * place + 1) * (side - 1) / 2
        is_inside = (wanted >= -0.25) & (wanted <= side - 0.75)
        wanted = np.clip(wanted, 0, side - 1)
        weights = np.maximum(0, 1 - np.abs(wanted[:, :, None] - pixels))
        return weights, is_inside.astype(np.float32)

    rows, in_rows = weigh(move[:, 0], move[:, 1])
    columns, in_columns = weigh(move[:, 2], move[:, 3])
    return rows, columns.transpose(0, 2, 1), in_rows[:, :, None] * in_columns[:, None, :]


def _standardised(values: FloatArray) -> FloatArray:
    centred = values - values.mean(axis=(1, 2), keepdims=True)
    spread = np.sqrt((centred * centred).mean(axis=(1, 2), keepdims=True))
    found: FloatArray = centred / np.maximum(spread, 1e-3)
    return found


def _correlation(a: FloatArray, b: FloatArray, weight: FloatArray) -> FloatArray:
    total = np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1)
    a = (a - (a * weight).sum(axis=(1, 2), keepdims=True) / total) * weight
    b = (b - (b * weight).sum(axis=(1, 2), keepdims=True) / total) * weight
    spread = np.sqrt((a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2)))
    found: FloatArray = (a * b).sum(axis=(1, 2)) / np.maximum(spread, 1e-6)
    return found
