"""Stain reference of a run, fitted on the training subset or on a file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import relocated
from eosin.artifacts.stain import (
    FITTED_ON,
    StainPart,
    StainRecord,
    StainReference,
    UnchangedImage,
)
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.errors import DataError
from eosin.core.seeding import generator
from eosin.core.types import SPLITS, IntArray, Samples, parts_of
from eosin.images.decode import decode_image
from eosin.images.staining import TILES_PER_UNIT, NormalisedStore, Rows, each, join_references
from eosin.recipe.schema import StainSection
from eosin.stain import METHODS

#: Most tiles of the training subset that a reference is fitted on, and units if fitted by unit.
_FITTED_TILES, _FITTED_UNITS = 512, 64


def fit_reference(
    section: StainSection, store: Rows, rows: IntArray, samples: Samples, seed: int
) -> StainReference:
    """Fit the stain reference.

    Args:
        section: Method, source of the reference, unit.
        store: Images before normalisation.
        rows: Rows of the training subset, shape (N,), or (N, M) of stacks, negative if absent.
        samples: The training subset, N rows.
        seed: Seed of the choice of tiles.

    Raises:
        DataError: No stain can be estimated from the file, or from any training image.
    """
    normaliser = METHODS.get(section.method)()
    shown: dict[str, Any] = {"unit": section.unit}
    if section.file is not None:
        normaliser.fit(decode_image(Path(section.file), None))
        shown["fitted_on"] = Path(section.file).name
    else:
        column = "group" if section.unit == "tile" else section.unit
        tiles = _tiles_of(rows, list(samples.frame[column]), seed)
        chosen, units = _spread(tiles) if section.unit == "tile" else _whole_units(tiles)
        try:
            normaliser.fit_many(each(store, np.array(chosen, dtype=np.int64)), units)
        except DataError as error:
            raise DataError(
                f"no stain reference can be fitted on the training subset: {error.message}",
                hint="Name an image as stain.reference, or leave stain.method out",
            ) from error
        shown["fitted_on"] = FITTED_ON
    return normaliser.reference_.model_copy(update=shown)


def adopt_reference(section: StainSection, earlier: StainReference | None) -> StainReference | None:
    """Return the reference that the initial weights were trained under, if it is to be kept.

    ``None`` if they had none, or one of another method, or if the recipe names a file.
    """
    if earlier is None or section.file is not None or earlier.method != section.method:
        return None
    return earlier.model_copy(update={"unit": section.unit})


def _tiles_of(rows: IntArray, names: list[str], seed: int) -> dict[str, list[int]]:
    """Return the rows of each named unit, shuffled; an unnamed image is a unit by itself."""
    found: dict[str, list[int]] = defaultdict(list)
    for place in generator(seed, "stain").permutation(len(names)).tolist():
        known = [row for row in np.atleast_1d(rows[place]).tolist() if row >= 0]
        found[names[place] or f"image {place}"] += known
    return found


def _spread(tiles: dict[str, list[int]]) -> tuple[list[int], None]:
    """Choose one tile of each group, then a second, so that no group dominates by its size."""
    ranked = [(rank, row) for mine in tiles.values() for rank, row in enumerate(mine)]
    # Not by row: the choice must not depend on an image's position in the cache.
    ranked.sort(key=lambda pair: pair[0])
    return [row for _, row in ranked[:_FITTED_TILES]], None


def _whole_units(tiles: dict[str, list[int]]) -> tuple[list[int], list[str]]:
    """Choose units, and enough tiles of each to estimate its stain."""
    kept = {name: tiles[name][:TILES_PER_UNIT] for name in list(tiles)[:_FITTED_UNITS]}
    return [row for mine in kept.values() for row in mine], [
        name for name, mine in kept.items() for _ in mine
    ]


@dataclass(frozen=True)
class Treated:
    """Counts of images whose stain was normalised, and of those left unchanged."""

    reference: StainReference
    totals: Counter[str]
    unchanged: list[UnchangedImage]


def find_unchanged(store: Any, rows: IntArray, samples: Samples) -> list[Treated]:
    """Find the images that stain normalisation returned unchanged.

    Args:
        store: Holds the images.
        rows: Their rows, shape (N,), or (N, M) of stacks, negative if absent.
        samples: Their table, with a ``split`` column.

    Returns:
        One item; none if stain was not normalised.
    """
    if not isinstance(store, NormalisedStore):
        return []
    cells = zip(samples.frame["path"], samples.frame["split"], rows, strict=True)
    found = [
        (part, split, row)
        for path, split, mine in cells
        for part, row in zip(parts_of(path), np.atleast_1d(mine).tolist(), strict=True)
        if row >= 0
    ]
    reasons = store.reasons(np.array([row for _, _, row in found], dtype=np.int64))
    unchanged = [
        UnchangedImage(path=path, split=split, reason=reason)
        for (path, split, _), reason in zip(found, reasons, strict=True)
        if reason
    ]
    return [Treated(store.reference, Counter(split for _, split, _ in found), unchanged)]


def write_stain(run: RunFolder, treated: Sequence[Treated], root: Path) -> None:
    """Write ``stain.json``; nothing if stain was not normalised."""
    if not treated:
        return
    totals = sum((one.totals for one in treated), Counter[str]())
    unchanged = [image for one in treated for image in one.unchanged]
    reasons = {
        name: Counter(image.reason for image in unchanged if image.split == name).most_common()
        for name in sorted(totals, key=[*SPLITS, *totals].index)
    }
    parts = {
        name: StainPart(n_images=totals[name], unchanged=dict(found))
        for name, found in reasons.items()
    }
    frame = pd.DataFrame({"path": [image.path for image in unchanged]}, dtype=object)
    paths = relocated(Samples(frame, root, ()), run.root).frame["path"]
    record = StainRecord(
        reference=join_references([one.reference for one in treated]),
        parts=parts,
        unchanged=[
            image.model_copy(update={"path": path})
            for image, path in zip(unchanged, paths, strict=True)
        ],
    )
    write_document(run.stain, record)


def carry_stain(run: RunFolder, member: RunFolder, reference: Any, evaluated: Samples) -> None:
    """Write ``stain.json`` of an ensemble: evaluated images that a member left unchanged.

    Whether a stain can be estimated depends on the image and the method, not on the reference.
    """
    if reference is None or not member.stain.exists():
        return
    left = {
        (member.root / image.path).resolve(): image
        for image in read_document(member.stain, StainRecord).unchanged
    }
    cells = zip(evaluated.frame["path"], evaluated.frame["split"], strict=True)
    parts = [(part, split) for cell, split in cells for part in parts_of(cell) if part]
    unchanged = [
        left[path].model_copy(update={"path": part, "split": split})
        for part, split in parts
        if (path := (evaluated.root / part).resolve()) in left
    ]
    totals = Counter(split for _, split in parts)
    write_stain(run, [Treated(reference, totals, unchanged)], evaluated.root)


def pool_stain(
    run: RunFolder, places: Sequence[RunFolder], name: str, beside: Sequence[Treated] = ()
) -> None:
    """Write ``stain.json`` of a run with folds, from what each fold held out and a test subset."""
    treated = list(beside)
    for place in places:
        if not place.stain.exists():
            return
        record = read_document(place.stain, StainRecord)
        if "test" not in record.parts:
            return  # test images are raw
        unchanged = [
            image.model_copy(update={"path": str(place.root / image.path), "split": name})
            for image in record.unchanged
            if image.split == "test"
        ]
        total = Counter({name: record.parts["test"].n_images})
        treated.append(Treated(record.reference, total, unchanged))
    write_stain(run, treated, Path())
