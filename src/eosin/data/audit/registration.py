"""Small grey pictures of images: what copies are looked for in.

A section's colours become grey. Of fluorescence, whatever its depth, each channel is stretched from
its least to its largest count and their mean is the grey: a copy whose window differs is found, a
channel that one of the two lacks is not missed. A picture is 32 pixels wide and high, whatever
shape the image has; it takes one KiB, so that 100,000 of them fit in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from scipy import ndimage

from eosin.core.types import FloatArray, Image, IntArray, Pixels

SKETCH_PX = 32
#: Side of the cells that texture is looked for in, and grey levels that tell texture from paper.
_CELL_PX, _LEAST_DETAIL = 4, 4.0
#: Detail is what lies between these two widths of a Gaussian, in pixels of a sketch: the finer is
#: noise, and lost in a small copy; the coarser is light and shade, which other images share.
_FINE_PX, _COARSE_PX = 1.0, 3.0
_PICTURES_AT_ONCE = 4096
#: Values of an image that become floats together.
_STRIP_VALUES = 4 << 20


#: What each of the eight views does to a picture.
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
#: A picture's edge is moved by at most such a share of its half side: a crop by 5 % and a little.
_LARGEST_MOVE = 0.16
_DAMPING = 1e-2
_PAIRS_AT_ONCE = 2048


def sketch(image: Pixels) -> Image:
    """Return the small grey picture of an image.

    Args:
        image: uint8 or uint16, shape (H, W, C); three channels of uint8 are RGB.

    Returns:
        uint8, shape (32, 32).
    """
    small = to_grey(image).resize((SKETCH_PX, SKETCH_PX), PillowImage.Resampling.BILINEAR)
    return np.asarray(small)


def to_grey(image: Pixels) -> PillowImage.Image:
    """Return an image in grey; see the module."""
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
    """Return what is neither noise nor shade, float32, shape (N, H, W)."""
    values = np.asarray(pictures, dtype=np.float32)
    fine = ndimage.gaussian_filter(values, (0, _FINE_PX, _FINE_PX))
    found: FloatArray = fine - ndimage.gaussian_filter(values, (0, _COARSE_PX, _COARSE_PX))
    return found


def measure_texture(pictures: Image) -> FloatArray:
    """Return the share of each picture that has texture, 0–1, shape (N,)."""
    shares = []
    for start in range(0, len(pictures), _PICTURES_AT_ONCE):
        detail = find_detail(pictures[start : start + _PICTURES_AT_ONCE])
        cells = detail.reshape(len(detail), SKETCH_PX // _CELL_PX, _CELL_PX, -1, _CELL_PX)
        strength = np.sqrt((cells * cells).mean(axis=(2, 4)))
        shares.append((strength > _LEAST_DETAIL).mean(axis=(1, 2)))
    return np.concatenate([np.zeros(0), *shares])


@dataclass(frozen=True)
class Registration:
    """How some pictures lie over others.

    Attributes:
        view: Which of the eight views of the moved picture fits, shape (P,).
        scale: Of the moved picture's sides as they appear in the fixed one, shape (P, 2).
        score: Correlation of the details, −1–1, shape (P,).
    """

    view: IntArray
    scale: FloatArray
    score: FloatArray


def to_grid(pictures: npt.NDArray[np.generic]) -> FloatArray:
    """Return the means of 8 × 8 cells, float32, shape (N, 8, 8)."""
    side = pictures.shape[1] // GRID
    values = np.asarray(pictures, dtype=np.float32)
    means: FloatArray = values.reshape(len(values), GRID, side, GRID, side).mean(axis=(2, 4))
    return means


def turn(pictures: FloatArray, view: int) -> FloatArray:
    """Return one of the eight views of pictures, shape (N, H, H)."""
    seen = pictures[:, :, ::-1] if view >= 4 else pictures
    return np.rot90(seen, view % 4, axes=(1, 2))


def find_view(fixed: Image, moved: Image) -> tuple[IntArray, FloatArray]:
    """Return the view of each moved picture that fits best, and the correlation of the cells."""
    a, b = _standardised(to_grid(fixed)), _standardised(to_grid(moved))
    fits = np.stack([(a * turn(b, view)).mean(axis=(1, 2)) for view in range(len(VIEWS))])
    return fits.argmax(axis=0), fits.max(axis=0)


def register(pictures: Image, pairs: IntArray) -> Registration:
    """Lay pictures over others.

    Args:
        pictures: uint8, shape (N, S, S).
        pairs: Rows of the fixed and of the moved picture, shape (P, 2).
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
    """Return what interpolates rows and columns, and which pixels have something under them."""
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
