"""Images and labels in an HDF5 file, as PatchCamelyon is published: arrays (N, H, W[, C]) by key.

Compressed files are packed in chunks that may hold thousands of images each. Such a row of chunks
is unpacked once and kept, so that reading one image after the other unpacks nothing twice. Nobody
but :mod:`eosin.inference.containers` calls these, one thread at a time.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from eosin.core.errors import ImageError
from eosin.core.types import Pixels
from eosin.inference.limits import read_limits
from eosin.inference.signatures import describe_foreign

#: A row of chunks above this is not kept; each image is then unpacked by itself.
MAX_BLOCK_BYTES = 256 * 1024**2
_TRUNCATED = re.compile(r"truncated file: eof = (\d+).*stored_eof = (\d+)")
#: Colours, with alpha; no image is so small.
_MOST_COLOURS = 4
_IMAGE_KEY, _LABEL_KEY = "x", "y"


class Hdf5Images:
    """The images of an HDF5 file, uint8 or uint16.

    Args:
        path: The file. Read is the array ``x``, else the only one of three or four dimensions.

    Raises:
        ImageError: It cannot be read, or does not say which array holds the images.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _open(path)
        try:
            self._data = _choose(path, self._file, _IMAGE_KEY, _is_images, "images")
            _check_images(path, self._data)
        except ImageError:
            self._file.close()
            raise
        self.shape: tuple[int, ...] = self._data.shape
        self._per_block = _images_per_block(self._data)
        self._block: Pixels = np.empty((0,), dtype=np.uint8)
        self._block_number = -1

    @property
    def kept_bytes(self) -> int:
        """Memory that is held between two reads."""
        return self._block.nbytes

    def read(self, index: int) -> Pixels:
        """Return a copy of one image."""
        number, place = divmod(index, self._per_block)
        try:
            if self._per_block == 1:
                return np.ascontiguousarray(self._data[index])
            if number != self._block_number:
                first = number * self._per_block
                self._block = self._data[first : first + self._per_block]
                self._block_number = number
        except (OSError, RuntimeError) as error:
            raise ImageError(f"{self._path}: image {index} is damaged: {error}") from error
        item: Pixels = self._block[place].copy()
        return item

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def read_hdf5_labels(path: Path) -> npt.NDArray[np.int64]:
    """Read the labels of an HDF5 file.

    Args:
        path: The file. Read is the array ``y``, else the only one of whole numbers, one an image.

    Returns:
        Shape (N,).

    Raises:
        ImageError: It cannot be read, or does not say which array holds the labels.
    """
    with _open(path) as file:
        data = _choose(path, file, _LABEL_KEY, _is_labels, "labels")
        if not _is_labels(data):
            raise ImageError(f"{path}: {_tell(data)} does not hold one whole number an image")
        try:
            return np.asarray(data[()], dtype=np.int64).reshape(-1)
        except (OSError, RuntimeError) as error:
            raise ImageError(f"{path}: the labels are damaged: {error}") from error


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise ImageError(f"{path} {'is a folder' if path.exists() else 'does not exist'}")
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        raise ImageError(f"{path} {_explain(path, error)}") from error


def _explain(path: Path, error: Exception) -> str:
    """Return why a file does not open, as the end of a sentence."""
    # The first line of HDF5's own message says which: no signature, truncated, not allowed.
    reason = str(error).splitlines()[0].strip()
    if match := _TRUNCATED.search(reason):
        there, stored = (int(number) for number in match.groups())
        return f"is cut off: {there:,} of {stored:,} bytes are there; download it again"
    if foreign := describe_foreign(path):
        return foreign
    return f"cannot be opened as HDF5: {reason}"


def _is_images(data: h5py.Dataset) -> bool:
    return data.ndim in {3, 4} and data.dtype.kind in "iuf"


def _is_labels(data: h5py.Dataset) -> bool:
    one_each = data.ndim >= 1 and all(size == 1 for size in data.shape[1:])
    return bool(one_each and data.dtype.kind in "biu")


def _choose(path: Path, file: h5py.File, key: str, fits: Any, what: str) -> h5py.Dataset:
    """Return the array of a key, else the only one that fits.

    Only arrays that lie in this file itself are looked at: links may lead to any file.
    """
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not item.external and not item.is_virtual:
            found[name] = item

    try:
        file.visititems(note)
    except (OSError, RuntimeError, KeyError) as error:
        raise ImageError(f"{path} is damaged: {error}") from error
    if key in found:
        return found[key]
    fitting = [data for data in found.values() if fits(data)]
    if len(fitting) == 1:
        return fitting[0]
    keys = ", ".join(_tell(data) for data in found.values()) or "none"
    if not fitting:
        raise ImageError(f"{path} holds no {what} (arrays: {keys})")
    raise ImageError(
        f"{path} has no array {key!r}, and {len(fitting)} others could hold the {what} "
        f"(arrays: {keys})"
    )


def _tell(data: h5py.Dataset) -> str:
    return f"{data.name.lstrip('/')} {data.dtype} {' × '.join(map(str, data.shape))}"


def _check_images(path: Path, data: h5py.Dataset) -> None:
    if data.ndim not in {3, 4}:
        raise ImageError(f"{path}: {_tell(data)} has {data.ndim} dimensions; images have 3 or 4")
    if data.dtype.type not in {np.uint8, np.uint16}:
        raise ImageError(f"{path}: {_tell(data)} must be uint8 or uint16 to be read as images")
    if data.shape[0] == 0:
        raise ImageError(f"{path}: {_tell(data)} holds no images")
    if data.ndim == 4 and data.shape[1] in {1, 3} and min(data.shape[2:]) > _MOST_COLOURS:
        raise ImageError(
            f"{path}: {_tell(data)} has its channels first; images are read as "
            "number × height × width × channels"
        )
    limits = read_limits()
    limits.check_size(path, data.shape[2], data.shape[1])
    if data.ndim == 4:
        limits.check_channels(path, data.shape[3])
    # A chunk is unpacked as a whole, however little of it belongs to the array.
    unpacked = data.chunks if data.chunks is not None else data.shape[1:]
    limits.check_bytes(path, math.prod(unpacked) * data.dtype.itemsize)


def _images_per_block(data: h5py.Dataset) -> int:
    """How many images one row of chunks holds, where keeping them saves unpacking again."""
    packed = data.chunks is not None and data.id.get_create_plist().get_nfilters() > 0
    if not packed or data.chunks[0] == 1:
        return 1
    per_block = int(min(data.chunks[0], data.shape[0]))
    item_bytes = int(np.prod(data.shape[1:], dtype=np.int64)) * data.dtype.itemsize
    return per_block if per_block * item_bytes <= MAX_BLOCK_BYTES else 1
