"""Limits on the size of an image: settings, read from the environment.

A training reads thousands of unchecked files; one absurd header must not exhaust the memory.

========================  ===========  =====================================================
variable                  default      limits
========================  ===========  =====================================================
``EOSIN_MAX_PIXELS``      50,000,000   pixels of an image (width × height): more is a slide
``EOSIN_MAX_CHANNELS``    32           channels of a file
``EOSIN_MAX_BYTES``       512 MiB      bytes of an image once it is unpacked; of a gzipped idx
                                       file or a row of chunks of an h5 file, unpacked as a whole;
                                       of a file of one image
========================  ===========  =====================================================

With the defaults a process stays below 1.5 GB whatever single files come: decoding and measuring
take up to three times an image's bytes.

Reads are bounded, too: Pillow steps from block to block of many formats in Python, and keeps what
it finds beside the pixels. A hundred megabytes of empty blocks would take minutes, one block of
them gigabytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from eosin.core.errors import ImageError
from eosin.core.files import open_file
from eosin.core.places import read_setting
from eosin.images.failures import reserve_memory

PIXELS_VARIABLE = "EOSIN_MAX_PIXELS"
CHANNELS_VARIABLE = "EOSIN_MAX_CHANNELS"
BYTES_VARIABLE = "EOSIN_MAX_BYTES"
#: Most pages of a file that are searched for the one that is no smaller copy of another.
MAX_PAGES = 1000
#: Most pixels of a side; more rows than that take more memory than their pixels.
_LONGEST_SIDE = 500_000
#: Images up to which a container is harmless, whatever its size.
_FEW_IMAGES = 4096
#: Most reads of one file: a JPEG takes some hundred, a PNG of 50 million pixels 200,000. A GIF's
#: blocks have 255 bytes; those of its pixels are stepped over to look for a second image.
_MAX_READS, _READS_OF_GIF = 500_000, 1_000_000
#: Most megabytes before the pixels. Pillow joins each block of a JPEG to those before; a TIFF may
#: hold the layers of its program.
_MAX_HEADER_MB, _OF_JPEG, _OF_TIFF = 32, 8, 256
#: Size of a file up to which no bound is needed.
_SMALL_BYTES = 1 << 20
#: Least length of a PNG's reads that are not of pixels; they count towards its header.
_LONG_READ = 1 << 19
#: First bytes of TIFF and BigTIFF, in either order.
MAGIC_OF_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GIF, _JPEG, _PNG, _WEBP = b"GIF8", b"\xff\xd8", b"\x89PNG", b"RIFF"


@dataclass(frozen=True)
class Limits:
    """Limits on one image."""

    max_pixels: int = 50_000_000  # width × height
    max_channels: int = 32  # channels of one image
    max_bytes: int = 512 * 1024**2  # memory that reading one image takes

    def check_size(self, path: Path, width: int, height: int) -> None:
        """Raise ImageError for an image that is too large or empty."""
        if width < 1 or height < 1:
            raise ImageError(f"{path} has no pixels")
        if max(width, height) > _LONGEST_SIDE:
            raise ImageError(
                f"{path} has {width} × {height} pixels; at most {_LONGEST_SIDE} per side are read"
            )
        if width * height > self.max_pixels:
            raise ImageError(
                f"{path} has {width} × {height} pixels; at most {self.max_pixels} are read "
                f"({PIXELS_VARIABLE} sets this)"
            )

    def check_channels(self, path: Path, n_channels: int) -> None:
        """Raise ImageError for too many channels."""
        if n_channels > self.max_channels:
            raise ImageError(
                f"{path} has {n_channels} channels; at most {self.max_channels} are read "
                f"({CHANNELS_VARIABLE} sets this)"
            )

    def check_bytes(self, path: Path, n_bytes: int, *, packed: bool = True) -> None:
        """Raise ImageError if unpacking takes too much memory, or a file is larger than that."""
        if n_bytes > self.max_bytes:
            how = "unpacks to" if packed else "has"
            raise ImageError(
                f"{path} {how} {n_bytes} bytes; at most {self.max_bytes} are read "
                f"({BYTES_VARIABLE} sets this)"
            )


def check_count(path: Path, count: int) -> None:
    """Raise ImageError if a container claims more images than it has bytes."""
    size = path.stat().st_size
    if count > max(size, _FEW_IMAGES):
        raise ImageError(f"{path} is damaged: {size:,} bytes cannot contain {count:,} images")


def read_limits() -> Limits:
    """Return the environment's limits, else the defaults; raises UsageError if invalid."""
    return Limits(
        max_pixels=read_setting(PIXELS_VARIABLE, Limits.max_pixels),
        max_channels=read_setting(CHANNELS_VARIABLE, Limits.max_channels),
        max_bytes=read_setting(BYTES_VARIABLE, Limits.max_bytes),
    )


class BoundedReader(BufferedReader):
    """File with a limit on the number of reads and the size of the header."""

    def __init__(self, stream: BufferedReader, path: Path, magic: bytes) -> None:
        super().__init__(cast(Any, stream.detach()))
        self._path, self._magic = path, magic
        self._most_reads = _READS_OF_GIF if magic == _GIF else _MAX_READS
        self._most_mb = _MAX_HEADER_MB
        if magic in MAGIC_OF_TIFF:
            self._most_mb = _OF_TIFF
        elif magic.startswith(_JPEG):
            self._most_mb = _OF_JPEG
        self._n_reads = self._n_bytes = 0
        self.is_header = magic != _WEBP  # which is read as a whole before its pixels are decoded

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; raises ImageError if the file exceeds a bound."""
        data = super().read(size)
        self._n_reads += 1
        if self.is_header or (len(data) >= _LONG_READ and self._magic == _PNG):
            self._n_bytes += len(data)
        if self._n_reads > self._most_reads:
            raise ImageError(f"{self._path} is damaged: it has more than {self._most_reads} blocks")
        if self._n_bytes > self._most_mb << 20:
            raise ImageError(
                f"{self._path} contains more than {self._most_mb} MB beside its pixels"
            )
        return data


def end_header(stream: BufferedReader) -> None:
    """Count further reads of a bounded file as pixels."""
    if isinstance(stream, BoundedReader):
        stream.is_header = False


def open_bounded(path: Path, limits: Limits) -> BufferedReader:
    """Open an image file for a library to read.

    Raises OSError if it cannot be opened, or is no file; ImageError if it is too large.
    """
    stream = open_file(path)
    try:
        n_bytes = os.fstat(stream.fileno()).st_size
        if n_bytes < _SMALL_BYTES:
            return stream
        limits.check_bytes(path, n_bytes, packed=False)
        magic = stream.peek(len(MAGIC_OF_TIFF[0]))[: len(MAGIC_OF_TIFF[0])]
        if magic not in MAGIC_OF_TIFF:  # of a TIFF a part is read
            reserve_memory(n_bytes)
        return BoundedReader(stream, path, magic)
    except BaseException:
        stream.close()
        raise
