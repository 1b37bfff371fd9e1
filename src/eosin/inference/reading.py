"""Reading of images for prediction, outside any run and its cache."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice

import numpy as np

from eosin.artifacts.model import Preprocessing
from eosin.core.errors import ImageError
from eosin.core.types import Image, ImageReference
from eosin.images.failures import isolated
from eosin.images.preprocess import normalise_stain, read_image
from eosin.images.references import Skipped
from eosin.images.stacks import read_stack
from eosin.images.staining import TILES_PER_UNIT, spread_tiles
from eosin.stain import Normalised, Source, normaliser_of


def read_cells(
    cells: Sequence[str], preprocessing: Preprocessing
) -> tuple[list[str], Image, Skipped]:
    """Read images or magnification stacks at the network's size.

    Returns:
        The references that could be read; their images, uint8, shape (N, *input_px, C); the others,
        each with its reason.
    """

    def read_one(cell: str) -> Image:
        return read_image(*ImageReference.parse(cell).resolve(), preprocessing)

    kept: list[str] = []
    images: list[Image] = []
    skipped: Skipped = []
    for cell in cells:
        try:
            with isolated(cell):
                images.append(read_stack(cell, preprocessing, read_one))
            kept.append(cell)
        except ImageError as error:
            skipped.append((cell, str(error)))
    shape = (0, *preprocessing.input_px, len(preprocessing.channels))
    return kept, np.stack(images) if images else np.empty(shape, dtype=np.uint8), skipped


def normalise_cells(
    cells: Sequence[str],
    images: Image,
    preprocessing: Preprocessing,
    sources: Mapping[str, Source],
) -> tuple[list[str], Normalised, Skipped]:
    """Normalise the stain of images that were read.

    Args:
        cells: N image references.
        images: As :func:`read_cells` returns them.
        preprocessing: Of the model; without a stain reference images are returned unchanged.
        sources: The stain of each image's slide or patient; empty if each image has its own.

    Returns:
        The references that could be normalised; their images; the others, each with its reason.
    """

    def normalise(start: int, stop: int) -> Normalised:
        mine = [sources[cell] for cell in cells[start:stop]] if sources else None
        return normalise_stain(images[start:stop], preprocessing, mine)

    with suppress(ImageError), isolated(f"{len(cells)} images"):
        return list(cells), normalise(0, len(cells)), []
    kept: list[str] = []
    done: list[Normalised] = []
    skipped: Skipped = []
    for place, cell in enumerate(cells):
        try:
            with isolated(cell):
                done.append(normalise(place, place + 1))
            kept.append(cell)
        except ImageError as error:
            skipped.append((cell, str(error)))
    changed = [one.images for one in done]
    reasons = tuple(reason for one in done for reason in one.reasons)
    return kept, Normalised(np.concatenate([images[:0], *changed]), reasons), skipped


def stains_of_units(
    cells: Sequence[str], units: Sequence[str], preprocessing: Preprocessing
) -> dict[str, Source]:
    """Estimate the stain of each image's slide or patient.

    Args:
        cells: As for :func:`read_cells`.
        units: The slide or patient of each; empty if unknown: the image is a unit by itself.
        preprocessing: Of the model, with its stain reference.

    Returns:
        For each reference the stain of its unit.
    """
    if preprocessing.stain is None:
        return {}
    normaliser = normaliser_of(preprocessing.stain)
    members: dict[str, list[str]] = defaultdict(list)
    for cell, unit in zip(cells, units, strict=True):
        members[unit or f"\0{cell}"].append(cell)
    found: dict[str, Source] = {}
    for mine in members.values():
        tiles = islice(_tiles(spread_tiles(mine), preprocessing), TILES_PER_UNIT)
        found |= dict.fromkeys(mine, normaliser.estimate(tiles))
    return found


def _tiles(cells: Iterable[str], preprocessing: Preprocessing) -> Iterator[Image]:
    """Yield the single images that can be read."""
    for cell in cells:
        with suppress(ImageError):
            with isolated(cell):
                tile = read_image(*ImageReference.parse(cell).resolve(), preprocessing)
            yield tile
