"""Near-duplicates by thumbnails: their registration, and nearest neighbours.

Sections are converted to grey. Of fluorescence, whatever its depth, each channel is stretched from
its least to its largest count and averaged: a copy with another window is found, and a channel that
one of the two lacks does not matter. A thumbnail is 32 × 32 pixels, whatever shape the image has;
it takes one KiB, so that 100,000 of them fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from scipy import ndimage

from eosin.core.text import percent
from eosin.core.types import BoolArray, FloatArray, Image, IntArray, Pixels

#: Rows and columns of a block: 4 MiB of distances, which fit the cache.
_ROWS, _COLUMNS = 256, 4096
#: Neighbours of each image that are compared.
_NEIGHBOURS = 12
#: Least correlation of the cells: a crop by 5 % of fine tissue leaves 0.57.
_LEAST_GUESS = 0.5
#: Least correlation of thumbnails of half the size: a crop by 5 % leaves 0.88, chance seldom that.
_LEAST_FIT = 0.8
#: Least share of a thumbnail with texture for it to be compared.
LEAST_TEXTURE = 0.15
#: Largest unexplained detail of a copy, as a share of the texture; factor up to which a pair is
#: uncertain; most such pairs, as a share of the images or as a number in a small set.
_LARGEST_DOUBT, _DOUBTFUL, _FEW, _LEAST_FEW = 0.1, 3.0, 0.01, 3
#: Factor by which the limit is lowered at a time; below the least only identical ones are left.
_STEP, _LEAST_DOUBT = 0.7, 1e-3
#: Factor up to which pairs are compared again, and the most images, the likeliest first.
_AGAIN, _MOST_AGAIN = 5.0, 200
#: Change of a side that is a crop rather than the rounding of a resized copy.
_CROPPED = 0.015
_CHUNK = 8192
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
    "rotated by 90°",
    "rotated by 180°",
    "rotated by 270°",
    "mirrored",
    "mirrored and rotated by 90°",
    "rotated by 180° and mirrored",
    "mirrored and rotated by 270°",
)
#: Cells a side in which views are compared.
GRID = 8
#: Widths of the Gaussian, in pixels, and steps at each.
_LEVELS = ((1.5, 6), (0.7, 4))
#: Largest move of an edge as a share of the half side: a crop by 5 % and a little.
_LARGEST_MOVE = 0.16
_DAMPING = 1e-2
_PAIRS_AT_ONCE = 2048


def find_neighbours(queries: FloatArray, among: FloatArray, k: int) -> IntArray:
    """Return the nearest vectors of each query by Euclidean distance; memory O(N), time O(M · N).

    From ``queries`` (M, D) and ``among`` (N, D), float32, to rows of ``among``, unordered, shape
    (M, min(k, N)); a query that is among them finds itself, too.
    """
    k = min(k, len(among))
    centre = among.mean(axis=0) if len(among) else 0.0
    is_same, among = queries is among, among - centre
    queries = among if is_same else queries - centre
    halves = (among * among).sum(axis=1) / 2
    found = np.zeros((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), _ROWS):
        block = queries[start : start + _ROWS]
        found[start : start + _ROWS] = _search(block, among, halves, k)
    return found


def _search(block: FloatArray, among: FloatArray, halves: FloatArray, k: int) -> IntArray:
    """Return the k nearest of each row, by blocks of columns."""
    best = np.full((len(block), k), -np.inf, dtype=np.float32)
    rows = np.zeros((len(block), k), dtype=np.int64)
    for start in range(0, len(among), _COLUMNS):
        # Larger is nearer: half the squared length of the query is left out.
        near = block @ among[start : start + _COLUMNS].T - halves[start : start + _COLUMNS]
        # After a few blocks hardly any column is nearer than the k-th nearest.
        columns = np.flatnonzero((near > best.min(axis=1, keepdims=True)).any(axis=0))
        if len(columns) == 0:
            continue
        values = np.concatenate([best, near[:, columns]], axis=1)
        wide = np.broadcast_to(columns + start, (len(block), len(columns)))
        places = np.concatenate([rows, wide], axis=1)
        chosen = np.argpartition(-values, k - 1, axis=1)[:, :k]
        best = np.take_along_axis(values, chosen, axis=1)
        rows = np.take_along_axis(places, chosen, axis=1)
    return rows


def find_pairs(vectors: FloatArray, k: int, first: int | None = None) -> IntArray:
    """Return vectors (N, D) with their k nearest neighbours, each pair once, the smaller row first.

    With ``first``, each of the others is paired with its neighbours among the first so many.
    Returns rows, shape (P, 2), sorted.
    """
    if first is None:
        found = find_neighbours(vectors, vectors, k + 1)
        rows = np.arange(len(vectors))
    else:
        found = find_neighbours(vectors[first:], vectors[:first], k)
        rows = np.arange(first, len(vectors))
    pairs = np.stack([np.repeat(rows, found.shape[1]), found.ravel()], axis=1)
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


class Link(NamedTuple):
    """A matching pair of rows."""

    a: int
    b: int
    score: float  # similarity, up to 1
    how: str  # how the two differ, in words


def find_textured(pictures: Image) -> tuple[IntArray, FloatArray]:
    """Return the rows of thumbnails with enough texture, and the texture of each."""
    texture = measure_texture(pictures)
    rows = np.flatnonzero(texture >= LEAST_TEXTURE)
    return rows, texture[rows]


def find_copies(
    pictures: Image, texture: FloatArray, first: int | None = None
) -> tuple[list[Link], IntArray]:
    """Find pairs of thumbnails, uint8 (N, 32, 32), of one image.

    ``texture`` is the share of each that has texture, shape (N,); with ``first``, only the first so
    many are compared with the others. Returns the pairs; the uncertain ones, the likeliest first,
    shape (P, 2): none where all images are similar.
    """
    nothing = np.zeros((0, 2), dtype=np.int64)
    if len(pictures) < 2:
        return [], nothing
    pairs = find_pairs(describe(pictures), _NEIGHBOURS, first)
    pairs = pairs[_may_fit(pictures, pairs)]
    pairs = pairs[register(_halve(pictures), pairs).score > _LEAST_FIT]
    if len(pairs) == 0:
        return [], nothing
    laid = register(pictures, pairs)
    doubt = (1 - laid.score) / texture[pairs].min(axis=1)
    limit = find_limit(doubt, len(pictures))
    found = [
        Link(int(pairs[row, 0]), int(pairs[row, 1]), float(laid.score[row]), _describe(laid, row))
        for row in np.flatnonzero(doubt <= limit)
    ]
    again = np.flatnonzero((doubt > limit) & (doubt <= _AGAIN * limit))
    again = again[np.argsort(doubt[again], kind="stable")][:_MOST_AGAIN]
    return found, pairs[again] if limit == _LARGEST_DOUBT else nothing


def describe(pictures: Image) -> FloatArray:
    """Return a view-invariant descriptor of each thumbnail, float32, shape (N, 64)."""
    grid = to_grid(pictures).reshape(len(pictures), -1)
    return np.concatenate([np.sort(grid[:, cells], axis=1) for cells in _orbits()], axis=1)


def _orbits() -> Iterator[IntArray]:
    """Yield each orbit of grid cells under the eight views once."""
    cells = np.arange(GRID * GRID).reshape(GRID, GRID)
    views = [np.rot90(seen, k) for seen in (cells, cells[:, ::-1]) for k in range(4)]
    for together in sorted({tuple(sorted({int(v.flat[c]) for v in views})) for c in cells.flat}):
        yield np.array(together)


def _may_fit(pictures: Image, pairs: IntArray) -> BoolArray:
    parts = [
        find_view(pictures[some[:, 0]], pictures[some[:, 1]])[1] > _LEAST_GUESS
        for some in np.split(pairs, range(_CHUNK, len(pairs), _CHUNK))
    ]
    return np.concatenate(parts)


def _halve(pictures: Image) -> Image:
    n_thumbnails, side, _ = pictures.shape
    squares = pictures.reshape(n_thumbnails, side // 2, 2, side // 2, 2)
    halved: Image = squares.mean(axis=(2, 4), dtype=np.float32).astype(np.uint8)
    return halved


def find_limit(doubt: FloatArray, n_images: int) -> float:
    """Return the largest ``doubt``, of all aligned pairs, of a copy: a gap must lie above it."""
    limit = _LARGEST_DOUBT
    while limit > _LEAST_DOUBT:
        n_sure = int((doubt <= limit).sum())
        n_doubtful = int((doubt <= _DOUBTFUL * limit).sum()) - n_sure
        if n_doubtful <= max(n_sure, _FEW * n_images, _LEAST_FEW):
            break
        limit *= _STEP
    return limit


def _describe(laid: Registration, row: np.intp) -> str:
    words = [VIEWS[laid.view[row]]] if laid.view[row] else []
    change = float(np.abs(laid.scale[row] - 1).max())
    if change > _CROPPED:
        words.append(f"cropped by about {percent(change, 0)}")
    return ", ".join(words) or "re-encoded or resized"


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
