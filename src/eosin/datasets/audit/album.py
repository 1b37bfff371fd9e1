"""What near-duplicates are looked for in, and the search.

Copies are found on small pictures; the few that these leave in doubt are verified geometrically,
where the images can be read. Where an embedding of the images is given, too, so is what is alike by
it: features alone say "the same tissue" of far too much, or find far too little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from eosin.core.progress import Advance
from eosin.core.types import FloatArray, Image, IntArray, Pixels
from eosin.datasets.audit.components import Components
from eosin.datasets.audit.copies import Found, find_copies, find_textured
from eosin.datasets.audit.neighbours import find_pairs
from eosin.datasets.audit.sketches import SKETCH_PX

#: Neighbours of each image by its embedding, and pairs that are verified at most.
_NEIGHBOURS, _MOST_PAIRS = 20, 100_000
_COPIES = (
    "Copies were looked for: mirrored, turned by right angles, saved anew, resized, cropped by up "
    "to about 5 %."
)
_CONTENT = "So were images of the same tissue turned by any angle, enlarged or shifted."


@dataclass(frozen=True)
class Match:
    """Two images that show the same.

    Attributes:
        a: The manifest's cell of the one.
        b: Of the other.
        score: Similarity, up to 1.
        how: What distinguishes them.
    """

    a: str
    b: str
    score: float
    how: str


@dataclass(frozen=True)
class Alike:
    """What a search found.

    Attributes:
        matches: Pairs of images, the most alike first.
        reach: What was looked for, and what was not, in sentences.
    """

    matches: tuple[Match, ...] = ()
    reach: tuple[str, ...] = ()


def _no_pictures() -> Image:
    return np.zeros((0, SKETCH_PX, SKETCH_PX), dtype=np.uint8)


@dataclass(frozen=True)
class Album:
    """Images of a table, no two of the same pixels.

    Attributes:
        cells: The manifest's cells.
        pictures: Their sketches, uint8, shape (N, 32, 32).
        vectors: Their embedding, float32, shape (N, D); nothing where only copies are looked for.
        read: From a row to the image, where pairs can be verified by what they show.
        notes: Sentences on what is not looked for.
    """

    cells: tuple[str, ...] = ()
    pictures: Image = field(default_factory=_no_pictures)
    vectors: FloatArray | None = None
    read: Callable[[int], Pixels] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cells)

    def joined(self, other: Album) -> Album:
        """Return the images of both."""
        vectors = read = None
        if self.vectors is not None and other.vectors is not None:
            vectors = np.concatenate([self.vectors, other.vectors])
        if self.read is not None and other.read is not None:
            mine, theirs, n_mine = self.read, other.read, len(self)

            def read(row: int) -> Pixels:
                return mine(row) if row < n_mine else theirs(row - n_mine)

        return Album(
            self.cells + other.cells,
            np.concatenate([self.pictures, other.pictures]),
            vectors,
            read,
            tuple(dict.fromkeys(self.notes + other.notes)),
        )


def find_alike(album: Album, first: int | None = None, *, progress: Advance | None = None) -> Alike:
    """Find images that show the same.

    Args:
        album: The images.
        first: Only pairs of one of the first so many and one of the others; all by default.
        progress: Told how many pairs are verified.
    """
    rows, texture = find_textured(album.pictures)
    split = None if first is None else int(np.searchsorted(rows, first))
    copies, doubtful = find_copies(album.pictures[rows], texture, split)
    found = [one._replace(a=int(rows[one.a]), b=int(rows[one.b])) for one in copies]
    reach, pairs = [_COPIES], rows[doubtful]
    if album.vectors is not None and len(rows) > 1:
        alike = rows[rank_pairs(album.vectors[rows], split)]
        pairs = np.concatenate([pairs, alike[:_MOST_PAIRS]])
        reach.append(_CONTENT)
        if len(alike) > _MOST_PAIRS:
            reach.append(
                f"Of these the {_MOST_PAIRS:,} pairs that are most alike were looked at, of "
                f"{len(alike):,}."
            )
    if album.read is not None and len(pairs):
        known = Components(len(album))
        for one in found:
            known.join(one.a, one.b)
        found += _verify(album.read, pairs, known, progress)
    plain = len(album) - len(rows)
    if plain:
        reach.append(f"{plain:,} of {len(album):,} images are too plain to be compared.")
    found.sort(key=lambda one: (-one.score, one.a, one.b))
    matches = [Match(album.cells[a], album.cells[b], min(s, 1.0), how) for a, b, s, how in found]
    return Alike(tuple(matches), (*reach, *album.notes))


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


def _verify(
    read: Callable[[int], Pixels],
    pairs: IntArray,
    known: Components,
    progress: Advance | None,
) -> list[Found]:
    """Look at pairs, the likeliest first; what is known to be one by way of a third is left out."""
    from eosin.datasets.audit.geometry import Geometry

    geometry = Geometry(read)
    found = []
    for done, (a, b) in enumerate(pairs.tolist(), start=1):
        if known.root(a) != known.root(b) and (fit := geometry.verify(a, b)) is not None:
            found.append(Found(a, b, fit.score, fit.how))
            known.join(a, b)
        if progress is not None:
            progress(done, len(pairs))
    return found
