"""Near-duplicates by thumbnails, and nearest neighbours by matrix products in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from eosin.core.text import percent
from eosin.core.types import BoolArray, FloatArray, Image, IntArray
from eosin.data.audit.registration import (
    GRID,
    VIEWS,
    Registration,
    find_view,
    measure_texture,
    register,
    to_grid,
)

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


class Found(NamedTuple):
    """A matching pair of rows."""

    a: int  # the smaller row
    b: int  # the larger row
    score: float  # similarity, up to 1
    how: str  # how the two differ, in words


def find_textured(pictures: Image) -> tuple[IntArray, FloatArray]:
    """Return the rows of thumbnails with enough texture, and the texture of each."""
    texture = measure_texture(pictures)
    rows = np.flatnonzero(texture >= LEAST_TEXTURE)
    return rows, texture[rows]


def find_copies(
    pictures: Image, texture: FloatArray, first: int | None = None
) -> tuple[list[Found], IntArray]:
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
        Found(int(pairs[row, 0]), int(pairs[row, 1]), float(laid.score[row]), _describe(laid, row))
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
    return ", ".join(words) or "saved anew or resized"
