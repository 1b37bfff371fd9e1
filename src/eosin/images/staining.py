"""Stain-normalised images of a run, each normalised once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from eosin.artifacts.stain import ColourReference, SeparationReference, StainReference
from eosin.core.errors import ManifestError, RecipeError
from eosin.core.threads import map_threads
from eosin.core.types import Image, IntArray, Samples, parts_of
from eosin.images.cache import ImageStore
from eosin.stain import Source, normaliser_of

#: Memory for normalised images; those beyond are normalised anew each time.
KEPT_BYTES = 1 << 30
#: Most tiles from which the stain of a slide or patient is estimated.
TILES_PER_UNIT = 64
#: Tiles in memory at once.
_CHUNK = 32
#: From an image (H, W, C) and its row to a changed image of the same shape and type.
Change = Callable[[Image, int], Image]


class ChangedStore:
    """Images of a store, each changed when it is taken; ``shape`` N, H, W, C.

    Args:
        raw: The store.
        change: From an image (H, W, C) and its row to one of the same shape and type.
    """

    def __init__(self, raw: ImageStore | ChangedStore, change: Change) -> None:
        self.raw, self._change = raw, change
        self.shape: tuple[int, ...] = raw.shape
        self.dtype: np.dtype[Any] = raw.dtype

    def __len__(self) -> int:
        return len(self.raw)

    def take(self, rows: IntArray) -> Image:
        """Return changed rows, shape (B, H, W, C); see :meth:`ImageStore.take`."""
        images = self.raw.take(rows)
        pairs = zip(images, rows.tolist(), strict=True)
        done = list(map_threads(lambda pair: self._change(*pair), pairs))
        return np.stack(done) if done else images


class NormalisedStore:
    """Images of a store, normalised on first use: uint8, ``shape`` N, H, W, C.

    ``units`` gives for each row the rows from which its slide's or patient's stain is estimated, if
    any; ``kept_bytes`` is the memory for normalised images, of which at least one is kept.
    """

    def __init__(
        self,
        raw: ImageStore | ChangedStore,
        reference: StainReference,
        units: dict[int, IntArray],
        *,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self.raw = raw
        self.shape = raw.shape
        self.dtype = raw.dtype
        self.reference = reference
        self._normaliser = normaliser_of(reference)
        self._units = units
        self._sources: dict[int, Source] = {}
        self._kept: dict[int, Image] = {}
        self._reasons: dict[int, str] = {}
        self._n_kept = max(1, kept_bytes // int(np.prod(raw.shape[1:])))

    def __len__(self) -> int:
        return len(self.raw)

    def take(self, rows: IntArray) -> Image:
        """Return normalised rows, uint8, shape (B, H, W, C); see :meth:`ImageStore.take`."""
        found = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        wanted: list[int] = []
        for place, row in enumerate(rows.tolist()):
            if row in self._kept:
                found[place] = self._kept[row]
            else:
                wanted.append(place)
        if wanted:
            found[wanted] = self._normalise(rows[wanted])
        return found

    def reasons(self, rows: IntArray) -> list[str]:
        """Return why each row is unchanged; empty if it was normalised."""
        unseen = np.array(
            [row for row in rows.tolist() if row not in self._reasons], dtype=np.int64
        )
        for start in range(0, len(unseen), _CHUNK):
            self.take(unseen[start : start + _CHUNK])
        return [self._reasons[row] for row in rows.tolist()]

    def _normalise(self, rows: IntArray) -> Image:
        sources = [self._source(row) for row in rows.tolist()] if self._units else None
        done = self._normaliser.apply(self.raw.take(rows), sources)
        for row, image, reason in zip(rows.tolist(), done.images, done.reasons, strict=True):
            self._reasons[row] = reason
            if len(self._kept) < self._n_kept:
                self._kept[row] = image
        return done.images

    def _source(self, row: int) -> Source:
        """Return the stain of a row's unit, or the row's own if it has no unit."""
        members = self._units.get(row, np.array([row]))
        key = int(members[0])
        if key not in self._sources:
            self._sources[key] = self._normaliser.estimate(each(self.raw, members))
        return self._sources[key]


class Rows(Protocol):
    """Images by their row: a store, normalised or not."""

    def take(self, rows: IntArray, /) -> Any:
        """Return images, shape (B, H, W, C)."""


def each(store: Rows, rows: IntArray) -> Iterator[Image]:
    """Yield images one by one, a few in memory at a time."""
    for start in range(0, len(rows), _CHUNK):
        yield from store.take(rows[start : start + _CHUNK])


def spread_tiles(cells: Iterable[str]) -> list[str]:
    """Order a unit's image references so that the first of them are spread over all of it.

    The order is by a digest of their names, so that a unit's stain is estimated from the same
    images, whatever the order or the folder.
    """
    parts = [part for cell in cells for part in parts_of(cell) if part]
    return sorted(parts, key=lambda part: sha256(Path(part).name.encode()).digest())


def check_units(samples: Samples, unit: str) -> None:
    """Raise ManifestError if a manifest has no units: no such column, or an empty one."""
    if unit != "tile" and not any(samples.frame.get(unit, ())):
        raise ManifestError(
            f"stain is normalised by {unit}, but {samples.name} has no {unit} for any image",
            hint=f'Add a column {unit!r}; a recipe\'s stain.unit may also be "tile"',
        )


def check_uncut(samples: Samples, unit: str) -> None:
    """Raise RecipeError if a unit crosses the split, so that test images influence training."""
    if unit == "tile":
        return
    known = samples.frame[samples.frame[unit] != ""]
    parts = known.groupby(unit)["split"].unique()
    for name, splits in parts[parts.map(len) > 1].items():
        raise RecipeError(
            f"'stain.unit': {unit} {name} has images in {' and '.join(sorted(splits))}, and its "
            "stain would be fitted across them",
            hint="Split by group, or normalise by tile",
        )


def rows_of_units(samples: Samples, rows: dict[str, int], unit: str) -> dict[int, IntArray]:
    """Find the images from which the stain of a slide or patient is estimated.

    ``rows`` is the row of each image in a store (others could not be read), ``unit`` is ``tile``,
    ``slide`` or ``patient``. Returns for each row those of its unit; none for tiles, and for images
    of no known unit.
    """
    if unit == "tile" or unit not in samples.frame:
        return {}
    members: dict[str, list[str]] = defaultdict(list)
    for cell, name in zip(samples.frame["path"], samples.frame[unit], strict=True):
        if name:
            members[name].append(cell)
    found: dict[int, IntArray] = {}
    for cells in members.values():
        mine = [rows[part] for part in spread_tiles(cells) if part in rows]
        found |= dict.fromkeys(mine, np.array(mine[:TILES_PER_UNIT], dtype=np.int64))
    return found


def join_references(references: Sequence[StainReference]) -> StainReference:
    """Return the mean of several models' references of one method."""
    first = references[0]
    if all(other == first for other in references):
        return first
    shown: dict[str, Any] = {
        "fitted_on": f"the mean of {len(references)} references",
        "n_images": sum(reference.n_images for reference in references),
        "n_units": sum(reference.n_units for reference in references),
    }
    if isinstance(first, SeparationReference):
        vectors = _mean(references, "stain_matrix")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        shown["stain_matrix"] = tuple(map(tuple, vectors.tolist()))
        names = ["max_concentrations"]
    elif isinstance(first, ColourReference):
        names = ["lab_mean", "lab_std"]
    shown |= {name: tuple(_mean(references, name).tolist()) for name in names}
    return first.model_copy(update=shown)


def _mean(references: Sequence[Any], name: str) -> Any:
    return np.mean([getattr(reference, name) for reference in references], axis=0)
