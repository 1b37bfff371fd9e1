"""Image files that are read within bounds, whatever blocks they consist of.

Pillow steps from block to block of many formats in Python, and keeps what it finds beside the
pixels: a hundred megabytes of empty blocks would take minutes, one block of them gigabytes.
"""

from __future__ import annotations

import os
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from eosin.core.errors import ImageError
from eosin.core.files import open_file
from eosin.images.failures import reserve_memory
from eosin.images.limits import Limits
from eosin.images.tiff import MAGIC

#: Reads of one file: a JPEG takes some hundred, a PNG of 50 million pixels 200,000.
#: A GIF's blocks have 255 bytes; those of its pixels are stepped over to look for a second image.
_MAX_READS, _READS_OF_GIF = 500_000, 1_000_000
#: Megabytes before the pixels. Pillow joins a JPEG's blocks each to those before; a TIFF may hold
#: the layers of its program.
_MAX_HEADER_MB, _OF_JPEG, _OF_TIFF = 32, 8, 256
#: A smaller file exceeds no bound by much, and is read as fast as any.
_SMALL_BYTES = 1 << 20
#: So long are reads of a PNG that are of anything but pixels; they are no more than its header.
_LONG_READ = 1 << 19
_GIF, _JPEG, _PNG, _WEBP = b"GIF8", b"\xff\xd8", b"\x89PNG", b"RIFF"


class BoundedReader(BufferedReader):
    """A file that a library reads; absurdly many reads, or an absurd header, end in an error."""

    def __init__(self, stream: BufferedReader, path: Path, magic: bytes) -> None:
        super().__init__(cast(Any, stream.detach()))
        self._path, self._magic = path, magic
        self._most_reads = _READS_OF_GIF if magic == _GIF else _MAX_READS
        self._most_mb = _MAX_HEADER_MB
        if magic in MAGIC:
            self._most_mb = _OF_TIFF
        elif magic.startswith(_JPEG):
            self._most_mb = _OF_JPEG
        self._n_reads = self._n_bytes = 0
        self._is_header = magic != _WEBP  # which is read as a whole before its pixels are decoded

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises:
            ImageError: The file exceeds a bound.
        """
        data = super().read(size)
        self._n_reads += 1
        if self._is_header or (len(data) >= _LONG_READ and self._magic == _PNG):
            self._n_bytes += len(data)
        if self._n_reads > self._most_reads:
            raise ImageError(f"{self._path} is damaged: it has more than {self._most_reads} blocks")
        if self._n_bytes > self._most_mb << 20:
            raise ImageError(f"{self._path} holds more than {self._most_mb} MB beside its pixels")
        return data

    def end_header(self) -> None:
        """Let what is read from now on be pixels."""
        self._is_header = False


def end_header(stream: BufferedReader) -> None:
    """Let what is read from now on be pixels, where that is bounded."""
    if isinstance(stream, BoundedReader):
        stream.end_header()


def open_bounded(path: Path, limits: Limits) -> BufferedReader:
    """Open an image file for a library to read.

    Args:
        path: The file.
        limits: How large an image may be.

    Raises:
        OSError: It cannot be opened, or is no file.
        ImageError: It is too large.
    """
    stream = open_file(path)
    try:
        n_bytes = os.fstat(stream.fileno()).st_size
        if n_bytes < _SMALL_BYTES:
            return stream
        limits.check_file(path, n_bytes)
        magic = stream.peek(len(MAGIC[0]))[: len(MAGIC[0])]
        if magic not in MAGIC:  # of a TIFF a part is read
            reserve_memory(n_bytes)
        return BoundedReader(stream, path, magic)
    except BaseException:
        stream.close()
        raise
