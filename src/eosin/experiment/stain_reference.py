"""What the stain of a run's images is normalised to, fitted on the training part or on a file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from eosin.artifacts.stain import StainReference
from eosin.core.errors import DataError
from eosin.core.seeding import generator
from eosin.core.types import IntArray, Samples
from eosin.images.decode import decode_image
from eosin.images.staining import TILES_PER_UNIT, Rows, each
from eosin.recipe.schema import StainSection
from eosin.stain import METHODS

#: Tiles of the training part that a reference is fitted on, and units where it is fitted by unit.
_FITTED_TILES, _FITTED_UNITS = 512, 64


def fit_reference(
    section: StainSection, store: Rows, rows: IntArray, samples: Samples, seed: int
) -> StainReference:
    """Fit what images are made to look like.

    Args:
        section: Method, source of the reference, unit.
        store: Images as they are.
        rows: Of the training part, shape (N,), or (N, M) of bundles, negative where one lacks.
        samples: The training part, N rows.
        seed: Chooses among more tiles than are needed.

    Raises:
        DataError: The file, or no image of the training part, has a stain that can be told.
    """
    normaliser = METHODS.get(section.method)()
    told: dict[str, Any] = {"unit": section.unit}
    if section.file is not None:
        normaliser.fit(decode_image(Path(section.file), None))
        told["fitted_on"] = Path(section.file).name
    else:
        column = "group" if section.unit == "tile" else section.unit
        tiles = _tiles_of(rows, list(samples.frame[column]), seed)
        chosen, units = _spread(tiles) if section.unit == "tile" else _whole_units(tiles)
        try:
            normaliser.fit_many(each(store, np.array(chosen, dtype=np.int64)), units)
        except DataError as error:
            raise DataError(
                f"no stain reference can be fitted on the training part: {error.message}",
                mend="Name an image as stain.reference, or leave stain.method out",
            ) from error
        told["fitted_on"] = "the training part"
    return normaliser.reference_.model_copy(update=told)


def _tiles_of(rows: IntArray, names: list[str], seed: int) -> dict[str, list[int]]:
    """Return the rows of each named unit, shuffled; an image without a name is one by itself."""
    found: dict[str, list[int]] = defaultdict(list)
    for place in generator(seed, "stain").permutation(len(names)).tolist():
        known = [row for row in np.atleast_1d(rows[place]).tolist() if row >= 0]
        found[names[place] or f"image {place}"] += known
    return found


def _spread(tiles: dict[str, list[int]]) -> tuple[list[int], None]:
    """Choose one tile of each group, then a second, so that none has the say by its size."""
    ranked = [(rank, row) for mine in tiles.values() for rank, row in enumerate(mine)]
    # Not by row: where an image lies in the cache must not choose.
    ranked.sort(key=lambda pair: pair[0])
    return [row for _, row in ranked[:_FITTED_TILES]], None


def _whole_units(tiles: dict[str, list[int]]) -> tuple[list[int], list[str]]:
    """Choose units, and enough tiles of each to tell its stain."""
    kept = {name: tiles[name][:TILES_PER_UNIT] for name in list(tiles)[:_FITTED_UNITS]}
    return [row for mine in kept.values() for row in mine], [
        name for name, mine in kept.items() for _ in mine
    ]
