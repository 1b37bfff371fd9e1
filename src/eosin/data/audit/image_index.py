"""Index of images for the search for near-duplicates, and the search.

Copies are found on thumbnails; the few uncertain pairs are verified geometrically, where the
images can be read. Where an embedding is given, pairs that are close in it are candidates, too.
Features alone return far too many pairs or far too few, so the candidates are screened by local
features, and those that pass are verified.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from eosin.core.progress import LEAST_LOGGED_S, progress_bar
from eosin.core.text import approximate_time
from eosin.core.types import FloatArray, Image, IntArray, Pixels
from eosin.data.audit.near_duplicates import (
    SKETCH_PX,
    Link,
    find_copies,
    find_pairs,
    find_textured,
)

if TYPE_CHECKING:
    from eosin.data.audit.geometry import Geometry

_LOG = logging.getLogger(__name__)

#: Neighbours of each image by its embedding, and the largest number of pairs to verify.
_NEIGHBOURS, _MOST_PAIRS = 20, 1_000_000
#: Neighbours that an image is screened against at once: 80 KiB of distances each.
_TOGETHER = 64
#: Images on which the duration is estimated.
_SAMPLE = 64
_COPIES = (
    "Checked for copies: mirrored, rotated by 90°, 180° or 270°, re-encoded, resized, cropped by "
    "up to about 5 %."
)
_SAME_GROUP = "Within a group, only such copies were checked for."
_CONTENT = "Also checked for: the same tissue rotated by any angle, enlarged or shifted."


@dataclass(frozen=True)
class Match:
    """A pair of near-duplicates."""

    a: str  # image reference of the first
    b: str  # image reference of the second
    score: float  # similarity, up to 1
    how: str  # how the two differ, in words


@dataclass(frozen=True)
class NearDuplicates:
    """Near-duplicates that a search found."""

    matches: tuple[Match, ...] = ()  # pairs of images, the most similar first
    reach: tuple[str, ...] = ()  # what was searched for and what was not, in sentences


def _no_thumbnails() -> Image:
    return np.zeros((0, SKETCH_PX, SKETCH_PX), dtype=np.uint8)


@dataclass(frozen=True)
class ImageIndex:
    """Index of images, each with different pixels."""

    cells: tuple[str, ...] = ()  # image references
    pictures: Image = field(default_factory=_no_thumbnails)  # uint8, shape (N, 32, 32)
    #: Embeddings, float32, shape (N, D); None if only copies are searched for.
    vectors: FloatArray | None = None
    #: Returns the image of a row; None if pairs cannot be verified by content.
    read: Callable[[int], Pixels] | None = None
    notes: tuple[str, ...] = ()  # sentences on what is not searched for
    #: Of each image: within a group only copies are compared. Empty if groups do not matter.
    groups: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cells)

    def joined(self, other: ImageIndex) -> ImageIndex:
        """Return the index of the images of both."""
        vectors = read = None
        if self.vectors is not None and other.vectors is not None:
            vectors = np.concatenate([self.vectors, other.vectors])
        if self.read is not None and other.read is not None:
            mine, theirs, n_mine = self.read, other.read, len(self)

            def read(row: int) -> Pixels:
                return mine(row) if row < n_mine else theirs(row - n_mine)

        return ImageIndex(
            self.cells + other.cells,
            np.concatenate([self.pictures, other.pictures]),
            vectors,
            read,
            tuple(dict.fromkeys(self.notes + other.notes)),
        )


def find_near_duplicates(image_index: ImageIndex, first: int | None = None) -> NearDuplicates:
    """Find near-duplicates; with ``first``, only between the first so many and the other images."""
    rows, texture = find_textured(image_index.pictures)
    split = None if first is None else int(np.searchsorted(rows, first))
    copies, doubtful = find_copies(image_index.pictures[rows], texture, split)
    found = [one._replace(a=int(rows[one.a]), b=int(rows[one.b])) for one in copies]
    reach = [_COPIES]
    pairs: IntArray = np.zeros((0, 2), dtype=np.int64)
    if image_index.vectors is not None and len(rows) > 1:
        pairs, skipped = _apart(
            image_index, rows[rank_pairs(image_index.vectors[rows], split)], first
        )
        reach.append(_CONTENT)
        if skipped:
            reach.append(_SAME_GROUP)
        if len(pairs) > _MOST_PAIRS:
            reach.append(
                f"Of these the {_MOST_PAIRS:,} most similar pairs were compared, of {len(pairs):,}."
            )
            pairs = pairs[:_MOST_PAIRS]
    if image_index.read is not None and len(pairs) + len(doubtful):
        known = DisjointSet(range(len(image_index)))
        for one in found:
            known.merge(one.a, one.b)
        found += _compare(image_index.read, rows[doubtful], pairs, known)
    plain = len(image_index) - len(rows)
    if plain:
        reach.append(
            f"{plain:,} of {len(image_index):,} images have too little texture to be compared."
        )
    found.sort(key=lambda one: (-one.score, one.a, one.b))
    matches = [
        Match(image_index.cells[a], image_index.cells[b], min(s, 1.0), how)
        for a, b, s, how in found
    ]
    return NearDuplicates(tuple(matches), (*reach, *image_index.notes))


def _apart(image_index: ImageIndex, pairs: IntArray, first: int | None) -> tuple[IntArray, bool]:
    """Return the pairs of images from different groups, and True if others were dropped.

    Groups of two tables, which ``first`` separates, are unrelated.
    """
    if not image_index.groups or first is not None:
        return pairs, False
    number = {group: n for n, group in enumerate(dict.fromkeys(image_index.groups))}
    group = np.array([number[one] for one in image_index.groups])
    keep = group[pairs[:, 0]] != group[pairs[:, 1]]
    return pairs[keep], not keep.all()


def rank_pairs(vectors: FloatArray, first: int | None) -> IntArray:
    """Return pairs of neighbours, the nearest first."""
    spread = vectors.std(axis=0) + 1e-6
    vectors = vectors - vectors.mean(axis=0)
    vectors /= spread  # in place: a hundred thousand take 90 MB
    pairs = find_pairs(vectors, _NEIGHBOURS, first)
    gaps = [
        ((vectors[some[:, 0]] - vectors[some[:, 1]]) ** 2).sum(axis=1)
        for some in np.array_split(pairs, max(1, len(pairs) // 10_000))
    ]
    return pairs[np.argsort(np.concatenate(gaps), kind="stable")]


def _compare(
    read: Callable[[int], Pixels], doubtful: IntArray, pairs: IntArray, known: DisjointSet
) -> list[Link]:
    """Screen candidate pairs; verify those that pass and all uncertain ones."""
    from eosin.data.audit.geometry import Geometry

    geometry = Geometry(read)
    passed = _screen(geometry, pairs, known)
    found = []
    for a, b in [*doubtful.tolist(), *_gather(passed).tolist()]:
        if not known.connected(a, b) and (fit := geometry.verify(a, b)) is not None:
            found.append(Link(a, b, fit.score, fit.how))
            known.merge(a, b)
    return found


def _screen(geometry: Geometry, pairs: IntArray, known: DisjointSet) -> IntArray:
    """Return the pairs that may be near-duplicates, without those already known."""
    roots = np.array([known[row] for row in known])
    pairs = pairs[roots[pairs[:, 0]] != roots[pairs[:, 1]]]
    rows, start = np.unique(pairs), time.perf_counter()
    done, total = 0, len(rows) + len(pairs)
    passed = np.zeros(len(pairs), dtype=bool)
    with progress_bar("Comparing images") as advance:
        for done in geometry.prepare(rows):
            if done == _SAMPLE:
                per_image = (time.perf_counter() - start) / done
                per_pair = _time_pairs(geometry, rows[:done])
                _announce(len(rows), len(pairs), len(rows) * per_image + len(pairs) * per_pair)
            advance(done, total)
        for some in _chunk(pairs):
            passed[some] = geometry.screen(int(pairs[some[0], 0]), pairs[some, 1])
            done += len(some)
            advance(done, total)
    return pairs[passed]


def _chunk(pairs: IntArray) -> Iterator[IntArray]:
    """Yield positions of pairs with the same first row, in chunks."""
    order = np.argsort(pairs[:, 0], kind="stable")
    firsts = pairs[order, 0]
    for own in np.split(order, np.flatnonzero(firsts[1:] != firsts[:-1]) + 1):
        for start in range(0, len(own), _TOGETHER):
            yield own[start : start + _TOGETHER]


def _time_pairs(geometry: Geometry, rows: IntArray) -> float:
    """Return the screening time per pair in seconds, measured on the first rows."""
    start = time.perf_counter()
    geometry.screen(int(rows[0]), rows[1 : _NEIGHBOURS + 1])
    return (time.perf_counter() - start) / _NEIGHBOURS


def _announce(n_images: int, n_pairs: int, seconds: float) -> None:
    if seconds >= LEAST_LOGGED_S:
        _LOG.info(
            f"Comparing {n_pairs:,} pairs of {n_images:,} images by content: "
            f"about {approximate_time(seconds)}"
        )


def _gather(pairs: IntArray) -> IntArray:
    """Return pairs sorted so that those of one set of images follow each other.

    Only the features of the latest images are kept. Within a set the likeliest pair stays first.
    """
    together = DisjointSet(pairs.ravel().tolist())
    for a, b in pairs.tolist():
        together.merge(a, b)
    roots = np.array([together[a] for a, _ in pairs.tolist()], dtype=np.int64)
    return pairs[np.argsort(roots, kind="stable")]
