"""Images and labels in an HDF5 file, as PatchCamelyon is published: arrays (N, H, W[, C]) by key.

Compressed files are packed in chunks that may hold thousands of images each. Such a row of chunks
is unpacked once and kept, so that sequential reads unpack nothing twice. The declared shape of an
array is checked against the file's size before anything is read: no array has more images than its
file has bytes. Only :mod:`eosin.images.containers` calls these, one thread at a time.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from eosin.core.errors import ImageError
from eosin.core.types import Pixels
from eosin.images.failures import describe_foreign
from eosin.images.limits import check_count, read_limits

_BLOCK_BYTES = 256 * 1024**2
_TRUNCATED = re.compile(r"truncated file: eof = (\d+).*stored_eof = (\d+)")
#: Most channels of the last axis: colours, with alpha; no image is so narrow.
_MOST_COLOURS = 4
_IMAGE_KEY, _LABEL_KEY = "x", "y"
_SHAPES = {
    _IMAGE_KEY: "Images are an array uint8 or uint16, number × height × width × channels",
    _LABEL_KEY: "Labels are an array of whole numbers, one per image",
}
#: Exceptions that h5py raises for HDF5's errors.
_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError)
#: Most objects of a file that are searched for the only array that fits, and that are listed.
_MOST_OBJECTS, _MOST_LISTED = 2000, 8
#: Most chunks of one image or the labels, if the file is too small to have an index of more: a
#: look-up takes some 25 µs, even of an absent chunk.
_MOST_CHUNKS, _INDEX_BYTES = 100_000, 8


class Hdf5Images:
    """Images of an HDF5 file, uint8 or uint16.

    The array ``x`` is read, else the only one of three or four dimensions. A row of chunks of more
    than ``block_bytes`` is kept in HDF5's own cache, slower to read from, but without a copy.
    Raises ImageError if it cannot be read, or the array of images is ambiguous.
    """

    def __init__(self, path: Path, *, block_bytes: int = _BLOCK_BYTES) -> None:
        self._path = path
        self._file = _open(path)
        try:
            with _explained(path):
                self._data = _choose(path, self._file, _IMAGE_KEY, _is_images, "images")
                _check_images(path, self._data)
                self.shape: tuple[int, ...] = self._data.shape
                self._per_block = 1
                self._kept_bytes = 0
                self._plan_blocks(block_bytes)
                self._fill = self._data.fillvalue
        except BaseException:
            self._file.close()
            raise
        self._block: Pixels = np.empty((0,), dtype=np.uint8)
        self._block_number = -1
        self._written: frozenset[int] | None = None

    @property
    def kept_bytes(self) -> int:
        """Largest memory that is held between two reads."""
        return self._kept_bytes

    def read(self, index: int) -> Pixels:
        """Return a copy of one image."""
        number, place = divmod(index, self._per_block)
        try:
            if self._per_block == 1:
                item = np.ascontiguousarray(self._data[index])
            else:
                if number != self._block_number:
                    first = number * self._per_block
                    self._block = self._data[first : first + self._per_block]
                    self._block_number = number
                item = self._block[place].copy()
            if item.item(0) == self._fill and (item == self._fill).all():
                self._check_written(index)
        except _ERRORS as error:
            # HDF5 reports a lack of memory as a failure of its filter: then this raises, too.
            np.empty(2 * self._kept_bytes, np.uint8)
            reason = _reason(error)
            raise ImageError(f"{self._path}: image {index} is damaged: {reason}") from error
        return item

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _plan_blocks(self, most_bytes: int) -> None:
        """Choose how a row of chunks is kept, if that saves unpacking it again."""
        if not _is_packed(self._data):
            return
        per_block = min(self._data.chunks[0], self.shape[0])
        block_bytes = per_block * math.prod(self.shape[1:]) * self._data.dtype.itemsize
        if block_bytes <= most_bytes:
            self._per_block = per_block
            self._kept_bytes = block_bytes if per_block > 1 else 0
            return
        n_chunks, self._kept_bytes = _measure_row(self._data)
        cache = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        cache.set_chunk_cache(4 * n_chunks + 1, self._kept_bytes, 0.75)
        name = h5py.h5i.get_name(self._data.id)
        self._data.id.close()  # an array that is open keeps the cache that it was opened with
        self._data = h5py.Dataset(h5py.h5d.open(self._file.id, name, cache))

    def _check_written(self, index: int) -> None:
        if not self._is_written(index):
            raise ImageError(f"{self._path}: image {index} was never written")

    def _is_written(self, index: int) -> bool:
        """Return True if any part of an image lies in the file; the rest reads as a fill value."""
        layout = self._data.id.get_create_plist().get_layout()
        if layout == h5py.h5d.CONTIGUOUS:
            return self._data.id.get_offset() is not None
        if layout != h5py.h5d.CHUNKED:
            return True
        if self._written is None:
            rows: set[int] = set()
            self._data.id.chunk_iter(lambda chunk: rows.add(chunk.chunk_offset[0]))
            self._written = frozenset(rows)
        depth = self._data.chunks[0]
        return index // depth * depth in self._written


def read_hdf5_labels(path: Path) -> npt.NDArray[np.int64]:
    """Read the labels of an HDF5 file, shape (N,).

    The array ``y`` is read, else the only one of whole numbers, one an image. Raises ImageError if
    it cannot be read, or the array of labels is ambiguous.
    """
    with _open(path) as file, _explained(path, ": the labels are damaged"):
        data = _choose(path, file, _LABEL_KEY, _is_labels, "labels")
        if not _is_labels(data):
            raise ImageError(
                f"{path}: {_format(data)} does not have one whole number per image",
                hint=_SHAPES[_LABEL_KEY],
            )
        _check_labels(path, data)
        return np.asarray(data[()], dtype=np.int64).reshape(-1)


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except _ERRORS as error:
        raise ImageError(f"{path} {_explain(path, error)}") from error


def _explain(path: Path, error: Exception) -> str:
    """Return why a file does not open, as the end of a sentence."""
    reason = _reason(error)
    if match := _TRUNCATED.search(reason):
        there, stored = (int(number) for number in match.groups())
        return f"is truncated: it has {there:,} of {stored:,} bytes; download it again"
    if foreign := describe_foreign(path):
        return foreign
    if "signature not found" in reason:
        return "is not an HDF5 file; copy or download it again"
    return f"cannot be opened as HDF5: {reason}"


@contextmanager
def _explained(path: Path, what: str = " is damaged") -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        raise ImageError(f"{path}{what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    # The first line of HDF5's own message names the cause: no signature, truncated, not allowed.
    return str(error).strip("\"'").partition("\n")[0].strip() or type(error).__name__


def _is_images(data: h5py.Dataset) -> bool:
    return len(data.shape) in {3, 4} and data.dtype.kind in "iuf"


def _is_labels(data: h5py.Dataset) -> bool:
    one_each = len(data.shape) >= 1 and all(size == 1 for size in data.shape[1:])
    return bool(one_each and data.dtype.kind in "biu")


def _choose(path: Path, file: h5py.File, key: str, fits: Any, what: str) -> h5py.Dataset:
    """Return the array of a key, else the only one that fits."""
    if (data := _get_own(file, key)) is not None:
        return data
    found = list(_walk_own(path, file, key))
    fitting = [data for data in found if fits(data)]
    if len(fitting) == 1:
        return fitting[0]
    keys = ", ".join(_format(data) for data in found[:_MOST_LISTED]) or "none"
    keys += f", and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
    if not fitting:
        raise ImageError(f"{path} contains no {what} (arrays: {keys})", hint=_SHAPES[key])
    raise ImageError(
        f"{path} has no array {key!r}, and {len(fitting)} others could be the {what} "
        f"(arrays: {keys})",
        hint=f"Rename the right one to {key!r}",
    )


def _walk_own(path: Path, file: h5py.File, key: str) -> Iterator[h5py.Dataset]:
    """Yield the arrays of a file, each once.

    HDF5's own visitor crashes the process if an array's index is damaged.
    """
    todo: list[h5py.Group] = [file]
    seen: set[Any] = {file}
    for group in todo:
        for name in group:
            item = _get_own(group, name, groups=True)
            if item is None or item in seen:
                continue
            seen.add(item)
            if len(seen) > _MOST_OBJECTS:
                raise ImageError(f"{path} has no array {key!r}, and too many others")
            if isinstance(item, h5py.Group):
                todo.append(item)
            else:
                yield item


def _get_own(group: h5py.Group, name: Any, *, groups: bool = False) -> Any:
    """Return an array or group of this file itself: links may lead to any file."""
    link = os.fsencode(name)
    if not group.id.links.exists(link) or group.id.links.get_info(link).type != h5py.h5l.TYPE_HARD:
        return None
    item = group[name]
    if isinstance(item, h5py.Dataset):
        is_own = item.shape is not None and not item.external and not item.is_virtual
        return item if is_own else None
    return item if groups and isinstance(item, h5py.Group) else None


def _format(data: h5py.Dataset) -> str:
    name = os.fsdecode(data.name).lstrip("/")
    name = name[:60] if name.isprintable() else ascii(name[:60])
    # Of a compound type the text has no bound.
    return f"{name} {str(data.dtype)[:60]} {' × '.join(map(str, data.shape))}"


def _check_images(path: Path, data: h5py.Dataset) -> None:
    if data.ndim not in {3, 4}:
        raise ImageError(
            f"{path}: {_format(data)} has {data.ndim} dimensions; images have 3 or 4",
            hint=_SHAPES[_IMAGE_KEY],
        )
    if data.dtype.type not in {np.uint8, np.uint16}:
        raise ImageError(
            f"{path}: {_format(data)} must be uint8 or uint16 to be read as images",
            hint="Save values from 0 to 255 as uint8",
        )
    if data.shape[0] == 0:
        raise ImageError(
            f"{path}: {_format(data)} contains no images", hint="Download or write the file again"
        )
    if data.ndim == 4 and data.shape[1] in {1, 3} and min(data.shape[2:]) > _MOST_COLOURS:
        raise ImageError(
            f"{path}: {_format(data)} has its channels first",
            hint="Move them to the end: " + _SHAPES[_IMAGE_KEY].lower(),
        )
    if data.ndim == 3 and data.shape[2] <= _MOST_COLOURS < min(data.shape[:2]):
        raise ImageError(
            f"{path}: {_format(data)} looks like one colour image, not like many grey ones",
            hint="Give it a first axis of length 1. " + _SHAPES[_IMAGE_KEY],
        )
    limits = read_limits()
    limits.check_size(path, data.shape[2], data.shape[1])
    if data.ndim == 4:
        limits.check_channels(path, data.shape[3])
    limits.check_bytes(path, math.prod(data.shape[1:]) * data.dtype.itemsize)
    check_count(path, data.shape[0])
    if data.chunks is not None:
        n_chunks, n_bytes = _measure_row(data)
        _check_chunks(path, n_chunks)
        # A chunk is unpacked as a whole, however little of it belongs to the array.
        limits.check_bytes(path, n_bytes if _is_packed(data) else 0)
    _check_filters(path, data)


def _check_labels(path: Path, data: h5py.Dataset) -> None:
    limits = read_limits()
    limits.check_bytes(path, math.prod(data.shape) * (data.dtype.itemsize + 8))
    if data.chunks is None:
        is_whole = data.id.get_create_plist().get_layout() == h5py.h5d.COMPACT
        is_whole = is_whole or data.id.get_offset() is not None
    else:
        limits.check_bytes(path, math.prod(data.chunks) * data.dtype.itemsize)
        n_chunks = math.prod(map(_ceil_divide, data.shape, data.chunks))
        _check_chunks(path, n_chunks)
        is_whole = data.id.get_num_chunks() == n_chunks
    if data.size and not is_whole:
        raise ImageError(f"{path}: {_format(data)} has labels that were never written")
    _check_filters(path, data)


def _check_chunks(path: Path, n_chunks: int) -> None:
    if n_chunks > max(_MOST_CHUNKS, path.stat().st_size // _INDEX_BYTES):
        raise ImageError(f"{path} is damaged: one read would need {n_chunks} chunks")


def _check_filters(path: Path, data: h5py.Dataset) -> None:
    filters = data.id.get_create_plist()
    for number in range(filters.get_nfilters()):
        code, _, _, name = filters.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            label = name.decode("ascii", "replace") or "unnamed"
            raise ImageError(
                f"{path}: {_format(data)} is packed with the filter {code} ({label!r}), which is "
                "not installed",
                hint="Compress it with gzip instead",
            )


def _is_packed(data: h5py.Dataset) -> bool:
    return data.chunks is not None and data.id.get_create_plist().get_nfilters() > 0


def _measure_row(data: h5py.Dataset) -> tuple[int, int]:
    """Return the number of chunks that one image lies in, and their unpacked bytes."""
    n_chunks = math.prod(map(_ceil_divide, data.shape[1:], data.chunks[1:]))
    return n_chunks, n_chunks * math.prod(data.chunks) * data.dtype.itemsize


def _ceil_divide(size: int, step: int) -> int:
    return -(-size // step)
