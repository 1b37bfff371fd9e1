"""Reader of npz files: arrays by name, no objects, no more memory than the file's contents."""

from __future__ import annotations

import lzma
import math
import struct
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from eosin.core.files import check_unpacked, open_file

#: Exceptions of zipfile, its decoders and NumPy's header reader on a damaged file.
_DAMAGE = (
    AttributeError,
    BadZipFile,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TokenError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zlib.error,
)


def read_npz(path: Path) -> dict[str, Any]:
    """Read the arrays of an npz file by name.

    Raises:
        OSError: It is absent, or no file.
        ValueError: It is damaged, has objects, or its members do not have the declared sizes.
    """
    # Opened here, so that it is closed even if NumPy finds no archive.
    with open_file(path) as stream:
        try:
            with ZipFile(stream) as archive:
                members = archive.infolist()
                check_unpacked(path, sum(member.file_size for member in members))
                for member in members:
                    _check_member(archive, member)
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
        except _DAMAGE as error:
            reason = str(error).partition("\n")[0][:200]
            raise ValueError(reason or "it is damaged") from error


def _check_member(archive: ZipFile, member: ZipInfo) -> None:
    """Reject an array whose header declares a wrong size, for which memory would be allocated."""
    if not member.filename.endswith(".npy"):
        raise ValueError(f"{member.filename!r} is not an array")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        try:
            shape, _, dtype = read_header(stream)
        except MemoryError:  # Python's parser, on deep nesting
            raise ValueError(f"{member.filename!r} has a damaged header") from None
        n_bytes = math.prod(shape) * dtype.itemsize
        fits = min(shape, default=0) >= 0 and n_bytes == member.file_size - stream.tell()
        if not fits and not dtype.hasobject:  # NumPy's own error names objects
            raise ValueError(f"{member.filename!r} does not have the size that its header states")
