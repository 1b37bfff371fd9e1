"""Idx files, in which MNIST is published: one array behind a short header, plain or gzipped.

Header: two zero bytes, one byte for the kind of number, one for the number of dimensions, then
every dimension as a big-endian 32-bit number. A header that claims more bytes than the file has
raises an error before memory is allocated.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from eosin.core.errors import ImageError
from eosin.core.files import check_unpacked, open_file
from eosin.core.types import Pixels
from eosin.images.limits import check_count, read_limits

_KINDS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 4
_STEP = 1024**2
#: Bytes that packing may add to incompressible data.
_SLACK = 1 << 20


@dataclass(frozen=True)
class Header:
    """Header of an idx file."""

    dtype: np.dtype[Any]  # type of the numbers
    shape: tuple[int, ...]  # all dimensions; the first counts the items
    n_bytes: int  # length of the header itself

    @property
    def item_bytes(self) -> int:
        """Length of one item."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def body_bytes(self) -> int:
        """Length of all items."""
        return self.shape[0] * self.item_bytes


class IdxImages:
    """Images of an idx file, (N, H, W) or (N, H, W, C) of uint8.

    A gzipped file is inflated once and kept; of a plain one, each image is read from the file.
    Raises ImageError if it cannot be read, or contains no images.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header, self._body = _load(path, whole=_is_packed(path))
        if self._header.dtype.kind != "u":
            kind = self._header.dtype.name
            raise ImageError(
                f"{path} has {kind} numbers; unsigned 8-bit numbers are needed for images"
            )
        self.shape = self._header.shape
        if len(self.shape) < 3 or not self._header.item_bytes:
            shown = " × ".join(map(str, self.shape))
            raise ImageError(f"{path} has {shown} numbers, not images (N × H × W)")
        check_count(path, self.shape[0])

    @property
    def kept_bytes(self) -> int:
        """Memory that is held between two reads."""
        return 0 if self._body is None else len(self._body)

    def read(self, index: int) -> Pixels:
        """Return a copy of one image."""
        size, shape = self._header.item_bytes, self.shape[1:]
        if self._body is not None:
            item = self._body[index * size : (index + 1) * size]
        else:
            with _opened(self._path) as file:
                file.seek(self._header.n_bytes + index * size)
                item = memoryview(file.read(size))
        if len(item) < size:
            raise ImageError(f"{self._path} is truncated")
        return np.frombuffer(item, dtype=np.uint8).reshape(shape).copy()

    def close(self) -> None:
        """Close the file."""


def read_idx_labels(path: Path) -> npt.NDArray[np.int64]:
    """Read the labels of an idx file, plain or gzipped: shape (N,).

    Raises ImageError if it cannot be read, or does not hold one whole number an image.
    """
    header, body = _load(path, whole=True)
    if len(header.shape) != 1 or header.dtype.kind not in "iu":
        shown = " × ".join(map(str, header.shape))
        raise ImageError(f"{path} has {shown} numbers ({header.dtype.name}), not one label per row")
    return np.frombuffer(body or b"", dtype=header.dtype).astype(np.int64)


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, inflated if it is gzipped; errors inside become an ImageError."""
    try:
        with open_file(path) as stream:
            if not _is_packed(path):
                yield stream
                return
            with gzip.GzipFile(fileobj=stream) as file:
                yield cast(BinaryIO, file)
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except EOFError:
        raise ImageError(f"{path} is truncated") from None
    except (OSError, zlib.error) as error:
        what = "is damaged" if isinstance(error, zlib.error) else "cannot be read"
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path} {what}: {reason}") from error


def _load(path: Path, *, whole: bool) -> tuple[Header, memoryview | None]:
    """Read the header and check the file's length against it; the body too, if asked for."""
    with _opened(path) as file:
        header = _read_header(path, file)
        if not whole:
            _check_length(path, header, path.stat().st_size - header.n_bytes)
            return header, None
        read_limits().check_bytes(path, header.body_bytes)
        try:
            check_unpacked(path, header.body_bytes if _is_packed(path) else 0)
        except ValueError as error:
            raise ImageError(f"{path} is not unpacked: {error}") from None
        if _is_packed(path) and path.stat().st_size > header.body_bytes + _SLACK:
            # Python reads what is behind the packed bytes one by one, in search of more of them.
            raise ImageError(
                f"{path} has more than the {header.body_bytes} bytes that its header states"
            )
        body = _read_body(file, header.body_bytes)
        _check_length(path, header, len(body))
        return header, body


def _read_body(file: BinaryIO, expected: int) -> memoryview:
    """Read at most one byte more than expected, allocating only what really comes."""
    body = bytearray()
    while len(body) <= expected:
        step = file.read(min(_STEP, expected + 1 - len(body)))
        if not step:
            break
        body += step
    return memoryview(body).toreadonly()


def _check_length(path: Path, header: Header, found: int) -> None:
    if found < header.body_bytes:
        raise ImageError(
            f"{path} is truncated: {found} of the {header.body_bytes} bytes that its header states"
        )
    if found > header.body_bytes:
        raise ImageError(
            f"{path} has more than the {header.body_bytes} bytes that its header states"
        )


def _read_header(path: Path, file: BinaryIO) -> Header:
    magic = file.read(4)
    if len(magic) < 4:
        raise ImageError(f"{path} is truncated: its header is incomplete")
    if magic[:2] != b"\0\0" or magic[2] not in _KINDS:
        raise ImageError(f"{path} is not an idx file: it starts with the bytes {magic.hex(' ')}")
    if not 1 <= magic[3] <= _MAX_DIMENSIONS:
        raise ImageError(f"{path} has {magic[3]} dimensions; 1 to {_MAX_DIMENSIONS} are read")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ImageError(f"{path} is truncated: its header is incomplete")
    shape = tuple(int(size) for size in np.frombuffer(sizes, dtype=">u4"))
    return Header(np.dtype(_KINDS[magic[2]]), shape, 4 + len(sizes))
