"""Nearest neighbours among many vectors, by matrix products in blocks."""

from __future__ import annotations

import numpy as np

from eosin.core.types import FloatArray, IntArray

#: Rows and columns of a block: 4 MiB of distances, which stay near the processor.
_ROWS, _COLUMNS = 256, 4096


def find_neighbours(queries: FloatArray, among: FloatArray, k: int) -> IntArray:
    """Return the nearest vectors of each query by Euclidean distance.

    Memory grows with N, time with M · N.

    Args:
        queries: float32, shape (M, D).
        among: float32, shape (N, D).
        k: How many, at most N.

    Returns:
        Rows of ``among``, in no order, shape (M, min(k, N)); a query that is among them finds
        itself, too.
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
    """Keep the k best of each row while walking over the columns."""
    best = np.full((len(block), k), -np.inf, dtype=np.float32)
    rows = np.zeros((len(block), k), dtype=np.int64)
    for start in range(0, len(among), _COLUMNS):
        # The larger, the nearer: half the square of the query's own length is left out.
        near = block @ among[start : start + _COLUMNS].T - halves[start : start + _COLUMNS]
        # After a few blocks hardly a column beats the worst that is kept.
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
    """Return each vector with its nearest others, each pair once, the smaller row first.

    Args:
        vectors: float32, shape (N, D).
        k: Neighbours of each.
        first: Only pairs of one of the first so many and one of the others, the neighbours being
            those of the others; all pairs by default.

    Returns:
        Rows, shape (P, 2), sorted.
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
