"""Size limits of tables, checked before a library unpacks them.

A kilobyte can stand for gigabytes: compressed text, a workbook with one cell in its last row, a
Parquet file that repeats a value a billion times. ``EOSIN_MAX_CELLS`` limits the number of cells,
6,000,000 by default: 600,000 images with ten columns.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eosin.core.errors import ManifestError
from eosin.core.files import open_file
from eosin.core.places import read_setting

CELLS_VARIABLE = "EOSIN_MAX_CELLS"
#: Most cells of text or Parquet; a cell takes up to 200 bytes of memory.
_CELLS = 6_000_000
#: Bytes that a cell may have on average, packed or unpacked.
_CELL_BYTES = 28
#: Factor on that number for Parquet tables that Eosin wrote, whose cells are not converted.
_OWN = 7
#: Most columns, the limit of a workbook.
_MAX_COLUMNS = 16_384

_UNPACK: dict[str, Callable[[io.BytesIO], Any]] = {
    ".gz": lambda packed: gzip.GzipFile(fileobj=packed),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
#: Suffixes of compressed text.
PACKED_SUFFIXES = frozenset(_UNPACK)
_LETTERS = 26
#: More than a zip reader unpacks at once; it checks the checksum only at a member's end.
_MARGIN = 1 << 24
#: Reference of a cell or row of an Excel sheet.
_PLACE = re.compile(rb"""\br\s*=\s*["']([A-Z]{0,3})(\d{1,10})["']""")
#: Rows and cells of an OpenDocument sheet.
_ODS = re.compile(rb"<table:(table-row|table-cell|covered-table-cell)\b([^>]*)>")
_REPEATED = re.compile(rb"""number-(?:rows|columns)-repeated\s*=\s*["'](\d{1,10})""")
_SMALLER = "Keep only the columns and rows that are needed, or split the table"


def max_cells(*, own: bool = False) -> int:
    """Return the largest number of cells of a table, or of one that Eosin wrote.

    Raises:
        UsageError: ``EOSIN_MAX_CELLS`` is no whole number above 0.
    """
    return read_setting(CELLS_VARIABLE, _CELLS) * (_OWN if own else 1)


def max_bytes() -> int:
    """Return the largest size of a table in bytes, packed or unpacked."""
    return _CELL_BYTES * max_cells()


def _max_sheet_cells() -> int:
    """Return the largest number of cells of a workbook's sheet, empty ones included."""
    return 2 * max_cells() // 3


def read_bounded(path: Path, *, pipe: bool = False) -> bytes:
    """Read the bytes of a table, decompressed according to its suffix.

    Raises:
        ManifestError: It has more than :func:`max_bytes`, packed or unpacked.
        OSError: It cannot be opened, or is no regular file.
        EOFError, zlib.error, lzma.LZMAError: It is damaged.
    """
    most = max_bytes()
    with open_file(path, pipe=pipe) as stream:
        status = os.fstat(stream.fileno())
        size = status.st_size if stat.S_ISREG(status.st_mode) else 0
        data = b"" if size > most else stream.read(most + 1)
    if size > most or len(data) > most:
        raise too_large(path, f"{most:,} bytes")
    opener = _UNPACK.get(path.suffix.lower())
    if opener is None:
        return data
    with opener(io.BytesIO(data)) as unpacked:
        data = bytes(unpacked.read(most + 1))
    if len(data) > most:
        raise too_large(path, f"{most:,} bytes when unpacked")
    return data


def too_large(path: Path, bound: str) -> ManifestError:
    """Return the error for a table that exceeds a limit, such as ``"10 cells"``."""
    return ManifestError(
        f"the table {path} is too large: it has more than {bound} ({CELLS_VARIABLE} sets this)",
        hint=_SMALLER,
    )


def check_columns(path: Path, n_columns: int) -> None:
    """Check that a table has no more columns than a workbook; raises ``ManifestError``."""
    if n_columns > _MAX_COLUMNS:
        raise ManifestError(
            f"the table {path} has {n_columns:,} columns; at most {_MAX_COLUMNS:,} are read",
            hint="Keep only the columns that are needed",
        )


def check_workbook(path: Path, data: bytes) -> None:
    """Check the unpacked size of a zipped workbook; other formats are not compressed.

    Raises:
        ManifestError: A sheet, or the whole file, is too large.
        ValueError, OSError: It is no readable zip file.
    """
    if not data.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            left = max_bytes()
            for member in archive.infolist():
                if member.filename.endswith(".bin") and "sheet" in member.filename.lower():
                    raise ManifestError(
                        f"{path} is a binary workbook (.xlsb)", hint="Save it as CSV UTF-8 or .xlsx"
                    )
                text = _unpack_member(archive, member, left)
                left -= len(text)
                if left < 0:
                    raise too_large(path, f"{max_bytes():,} bytes when unpacked")
                n_rows, n_columns = _sheet_size(member.filename, text)
                if (n_rows - 1) * n_columns > _max_sheet_cells():  # beside the header
                    raise too_large(path, f"{_max_sheet_cells():,} cells in a sheet")
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        # Encrypted members raise RuntimeError, unknown compressions NotImplementedError.
        raise ValueError(str(error)) from error


def _unpack_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """Return at most ``most`` + 1 bytes, whatever size the member declares."""
    member.file_size = most + _MARGIN
    with archive.open(member) as stream:
        return stream.read(most + 1)


def _sheet_size(name: str, text: bytes) -> tuple[int, int]:
    """Return rows and columns up to the last cell that the sheet declares."""
    if name == "content.xml":
        return _ods_size(text)
    rows = columns = 0
    for letters, digits in _PLACE.findall(text):
        number = 0
        for letter in letters:
            number = number * _LETTERS + letter - ord("A") + 1
        rows, columns = max(rows, int(digits)), max(columns, number)
    return rows, columns


def _ods_size(text: bytes) -> tuple[int, int]:
    rows = last_row = columns = 0
    for n_repeated, width in _ods_rows(text):
        rows += n_repeated
        if width:
            last_row, columns = rows, max(columns, width)
    return last_row, columns


def _ods_rows(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield each row's repetitions, and its number of columns up to the last filled cell."""
    repeated = place = width = 0
    for kind, attributes in _ODS.findall(text):
        found = _REPEATED.search(attributes)
        n = int(found.group(1)) if found else 1
        if kind == b"table-row":
            yield repeated, width
            repeated, place, width = n, 0, 0
        else:
            place += n
            if not attributes.endswith(b"/") or b"value" in attributes:
                width = place
    yield repeated, width


def read_parquet(
    path: Path, data: bytes, columns: list[str] | None = None, *, own: bool = False
) -> Any:
    """Read a Parquet table after counting its cells.

    Raises:
        ManifestError: It is too large.
        OSError, ValueError, LookupError: It is damaged, or lacks a column.
    """
    # pyarrow takes 0.1 s to import, and most tables are text
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        names = [field.name for field in file.schema_arrow]
        is_text, is_bytes = pa.types.is_string, pa.types.is_binary
        text = [f.name for f in file.schema_arrow if is_text(f.type) or is_bytes(f.type)]
        _check_parquet(
            path, file.metadata, names if columns is None else columns, max_cells(own=own)
        )
        # A repeated value is stored once until its unpacked size is known.
        file = parquet.ParquetFile(pa.BufferReader(data), read_dictionary=text)
        table = file.read(columns=columns)
        if sum(map(_text_bytes, table.columns)) > max_bytes():
            raise too_large(path, f"{max_bytes():,} bytes when unpacked")
        plain = [
            column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for column in table.columns
        ]
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    return pa.table(plain, names=table.column_names)


def _text_bytes(column: Any) -> int:
    """Return the unpacked size in bytes of a text column; 0 for other columns."""
    import pyarrow as pa
    from pyarrow import compute

    if not pa.types.is_dictionary(column.type):
        return 0
    lengths = (
        compute.sum(compute.binary_length(chunk.dictionary).take(chunk.indices)).as_py()
        for chunk in column.chunks
    )
    return sum(length or 0 for length in lengths)


def _check_parquet(path: Path, metadata: Any, columns: list[str], most: int) -> None:
    check_columns(path, metadata.num_columns)
    if metadata.num_rows * len(columns) > most:
        raise too_large(path, f"{most:,} cells")
    sizes = (metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
    if sum(sizes) > max_bytes():
        raise too_large(path, f"{max_bytes():,} bytes when unpacked")
