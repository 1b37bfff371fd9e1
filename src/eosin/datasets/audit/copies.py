"""Copies of an image: mirrored, turned by right angles, saved anew, resized, cropped a little.

Candidates are nearest neighbours by a descriptor that none of the eight views changes: the means of
8 × 8 cells, of which those that the views exchange for each other are sorted. A candidate counts
where its sketch, laid over the other's, leaves little detail unexplained: at most a tenth of the
textured share of the two, since much agrees by chance where little is to be seen.

Some sets hold images that are all alike without being copies, digits for one. There the doubtful
pairs outnumber the sure ones, and the limit is lowered until between the two there is a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from eosin.core.types import BoolArray, FloatArray, Image, IntArray
from eosin.datasets.audit.neighbours import find_pairs
from eosin.datasets.audit.registration import (
    GRID,
    VIEWS,
    Registration,
    find_view,
    register,
    to_grid,
)
from eosin.datasets.audit.sketches import measure_texture

#: Neighbours of each image that are looked at.
_NEIGHBOURS = 8
#: Least correlation of the cells: a crop by 5 % leaves 0.67 or more.
_LEAST_GUESS = 0.6
#: Share of a picture that must have texture for it to be compared.
LEAST_TEXTURE = 0.15
#: Detail that may stay unexplained, as a share of the texture; pairs that leave up to so many times
#: as much are doubtful, and may be so many, as a share of the images.
_LARGEST_DOUBT, _DOUBTFUL, _FEW = 0.1, 3.0, 0.01
#: By so much the limit is lowered at a time; below the least only the very same is left.
_STEP, _LEAST_DOUBT = 0.7, 1e-3
#: Change of a side that is a crop rather than the rounding of a resized copy.
_CROPPED = 0.015
_CHUNK = 65536


class Found(NamedTuple):
    """A pair of rows that show the same.

    Attributes:
        a: The one row.
        b: The other, larger one.
        score: Similarity, up to 1.
        how: What distinguishes them, in words.
    """

    a: int
    b: int
    score: float
    how: str


def find_textured(pictures: Image) -> tuple[IntArray, FloatArray]:
    """Return the rows of the sketches that are not too plain, and the texture of each of these."""
    texture = measure_texture(pictures)
    rows = np.flatnonzero(texture >= LEAST_TEXTURE)
    return rows, texture[rows]


def find_copies(pictures: Image, texture: FloatArray, first: int | None = None) -> list[Found]:
    """Find pairs of sketches that are of one image.

    Args:
        pictures: Sketches with texture, uint8, shape (N, 32, 32).
        texture: Share of each that has texture, shape (N,).
        first: Only pairs of one of the first so many and one of the others; all by default.
    """
    if len(pictures) < 2:
        return []
    pairs = find_pairs(describe(pictures), _NEIGHBOURS, first)
    pairs = pairs[_may_fit(pictures, pairs)]
    if len(pairs) == 0:
        return []
    laid = register(pictures[pairs[:, 0]], pictures[pairs[:, 1]])
    doubt = (1 - laid.score) / texture[pairs].min(axis=1)
    sure = doubt <= find_limit(doubt, len(pictures))
    return [
        Found(int(pairs[row, 0]), int(pairs[row, 1]), float(laid.score[row]), _describe(laid, row))
        for row in np.flatnonzero(sure)
    ]


def describe(pictures: Image) -> FloatArray:
    """Return what no view changes of each sketch, float32, shape (N, 64)."""
    grid = to_grid(pictures).reshape(len(pictures), -1)
    return np.concatenate([np.sort(grid[:, cells], axis=1) for cells in _orbits()], axis=1)


def _orbits() -> Iterator[IntArray]:
    """Yield, for each cell of the grid, once, all cells that the eight views make of it."""
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


def find_limit(doubt: FloatArray, n_images: int) -> float:
    """Return up to which doubt a pair is a copy: there must be a gap above.

    Args:
        doubt: Of all pairs that were laid over each other.
        n_images: How many images they are of.
    """
    limit = _LARGEST_DOUBT
    while limit > _LEAST_DOUBT:
        n_sure = int((doubt <= limit).sum())
        n_doubtful = int((doubt <= _DOUBTFUL * limit).sum()) - n_sure
        if n_doubtful <= max(n_sure, _FEW * n_images):
            break
        limit *= _STEP
    return limit


def _describe(laid: Registration, row: np.intp) -> str:
    words = [VIEWS[laid.view[row]]] if laid.view[row] else []
    change = float(np.abs(laid.scale[row] - 1).max())
    if change > _CROPPED:
        words.append(f"cropped by about {100 * change:.0f} %")
    return ", ".join(words) or "saved anew or resized"
