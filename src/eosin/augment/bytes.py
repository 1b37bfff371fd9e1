"""Augmentation of a batch of bytes by OpenCV.

Borders are reflected, not black. Floats on an accelerator are changed by
:mod:`eosin.augment.floats`, up to rounding to whole grey values the same. On a CPU OpenCV takes a
fifth to a seventh of torch's time over floats. See ``docs/adr/0006-augmentation-on-bytes.md``.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from cv2.typing import MatLike

from eosin.augment.drawing import Drawn
from eosin.core.threads import thread_limit
from eosin.core.types import BoolArray, FloatArray, Image, IntArray

_CORNERS = np.array([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
_GROUP = 4  # channels that OpenCV resamples at once
#: Brightest value and one: optical density is −ln((value + 1) / this), 0 for white, never infinite.
LIGHT = 256.0
#: ln(value + 1) of every 8-bit value.
_LOGARITHMS = np.log(np.arange(1, 257)).astype(np.float32)
_ONES = (1.0, 1.0, 1.0, 0.0)
#: Standard deviations after which a Gaussian is cut off.
REACH = 3.0
#: Bytes of a batch below which handing work to a thread takes longer than doing it.
_WORTH_A_THREAD = 1 << 17
#: Most threads: each image holds Python's lock for a moment, so that more wait for each other.
_MOST_THREADS = 4


def warp_bytes(images: Image, matrices: FloatArray) -> Image:
    """Resample every 8-bit image of a batch by its own matrix, rounded to whole values.

    Mirrors and quarter turns of a square move bytes and interpolate nothing. The result does not
    depend on the number of threads or the other images.

    Args:
        images: uint8, shape (B, H, W, C).
        matrices: float, shape (B, 2, 3), from output to input coordinates in −1…1.

    Returns:
        Same shape and type.
    """
    moves = _Moves.of(matrices, images.shape[1:3])
    moved = np.empty_like(images)

    def move(row: int) -> None:
        _move(images[row], moves, row, moved[row])

    share_out(move, len(images), images.nbytes)
    return moved


@dataclass(frozen=True)
class _Moves:
    """Pixel transforms of a batch for OpenCV.

    Attributes:
        maps: From output to input pixels inside the margins, float64, shape (B, 2, 3).
        margins: Pixels reached beyond the image: top, bottom, left, right, shape (B, 4).
        exact: True if every pixel comes from one pixel, shape (B,).
    """

    maps: FloatArray
    margins: IntArray
    exact: BoolArray

    @classmethod
    def of(cls, matrices: FloatArray, size: tuple[int, ...]) -> _Moves:
        height, width = size
        sides = np.array([width, height], dtype=np.float64)  # x, then y, as in the matrices
        linear = matrices[:, :, :2].astype(np.float64)
        # Pixel centres lie at (2 · pixel + 1) / side − 1.
        scaled = linear * sides[:, None] / sides
        start = (linear @ (1.0 / sides - 1.0) + matrices[:, :, 2] + 1.0) * sides / 2.0 - 0.5
        reach = start[:, :, None] + scaled @ (_CORNERS * (sides - 1.0)[:, None])  # (B, 2, 4)
        # A pixel more than is reached: single precision may step over the edge.
        before = np.maximum(1 - np.floor(reach.min(axis=2)), 0).astype(np.int64)
        after = np.ceil(reach.max(axis=2)) + 2 - sides
        after = np.maximum(after, 0).astype(np.int64)
        margins = np.stack([before[:, 1], after[:, 1], before[:, 0], after[:, 0]], axis=1)
        maps = np.concatenate([scaled, (start + before)[:, :, None]], axis=2)
        return cls(maps, margins, _is_exact(matrices, square=height == width))


def _is_exact(matrices: FloatArray, *, square: bool) -> BoolArray:
    """Return True for mirrors, and for quarter turns of a square: (B, 2, 3) to (B,)."""
    size = np.abs(matrices[:, :, :2])
    one_each = (size.sum(axis=1) == 1.0).all(axis=1) & (size.sum(axis=2) == 1.0).all(axis=1)
    whole = np.isin(size, (0.0, 1.0)).all(axis=(1, 2))
    centred = ~matrices[:, :, 2].any(axis=1)
    upright = np.full(len(size), square) | (size[:, 0, 0] == 1.0)
    exact: BoolArray = one_each & whole & centred & upright
    return exact


def _move(image: Image, moves: _Moves, row: int, moved: Image) -> None:
    for first in range(0, image.shape[-1], _GROUP):
        planes = np.ascontiguousarray(image[..., first : first + _GROUP])
        if moves.exact[row]:
            done = _mirror(planes, moves.maps[row])
        else:
            done = _resample(planes, moves.maps[row], moves.margins[row].tolist())
        group = moved[..., first : first + _GROUP]
        group[...] = done.reshape(group.shape)


def _mirror(planes: Image, linear: FloatArray) -> MatLike:
    """Rotate and mirror; ``linear`` holds zeros and ±1."""
    turned: MatLike = planes
    x_sign, y_sign = linear[0, 0], linear[1, 1]
    if x_sign == 0.0:
        turned = cv2.transpose(planes)
        x_sign, y_sign = linear[1, 0], linear[0, 1]
    if x_sign > 0 and y_sign > 0:
        return turned
    # 0 turns top and bottom, 1 left and right, -1 both.
    return cv2.flip(turned, -1 if x_sign == y_sign else int(x_sign < 0))


def _resample(planes: Image, matrix: FloatArray, margins: list[int]) -> MatLike:
    """Interpolate one to four channels; the matrix counts from inside the margins."""
    height, width, channels = planes.shape
    top, bottom, left, right = margins
    # With margins no absent pixel is read, which saves a test for each.
    wide = cv2.copyMakeBorder(_one_or_four(planes), top, bottom, left, right, cv2.BORDER_REFLECT)
    moved = cv2.warpAffine(
        wide,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if channels == 3:
        return cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)
    return moved[..., :channels] if channels > 1 else moved


def _one_or_four(planes: Image) -> MatLike:
    """Pad to four channels: fetching four bytes a pixel at once is the fastest."""
    channels = planes.shape[2]
    if channels in {1, _GROUP}:
        return planes
    if channels == 3:
        return cv2.cvtColor(planes, cv2.COLOR_RGB2RGBA)
    padded = np.zeros((*planes.shape[:2], _GROUP), dtype=np.uint8)
    padded[..., :channels] = planes
    return padded


def recolour_bytes(images: Image, drawn: Drawn) -> Image:
    """Change optical density, focus and tones of 8-bit images, rounded to whole values.

    The result does not depend on the number of threads or the other images.

    Args:
        images: uint8, shape (B, H, W, C). Where optical density is drawn, C is 3 for each image of
            a magnification stack; all of them are changed alike, and an all-black one, which is
            missing, stays black.
        drawn: Parameters of the batch.

    Returns:
        Same shape and type.
    """
    logarithms = None if drawn.density is None else _of_logarithms(drawn.density)
    changed = np.empty_like(images)

    def recolour(row: int) -> None:
        image = images[row]
        if logarithms is not None:
            image = _stained(image, logarithms[row])
        if drawn.blur is not None and drawn.blur[row] > 0:
            image = _blurred(image, float(drawn.blur[row]))
        if drawn.tables is not None:
            table = np.ascontiguousarray(drawn.tables[row].T)[None]
            image = cv2.LUT(image, table).reshape(image.shape)
        changed[row] = image

    share_out(recolour, len(images), images.nbytes)
    return changed


def _of_logarithms(density: FloatArray) -> FloatArray:
    """Convert changes of −ln((value + 1) / 256) to those of ln(value + 1): (B, 3, 4) likewise."""
    linear, start = density[:, :, :3].astype(np.float64), density[:, :, 3].astype(np.float64)
    start = math.log(LIGHT) * (1.0 - linear.sum(axis=2)) - start
    return np.concatenate([linear, start[:, :, None]], axis=2).astype(np.float32)


def _stained(image: Image, change: FloatArray) -> Image:
    stained = np.zeros_like(image)
    for first in range(0, image.shape[2], 3):
        planes = np.ascontiguousarray(image[..., first : first + 3])
        if not planes.any():
            continue
        values = cv2.transform(cv2.LUT(planes, _LOGARITHMS), change)
        values = cv2.exp(values, dst=values)
        # Rounded and clipped to 8 bits in the same pass; OpenCV's stubs know no scalars.
        values = cv2.subtract(values, _ONES, dtype=cv2.CV_8U)  # type: ignore[call-overload]
        stained[..., first : first + 3] = values
    return stained


def _blurred(image: Image, sigma: float) -> Image:
    side = 2 * math.ceil(REACH * sigma) + 1
    blurred = cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.uint8).reshape(image.shape)


# OpenCV's own threads would compete with ours, and do not survive a fork.
cv2.setNumThreads(0)


def share_out(work: Callable[[int], None], count: int, n_bytes: int) -> None:
    """Process every image of a batch of ``n_bytes``, on as many threads as training has.

    ``work`` processes one image, by its row; no row may touch another's result.
    """

    def do(rows: range) -> None:
        for row in rows:
            work(row)

    n_shares = min(_training_threads(), _MOST_THREADS)
    if n_bytes < _WORTH_A_THREAD:
        n_shares = 1
    shares = [range(first, count, n_shares) for first in range(n_shares)]
    # This thread takes a share too: waiting for all of them took a tenth longer.
    others = [_threads().submit(do, share) for share in shares[1:]]
    do(shares[0])
    for other in others:
        other.result()


def _training_threads() -> int:
    """Return PyTorch's number of threads if it is imported, else the limit, else the cores."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch is not None else thread_limit() or os.cpu_count() or 1


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_THREADS - 1, thread_name_prefix="eosin-augment")


if hasattr(os, "register_at_fork"):
    # A forked child inherits the pool, but none of its threads.
    os.register_at_fork(after_in_child=_threads.cache_clear)
