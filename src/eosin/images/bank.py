"""Image bank of a run: decoded once into the cache, then read from there in batches."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eosin.artifacts.model import Embedding, Planes, Preprocessing, Window
from eosin.core.errors import OutputError, UsageError
from eosin.core.types import Image, IntArray, Samples, parts_of
from eosin.images.cache import ELSEWHERE, Entry, ImageStore, Item, StoreSettings, fill_store
from eosin.images.decode import DECODER_VERSION
from eosin.images.hashes import FileHash, FileHashes
from eosin.images.preprocess import (
    decode_for,
    make_preprocessing,
    read_image,
    resize_image,
    to_bytes,
)
from eosin.images.references import check_text
from eosin.images.staining import Change, ChangedStore, NormalisedStore, rows_of_units
from eosin.images.vectors import FeatureTable

_LOG = logging.getLogger(__name__)
#: Store of images, or of features.
Store = ImageStore | ChangedStore | NormalisedStore | FeatureTable

#: Bytes of images that are processed at once when a window is fitted.
_CHUNK_BYTES = 32 << 20
#: Side of an image for display only.
_LOOKED_AT_PX = 224


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images of a store as network input; an :class:`~eosin.core.types.ImageSource`."""

    store: Store  # where they are stored
    #: Row of each in the store, shape (N,); of magnification stacks (N, M), negative where an
    #: image is missing.
    rows: IntArray
    preprocessing: Preprocessing  # with the fitted window, for fluorescence

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C."""
        return (len(self.rows), *self.store.shape[1:3], len(self.preprocessing.channels))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | IntArray) -> Image:
        """Return images, uint8, shape (B, H, W, C); features float32, shape (B, 1, 1, D)."""
        rows = self.rows[chosen]
        if isinstance(self.store, FeatureTable):
            features: Image = self.store[rows]
            return features
        if rows.ndim == 1:
            return to_bytes(self.store.take(rows), self.preprocessing)
        images = np.zeros((*rows.shape, *self.store.shape[1:]), dtype=np.uint8)
        images[rows >= 0] = self.store.take(rows[rows >= 0])
        return np.concatenate(list(np.moveaxis(images, 1, 0)), axis=-1)  # (B, H, W, 3 · M)


@dataclass(frozen=True, eq=False)
class ImageBank:
    """Decoded and resized images, addressed by the manifest's path."""

    store: Store
    rows: dict[str, int]  # of each image's path, in the store
    #: How they were read; window and stain reference are fitted on a split's training subset.
    preprocessing: Preprocessing
    samples: Samples  # all of them, with their slides and patients
    #: The folder of a store that is removed when the process ends.
    private: Any = field(default=None, repr=False)

    @property
    def n_bytes(self) -> int:
        """Disk space of the images in the cache."""
        if isinstance(self.store, FeatureTable):
            return 0
        images = len(set(self.rows.values()))
        return images * math.prod(self.store.shape[1:]) * np.dtype(self.store.dtype).itemsize

    def of(self, samples: Samples) -> StoredImages:
        """Return the images of a table's rows."""
        cells = [
            [self.rows[part] if part else -1 for part in parts_of(path)]
            for path in samples.frame["path"]
        ]
        n_places = len(self.preprocessing.magnifications)
        rows = np.array(cells, dtype=np.int64).reshape(-1, n_places or 1)
        return StoredImages(self.store, rows if n_places else rows[:, 0], self.preprocessing)

    def reading(self, preprocessing: Preprocessing) -> ImageBank:
        """Return the same images with another window or stain reference.

        The rest of ``preprocessing`` must be equal.
        """
        stain, store = preprocessing.stain, self.store
        if stain != self.preprocessing.stain:
            store = store.raw if isinstance(store, NormalisedStore) else store
            if stain is not None and not isinstance(store, FeatureTable):
                units = rows_of_units(self.samples, self.rows, stain.unit)
                store = NormalisedStore(store, stain, units)
        return replace(self, store=store, preprocessing=preprocessing)

    def changed(self, change: Change) -> ImageBank:
        """Return images that are changed after they are decoded and resized, before their stain.

        Args:
            change: From an image, uint8 or uint16 (H, W, C), and its row to one of the same shape.

        Raises:
            UsageError: These are features, not images.
        """
        plain = self.reading(self.preprocessing.model_copy(update={"stain": None}))
        if isinstance(plain.store, FeatureTable | NormalisedStore):
            raise UsageError("the model takes features, not images that could be changed")
        return replace(plain, store=ChangedStore(plain.store, change)).reading(self.preprocessing)

    @cached_property
    def training(self) -> ImageBank:
        """The images as a training reads them, with the stain of training images alone, if any."""
        stain = self.preprocessing.training_stain
        if stain is None:
            return self
        shown = {"stain": stain, "training_stain": None}
        return self.reading(self.preprocessing.model_copy(update=shown))

    def fit_window(
        self, samples: Samples, percentiles: tuple[float, float] | None
    ) -> Preprocessing:
        """Return the preprocessing with the window of fluorescence; brightfield needs none.

        The ``percentiles`` of each channel's counts over all pixels of the training subset are
        mapped to 0 and 255; without them the range of the files' type is.
        """
        planes = self.preprocessing.planes
        if planes is None:
            return self.preprocessing
        if percentiles is None:
            ends = ((end,) * len(planes.chosen) for end in (0.0, 2.0**planes.bits - 1))
            return self._windowed(planes, Window(low=next(ends), high=next(ends), percentiles=None))
        rows = self.of(samples).rows
        counts = np.zeros((len(planes.chosen), 2**planes.bits), dtype=np.int64)
        row_bytes = math.prod(self.store.shape[1:]) * np.dtype(self.store.dtype).itemsize
        step = max(1, _CHUNK_BYTES // row_bytes)
        for start in range(0, len(rows), step):
            values = self.store.take(rows[start : start + step])  # (B, H, W, C)
            for channel, total in enumerate(counts):
                total += np.bincount(values[..., channel].ravel(), minlength=len(total))
        low, high = (tuple(_percentile(total, q) for total in counts) for q in percentiles)
        return self._windowed(planes, Window(low=low, high=high, percentiles=percentiles))

    def _windowed(self, planes: Planes, window: Window) -> Preprocessing:
        fitted = planes.model_copy(update={"window": window})
        return self.preprocessing.model_copy(update={"planes": fitted})


class ThumbnailFiles:
    """Images to look at, read from their files, for a run that uses features."""

    preprocessing = make_preprocessing("unit", _LOOKED_AT_PX)

    def of(self, samples: Samples) -> list[Image]:
        """Return the images of a table's rows, uint8, each of shape (H, W, 3).

        Raises ImageError if one is absent, or is no brightfield image.
        """
        cells = samples.frame["path"]
        return [read_image(*samples.locate(cell), self.preprocessing) for cell in cells]


def _percentile(counts: IntArray, percent: float) -> float:
    """Return the percentile of a histogram: a value that occurs."""
    reached = np.cumsum(counts)
    # At 0 per cent the darkest pixel, not a count that no pixel has.
    wanted = max(percent / 100 * reached[-1], 1)
    return float(np.searchsorted(reached, wanted, side="left"))


def load_bank(
    samples: Samples, preprocessing: Preprocessing, *, keep: bool = True
) -> tuple[ImageBank, FileHashes]:
    """Read every image of a table that is not in the cache yet.

    ``keep`` is True to keep decoded images for the next run, if the cache can be written. Returns
    the images that could be read, and hashes of all, with a reason for the others. Raises
    UsageError for a preprocessing of features, DataError if the folder's name is not UTF-8.
    """
    if isinstance(preprocessing, Embedding):
        raise UsageError(
            f"the model takes features such as those of {preprocessing.table}, not images",
            hint="Name a table of them",
        )
    check_text(samples.root)
    cells = samples.image_cells
    items = [Item(cell, *samples.locate(cell)) for cell in cells]
    store, entries, private = _fill(items, preprocessing, keep=keep)
    found = dict(zip(cells, entries, strict=True))
    rows = {cell: entry.row for cell, entry in found.items() if entry.row is not None}
    hashes = {
        cell: FileHash(entry.content, entry.pixels, entry.reason) for cell, entry in found.items()
    }
    unstained = preprocessing.model_copy(update={"stain": None})
    bank = ImageBank(store, rows, unstained, samples, private)
    return bank.reading(preprocessing), FileHashes(hashes)


def _fill(
    items: list[Item], preprocessing: Preprocessing, *, keep: bool
) -> tuple[ImageStore, list[Entry], tempfile.TemporaryDirectory[str] | None]:
    """Fill a store in the cache, else in a temporary folder, which is returned as well."""
    private = None if keep else tempfile.TemporaryDirectory(prefix="eosin-")
    try:
        store, entries = fill_store(
            items,
            _settings(preprocessing),
            decode=lambda path, index: decode_for(path, index, preprocessing),
            fit=lambda image: resize_image(image, preprocessing),
            folder=None if private is None else Path(private.name),
        )
    except OutputError as error:
        # The home of a service is often read-only; a cache that was chosen must work.
        if private is not None or error.hint != ELSEWHERE or os.environ.get("EOSIN_CACHE"):
            raise
        _LOG.warning(
            f"images are read for this command only, not kept in a cache: {error.message}. "
            f"{ELSEWHERE}"
        )
        return _fill(items, preprocessing, keep=False)
    return store, entries, private


def _settings(preprocessing: Preprocessing) -> StoreSettings:
    planes = preprocessing.planes
    height, width = preprocessing.input_px
    return StoreSettings(
        shape=(height, width, 3 if planes is None else len(planes.chosen)),
        dtype="uint16" if planes is not None and planes.bits == 16 else "uint8",
        reading={
            "decoder": DECODER_VERSION,
            "resize": preprocessing.resize,
            "interpolation": preprocessing.interpolation,
            "channels": None if planes is None else list(planes.chosen),
            # Files may name their channels, in any order.
            **({} if planes is None else {"names": list(preprocessing.channels)}),
            "of": None if planes is None else planes.n_stored,
        },
    )
