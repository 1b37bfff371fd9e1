"""Reading of images for prediction, outside any run and its cache."""

from __future__ import annotations

import io
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Lock
from types import MappingProxyType

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps

from eosin.artifacts.model import Preprocessing
from eosin.core.errors import ImageError
from eosin.core.types import Image, ImageReference, Pixels
from eosin.images.failures import isolated
from eosin.images.preprocess import normalise_stain, read_array, read_image
from eosin.images.references import Skipped
from eosin.images.stacks import read_stack
from eosin.images.staining import TILES_PER_UNIT, spread_tiles
from eosin.stain import Normalised, Source, normaliser_of

_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: An image in memory: its pixels, Pillow's image, or the bytes of its file.
InMemory = Pixels | PillowImage.Image | bytes
#: Pillow's images load on first use, which two threads may not do at once.
_converting = Lock()


def read_cells(
    cells: Iterable[str],
    preprocessing: Preprocessing,
    in_memory: Mapping[str, InMemory] = MappingProxyType({}),
) -> Iterator[tuple[str, Image | ImageError]]:
    """Read images or magnification stacks at the network's size.

    Args:
        cells: Image references, and names of images in memory.
        preprocessing: Of the model.
        in_memory: Images in memory by name.

    Yields:
        Each reference with its image, uint8, shape (*input_px, C), or why it cannot be read; in
        order.
    """

    def read_one(cell: str) -> Image:
        if cell in in_memory:
            return _read_in_memory(cell, in_memory[cell], preprocessing)
        return read_image(*ImageReference.parse(cell).resolve(), preprocessing)

    for cell in cells:
        try:
            with isolated(cell):
                image: Image | ImageError = read_stack(cell, preprocessing, read_one)
        except ImageError as error:
            image = error
        yield cell, image


def _read_in_memory(name: str, image: InMemory, preprocessing: Preprocessing) -> Image:
    if isinstance(image, PillowImage.Image):
        with _converting:
            image = _to_tiff(image)
    if isinstance(image, bytes):
        return _read_bytes(name, image, preprocessing)
    return read_array(name, image, preprocessing)


def _to_tiff(image: PillowImage.Image) -> bytes:
    """Return an image as an uncompressed file, which is then read as any other."""
    stream = io.BytesIO()
    ImageOps.exif_transpose(image).save(stream, "TIFF")
    return stream.getvalue()


def _read_bytes(name: str, content: bytes, preprocessing: Preprocessing) -> Image:
    """Read the bytes of an image file, by way of a file: decoders guard against hostile ones."""
    suffix = ".tif" if content[:4] in _TIFF_MARKS else ".png"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"image{suffix}"
        path.write_bytes(content)
        try:
            return read_image(path, None, preprocessing)
        except ImageError as error:
            message = error.message.replace(str(path), name)
            raise ImageError(message, hint=error.hint) from error


def normalise_cells(
    cells: Sequence[str],
    images: Sequence[Image],
    preprocessing: Preprocessing,
    sources: Mapping[str, Source],
) -> tuple[list[str], Normalised, Skipped]:
    """Normalise the stain of images that were read.

    Args:
        cells: N image references.
        images: Their pixels, uint8, each of shape (*input_px, C).
        preprocessing: Of the model; without a stain reference images are returned unchanged.
        sources: The stain of each image's slide or patient; empty if each image has its own.

    Returns:
        The references that could be normalised; their images; the others, each with its reason.
    """

    def normalise(start: int, stop: int) -> Normalised:
        mine = [sources[cell] for cell in cells[start:stop]] if sources else None
        return normalise_stain(stacked[start:stop], preprocessing, mine)

    shape = (0, *preprocessing.input_px, len(preprocessing.channels))
    stacked = np.stack(images) if images else np.empty(shape, dtype=np.uint8)
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
    return kept, Normalised(np.concatenate([stacked[:0], *changed]), reasons), skipped


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
