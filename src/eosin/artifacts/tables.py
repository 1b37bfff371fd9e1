"""Reader of tables of text, workbooks and Parquet; all cells are text.

Text may be UTF-8 (with or without a byte-order mark), UTF-16 or Windows-1252; columns separated
by commas, semicolons, tabs or bars; rows ended in any of the usual ways. The contents decide, not
the name: a workbook or a Parquet file with the suffix ``.csv`` is read correctly. Cells are
returned as they are written; :mod:`eosin.artifacts.cleaning` cleans names in them.
"""

from __future__ import annotations

import csv
import datetime
import io
import lzma
import math
import re
import shlex
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts.bounds import (
    PACKED_SUFFIXES,
    check_columns,
    check_workbook,
    max_cells,
    read_bounded,
    read_parquet,
    too_large,
)
from eosin.core.errors import ManifestError
from eosin.core.files import open_file
from eosin.core.text import clean_name, quantity

#: Key in ``table.attrs`` of sentences on the reader's assumptions.
NOTES = "notes"
#: Suffixes of tables.
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".xlsx", ".xlsm", ".xls", ".ods"})
#: Name of the index of row numbers as a spreadsheet shows them: the header is row 1.
ROW = "row"
_DELIMITERS = (",", ";", "\t", "|")
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
#: First bytes of files that are no tables, their formats, and hints.
_NO_TABLES = (
    (b"<!doctype html", "an HTML page", "Download the table itself, not the page that shows it"),
    (b"<html", "an HTML page", "Download the table itself, not the page that shows it"),
    (b"<?xml", "an XML file", "Save it as CSV UTF-8 or .xlsx"),
    (b"version https://git-lfs", "a Git LFS pointer", "Get the file itself: git lfs pull"),
    (b"%pdf", "a PDF", "Save the table as CSV UTF-8 or .xlsx"),
    (b"{\\rtf", "a rich-text document", "Save the table as CSV UTF-8 or .xlsx"),
)
_MARKS = (  # UTF-32's mark begins with UTF-16's
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
#: The line that declares the separator to Excel.
_SEPARATOR_LINE = re.compile(r'"?sep=(.?)"?(?:\r\n|\r|\n)', re.IGNORECASE)
#: Bytes that are read to detect the form of a large table.
_SNIFFED = 1 << 20
_SEPARATORS = "commas, semicolons, tabs or bars"
_SAVE_AS = "Save the table as CSV UTF-8 or .xlsx"
#: A row of cells and its number in the table.
_Row = tuple[int, list[str]]


def is_table(path: Path | str | pd.DataFrame) -> bool:
    """Return True for a pandas table, and if a path has the suffix of one, ``.csv.gz`` included.

    A pipe without a suffix, such as ``/dev/fd/63`` of ``<(zcat m.csv.gz)``, counts as a table.
    """
    if isinstance(path, pd.DataFrame):
        return True
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    if not suffixes:
        return is_pipe(path)
    return suffixes[-1] in TABLE_SUFFIXES


def is_pipe(path: Path | str) -> bool:
    """Return True if a path is a pipe, which can be read only once."""
    try:
        return Path(path).is_fifo()
    except (OSError, ValueError):
        return False


def folder_of(path: Path | str | pd.DataFrame) -> Path:
    """Return the folder of a table's relative paths.

    It is the file's own; the working folder for a pipe and for a pandas table.
    """
    return Path() if isinstance(path, pd.DataFrame) or is_pipe(path) else Path(path).parent


def name_of(path: Path | str | pd.DataFrame) -> str:
    """Return the name of a table for messages and pages: that of its file."""
    return "table" if isinstance(path, pd.DataFrame) else Path(path).resolve().name


def read_table(path: Path | str | pd.DataFrame, *, pipe: bool = False) -> Any:
    """Read a table from CSV, TSV, a workbook or Parquet.

    Args:
        path: The file; its contents, not its name, determine the format. Or a pandas table, which
            is read as its CSV would be.
        pipe: True allows a pipe that the user named.

    Returns:
        A pandas table of text; its index holds the row numbers as a spreadsheet shows them.
        Column names are cleaned. The reader's assumptions are in ``attrs[NOTES]``.

    Raises:
        ManifestError: It does not exist, is no file, is empty, too large, damaged or no table, has
            two columns of one name, or a row does not fit the header.
    """
    if isinstance(path, pd.DataFrame):
        name = Path(name_of(path))
        return _make_frame(name, _split_text(name, path.to_csv(index=False)))
    path = Path(path)
    if path.is_dir():
        raise ManifestError(
            f"{path} is a folder, but a table is needed",
            hint="Make a table of its class folders: eosin data manifest folder "
            f"{shlex.quote(str(path))} -o MANIFEST.csv",
        )
    try:
        return _read(path, pipe=pipe)
    except FileNotFoundError:
        raise ManifestError(f"the table {path} does not exist") from None
    except OSError as error:
        reason = error.strerror or error
        raise ManifestError(f"the table {path} cannot be read: {reason}") from error
    except (ValueError, LookupError, OverflowError, EOFError) as error:  # days beyond year 9999
        raise ManifestError(f"the table {path} cannot be read: {error}") from error
    except (zlib.error, lzma.LZMAError) as error:
        raise ManifestError(f"the table {path} cannot be read: {error}") from error


@dataclass(frozen=True)
class TextForm:
    """Encoding and separator of a table's text, and the number of lines before the header."""

    encoding: str
    delimiter: str
    skipped_lines: int = 0


def sniff_text(path: Path) -> TextForm:
    """Detect the form of a large text table from its first bytes."""
    with open_file(path) as stream:
        data = stream.read(_SNIFFED)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    text = data.decode(encoding, "ignore")
    stated = _SEPARATOR_LINE.match(text)
    if stated:
        return TextForm(encoding, stated.group(1) or ",", 1)
    header = next((line for line in text.splitlines() if line.strip()), "")
    return TextForm(encoding, _find_delimiter(header))


def row_number(frame: Any, position: int) -> int:
    """Return the number of the row at a position, from 0, as a spreadsheet shows it."""
    return int(frame.index[position]) if frame.index.name == ROW else position + 2


def _read(path: Path, *, pipe: bool) -> Any:
    data = read_bounded(path, pipe=pipe)
    if not data.strip():
        raise ManifestError(f"the table {path} is empty")
    if data.startswith(b"PAR1"):
        return _read_parquet(path, data)
    if data.startswith(_WORKBOOKS):
        return _make_frame(path, _read_workbook(path, data))
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, what, hint in _NO_TABLES:
        if head.startswith(start):
            raise ManifestError(f"{path} is {what}, not a table", hint=hint)
    text, notes = _decode(path, data)
    del data  # memory
    frame = _make_frame(path, _split_text(path, text))
    frame.attrs[NOTES] = notes
    return frame


def _decode(path: Path, data: bytes) -> tuple[str, list[str]]:
    """Decode text by its byte-order mark, else as UTF-8, else as Windows-1252."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding), []
    if b"\0" in data:
        zeros = data[:400:2].count(0), data[1:400:2].count(0)  # UTF-16 without its mark
        if max(zeros) < len(data[:400]) // 4:
            raise ManifestError(f"{path} is a binary file, not a table", hint=_SAVE_AS)
        return data.decode("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"), []
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), ["not UTF-8: read as Windows-1252"]
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"the encoding of {path} is not known (byte {error.start} is neither UTF-8 nor "
            "Windows-1252)",
            hint=_SAVE_AS,
        ) from None


def _split_text(path: Path, text: str) -> list[_Row]:
    """Split text into numbered rows of cells; empty rows are left out."""
    text = text.lstrip("\ufeff")
    stated = _SEPARATOR_LINE.match(text)
    text = text[stated.end() :] if stated else text
    header = next((line for line in text.splitlines() if line.strip(" \t,;")), "")
    delimiter = (stated and stated.group(1)) or _find_delimiter(header)
    reader = csv.reader(
        lines_of(text),
        delimiter=delimiter,
        skipinitialspace=f"{delimiter} " in header,
        strict=True,
    )
    rows: list[_Row] = []
    n_cells, most = 0, max_cells()
    try:
        for number, row in enumerate(reader, 1):
            n_cells += len(row)
            if n_cells > most:
                raise too_large(path, f"{most:,} cells")
            if row and (row[0] or any(map(str.strip, row))):
                rows.append((number, row))
    except csv.Error as error:
        if "field larger" in str(error):
            raise ManifestError(
                f"the table {path} cannot be read: a cell before line {reader.line_num} has more "
                f"than {csv.field_size_limit():,} characters",
                hint="Is a quote left open? Put quotes around whole cells only",
            ) from None
        raise ManifestError(
            f"the table {path} cannot be read: unbalanced quotes before line "
            f"{reader.line_num} ({error})",
            hint=_SAVE_AS,
        ) from error
    if not text.endswith(("\n", "\r")):
        _check_cut_off(path, rows)
    return rows


def lines_of(text: str) -> io.TextIOWrapper:
    """Return a text's lines with their line ends, in a fourth of the memory of a StringIO."""
    data = io.BytesIO(text.encode("utf-8", "surrogatepass"))
    return io.TextIOWrapper(data, "utf-8", "surrogatepass", newline="")


def _check_cut_off(path: Path, rows: Sequence[_Row]) -> None:
    """Reject a table whose last row has no line end and fewer cells than all others."""
    if len(rows) < 2:
        return
    (_, header), *body, (number, last) = rows
    # A header may end in more separators than the rows.
    least = min((len(row) for _, row in body), default=0)
    wanted = max(_count_named(header), min(least, len(header)))
    if len(last) < wanted:
        raise ManifestError(
            f"{path} is truncated in row {number}: it has {len(last)} of {wanted} cells",
            hint="Copy or download the table again",
        )


def _count_named(header: Sequence[str]) -> int:
    """Return the number of columns up to the last that has a name."""
    return max((index for index, name in enumerate(header, 1) if name.strip()), default=0)


def _find_delimiter(header: str) -> str:
    """Return the separator of the columns: the most frequent in the header, outside quotes."""
    bare = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=bare.count)


def _read_workbook(path: Path, data: bytes) -> list[_Row]:
    """Read the only sheet of a workbook that looks like a table."""
    from python_calamine import CalamineError

    try:
        check_workbook(path, data)
        sheets = pd.read_excel(
            io.BytesIO(data),
            sheet_name=None,
            header=None,
            dtype=object,
            na_filter=False,  # a class may be called NA
            engine="calamine",
        )
    except (CalamineError, ValueError, KeyError, OSError) as error:
        raise ManifestError(
            f"{path} starts like a workbook (or a zip archive), but cannot be read as one: {error}",
            hint=_SAVE_AS,
        ) from error
    found = {str(name): _sheet_rows(sheet) for name, sheet in sheets.items()}
    tables = {name: rows for name, rows in found.items() if len(rows) > 1 and len(rows[0][1]) > 1}
    if len(tables) > 1:
        raise ManifestError(
            f"{path} has {len(tables)} sheets with tables: {', '.join(map(repr, tables))}",
            hint="Keep one sheet, or save the one to be read as CSV UTF-8",
        )
    return next(iter(tables.values())) if tables else next(iter(found.values()), [])


def _sheet_rows(sheet: Any) -> list[_Row]:
    rows = [(n, [_as_text(cell) for cell in row]) for n, row in enumerate(sheet.to_numpy(), 1)]
    return [(n, row) for n, row in rows if any(cell.strip() for cell in row)]


def _read_parquet(path: Path, data: bytes) -> Any:
    table = read_parquet(path, data)
    header = _name_columns(path, table.column_names)
    cells = [[_as_text(cell) for cell in column.to_pylist()] for column in table.columns]
    frame = pd.DataFrame(dict(zip(header, cells, strict=True)), dtype=object)
    return frame.drop(columns=[name for name in header if name.startswith("__index_level_")])


def _as_text(cell: Any) -> str:
    """Return a typed cell as text: a whole number without decimals, a day in ISO form."""
    if cell is None or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    if isinstance(cell, datetime.datetime):
        is_day = cell.time() == datetime.time() and cell.tzinfo is None
        return cell.date().isoformat() if is_day else cell.isoformat()
    return str(cell)


def _make_frame(path: Path, rows: Sequence[_Row]) -> Any:
    """Make a table of numbered rows, the first of which is the header."""
    if not rows:
        raise ManifestError(f"the table {path} is empty")
    (_, names), *body = rows
    header = _name_columns(path, names)
    cells = [_fit_row(path, number, row, names) for number, row in body]
    index = pd.Index([number for number, _ in body], name=ROW, dtype=int)
    frame = pd.DataFrame(cells, index=index, columns=header, dtype=object)
    unnamed = [column for column, name in zip(header, names, strict=True) if not clean_name(name)]
    blank = [column for column in unnamed if not any(map(str.strip, frame[column]))]
    return frame.drop(columns=blank)


def _name_columns(path: Path, names: Iterable[str]) -> list[str]:
    header = [clean_name(name) or f"Unnamed: {index}" for index, name in enumerate(names)]
    check_columns(path, len(header))
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise ManifestError(
            f"the table {path} has more than one column called {' and '.join(map(repr, twice))}",
            hint="Rename or remove all but one",
        )
    return header


def _fit_row(path: Path, number: int, row: list[str], names: list[str]) -> list[str]:
    """Return a row with one cell a column; only cells without a column name may be absent."""
    if len(row) == len(names) and row[0].strip() != names[0].strip():
        return row  # nearly every row of most tables
    named = _count_named(names)
    filled = len(row)
    while filled > len(names) and not row[filled - 1].strip():
        filled -= 1
    if not named <= filled <= len(names):
        hint = "Put quotes around cells that contain the separator, or save the table as .xlsx"
        if named < 2:
            hint = f"Start the table with the names of its columns, separated by {_SEPARATORS}"
        raise ManifestError(
            f"{path}: row {number} has {quantity(filled, 'cell')}, but the header has {named}",
            hint=hint,
        )
    if list(map(clean_name, row[:named])) == list(map(clean_name, names[:named])):
        raise ManifestError(
            f"{path}: row {number} repeats the header",
            hint="Remove that row; it comes from joining two tables",
        )
    return [*row[:filled], *[""] * (len(names) - filled)]
