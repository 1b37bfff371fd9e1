"""Tables of features that were computed elsewhere: an image's path and its vector, a row each.

``.parquet`` and ``.csv`` hold a column ``path`` and a column of numbers a feature; the columns of
a manifest, and text, are no features. ``.npz`` holds the arrays ``path`` (N,) and ``features``
(N, D); pickled objects raise an error.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow

from eosin.artifacts.manifest import OPTIONAL, REQUIRED
from eosin.artifacts.paths import plain_path
from eosin.artifacts.tables import name_of, sniff_text
from eosin.core.errors import DataError, close_matches
from eosin.core.files import check_file, check_unpacked, sha256_file
from eosin.core.npz import read_npz
from eosin.core.types import FloatArray, IntArray, Samples

SUFFIXES = (".parquet", ".csv", ".npz")
#: Columns that a table may share with a manifest: a label among the features would be a leak.
NO_FEATURES = frozenset({*REQUIRED, *OPTIONAL, "accession"})

#: Pandas' names for an index that was written with the table.
_INDEX = ("Unnamed: ", "__index_level_")
_ROWS = 4096
_MAX_COLUMNS = 100_000
#: Characters of a header that are searched for repeated names.
_MAX_HEADER = 1 << 24


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Feature table in memory; an :class:`~eosin.core.types.ImageSource` of images of one pixel."""

    path: Path
    sha256: str  # of its file; of paths and values for a pandas table
    columns: tuple[str, ...]  # names of the features
    rows: dict[str, int]  # row of each path, in the table's order
    values: FloatArray  # float32, shape (N, D)

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """N, 1, 1, D."""
        return (len(self.values), 1, 1, self.values.shape[1])

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, chosen: slice | IntArray) -> Any:
        """Return the features of some rows, float32, shape (B, 1, 1, D)."""
        return self.values[chosen][:, None, None, :]

    def take(self, rows: IntArray) -> Any:
        """Return the features of some rows, float32, shape (B, 1, 1, D)."""
        return self[rows]


def read_features(
    path: Path | pd.DataFrame,
    *,
    columns: Sequence[str] | None = None,
    apart: Collection[str] = (),
) -> FeatureTable:
    """Read a table of features from a ``.parquet``, ``.csv`` or ``.npz`` file, or from pandas.

    ``columns`` are the wanted features, in this order, by default all but the columns of a manifest
    and those of ``apart``. Raises DataError if it is absent or unreadable, lacks a column, holds a
    value that is not a finite number, or has two different rows for one path.
    """
    if isinstance(path, pd.DataFrame):
        return _read_frame(path, columns, apart)
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise DataError(
            f"{path} is not a table of features: it must end in {', '.join(SUFFIXES)}",
            hint="docs/transfer.md shows how to write one",
        )
    try:
        check_file(path)
        if path.suffix == ".npz":
            found, cells, values = _read_arrays(path, columns)
        else:
            found, cells, values = _read_columns(path, columns, NO_FEATURES.union(apart))
    except FileNotFoundError:
        raise DataError(f"the table of features {path} does not exist") from None
    except MemoryError:
        raise DataError(f"the table of features {path} needs more memory than is free") from None
    except (OSError, ValueError, TypeError, KeyError, pyarrow.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise DataError(f"the table of features {path} cannot be read: {reason}") from error
    return _make_table(path, sha256_file(path), found, cells, values)


def _read_frame(
    frame: pd.DataFrame, columns: Sequence[str] | None, apart: Collection[str]
) -> FeatureTable:
    """Read a pandas table as the Parquet file of it would be."""
    path = Path(name_of(frame))
    try:
        _check_names([str(name) for name in frame.columns])
        found = _choose(frame, columns, NO_FEATURES.union(apart))
        values = _numbers(frame, found)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"the table of features cannot be read: {error}") from error
    cells = [str(cell) for cell in frame["path"]]
    digest = hashlib.sha256("\0".join(cells).encode() + values.tobytes()).hexdigest()
    return _make_table(path, digest, found, cells, values)


def _make_table(
    path: Path, sha256: str, columns: tuple[str, ...], cells: list[str], values: FloatArray
) -> FeatureTable:
    if len(cells) == 0:
        raise DataError(f"{path} has no rows")
    _check_finite(path, columns, cells, values)
    return FeatureTable(path, sha256, columns, _index(path, cells, values), values)


_Read = tuple[tuple[str, ...], list[str], FloatArray]


def _read_arrays(path: Path, wanted: Sequence[str] | None) -> _Read:
    arrays = read_npz(path)
    if not {"path", "features"} <= set(arrays):
        raise ValueError(f"arrays 'path' and 'features' are expected, got {sorted(arrays)}")
    cells, values = arrays["path"], arrays["features"]
    if values.ndim != 2 or values.dtype.kind not in "fiu" or cells.shape != values.shape[:1]:
        raise ValueError(
            f"features must be numbers of shape (N, D) with N paths, got {values.dtype} "
            f"{values.shape} and {cells.shape} paths"
        )
    columns = tuple(str(place) for place in range(values.shape[1]))
    if wanted is not None and tuple(wanted) != columns:
        raise ValueError(f"{_count(wanted)} are expected, it has {_count(columns)}")
    with np.errstate(over="ignore"):  # too large values raise an error with their row
        return columns, [str(cell) for cell in cells], values.astype(np.float32, copy=False)


def _count(columns: Sequence[str]) -> str:
    return f"{len(columns):,} features ({columns[0]} … {columns[-1]})" if columns else "none"


def _read_columns(path: Path, wanted: Sequence[str] | None, apart: Collection[str]) -> _Read:
    columns: tuple[str, ...] = ()
    cells: list[str] = []
    values = np.empty((0, 0), dtype=np.float32)
    for chunk in _chunks(path):
        if not cells:
            columns = _choose(chunk, wanted, apart)
            values = np.empty((0, len(columns)), dtype=np.float32)
        cells += [str(cell) for cell in chunk["path"]]
        # Grown in place: a list of parts would be in memory twice once they are joined.
        values.resize((len(cells), len(columns)), refcheck=False)
        values[len(cells) - len(chunk) :] = _numbers(chunk, columns)
    return columns, cells, values


def _chunks(path: Path) -> Iterator[Any]:
    """Yield tables of some rows, of which the first may be empty."""
    if path.suffix == ".parquet":
        from pyarrow.parquet import ParquetFile

        with ParquetFile(path) as file:
            _check_names(file.schema_arrow.names)
            check_unpacked(path, 4 * file.metadata.num_rows * file.metadata.num_columns)
            for batch in file.iter_batches(batch_size=_ROWS):
                yield batch.to_pandas(split_blocks=True, ignore_metadata=True)
    else:
        form = sniff_text(path)
        with path.open(encoding=form.encoding, errors="replace", newline="") as stream:
            lines = (stream.readline(_MAX_HEADER) for _ in range(form.skipped_lines + 1))
            _check_names(next(csv.reader([list(lines)[-1]], delimiter=form.delimiter), []))
        with pd.read_csv(
            path,
            dtype={"path": str},
            chunksize=_ROWS,
            encoding=form.encoding,
            sep=form.delimiter,
            skiprows=form.skipped_lines,
        ) as reader:
            yield from reader


def _check_names(names: Sequence[str]) -> None:
    if len(names) > _MAX_COLUMNS:
        raise ValueError(f"it has {len(names):,} columns; at most {_MAX_COLUMNS:,} are read")
    twice = [name for name, count in Counter(names).items() if count > 1 and name.strip()]
    if twice:
        raise ValueError(f"it has more than one column {twice[0]!r}")


def _choose(chunk: Any, wanted: Sequence[str] | None, apart: Collection[str]) -> tuple[str, ...]:
    """Return the columns that are features, by the first rows."""
    if "path" not in chunk:
        raise ValueError("it has no column 'path'")
    if wanted is not None:
        lacking = [name for name in wanted if name not in chunk]
        if lacking:
            near = close_matches(lacking[0], [str(name) for name in chunk.columns])
            raise ValueError(f"it has no column {lacking[0]!r} ({len(lacking)} lacking). {near}")
        return tuple(wanted)
    names = [
        str(name)
        for name in chunk.columns
        if name not in apart and not str(name).startswith(_INDEX) and _is_feature(chunk[name])
    ]
    if not names:
        raise ValueError("beside 'path' it has no column of numbers")
    return tuple(names)


def _is_feature(column: Any) -> bool:
    """Return True for numbers, False for text; otherwise the error names the first odd value."""
    if pd.api.types.is_bool_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    parsed = pd.to_numeric(column, errors="coerce").notna()
    odd = column[~parsed & column.notna()]
    if parsed.any() and len(odd):
        raise ValueError(f"{column.name!r} contains numbers, but also {odd.iloc[0]!r}")
    return False


def _numbers(chunk: Any, columns: Sequence[str]) -> FloatArray:
    for name in columns:
        if not pd.api.types.is_numeric_dtype(chunk[name]):
            parsed = pd.to_numeric(chunk[name], errors="coerce")
            odd = chunk[parsed.isna()]
            raise ValueError(f"{name!r} of {odd['path'].iloc[0]!r} is {odd[name].iloc[0]!r}")
    numbers: FloatArray
    with np.errstate(over="ignore"):
        numbers = chunk[list(columns)].to_numpy(dtype=np.float32, na_value=np.nan)
    return numbers


def _check_finite(
    path: Path, columns: Sequence[str], cells: Sequence[str], values: FloatArray
) -> None:
    for start in range(0, len(values), _ROWS):
        odd = np.argwhere(~np.isfinite(values[start : start + _ROWS]))
        if len(odd):
            row, column = odd[0]
            raise DataError(
                f"{path}: {columns[column]!r} of {cells[start + row]!r} is not a finite number",
                hint="Leave the row out, or compute it again",
            )


def _index(path: Path, cells: Sequence[str], values: FloatArray) -> dict[str, int]:
    rows: dict[str, int] = {}
    for row, cell in enumerate(cells):
        first = rows.setdefault(cell, row)
        if first != row and not np.array_equal(values[first], values[row]):
            raise DataError(f"{path} has two rows for {cell!r}, with different features")
    return rows


def match_rows(table: FeatureTable, samples: Samples) -> dict[str, int]:
    """Find the rows of a manifest's images: the row of each image reference that has one.

    A row belongs to an image with the same path in the manifest, or with the same file: the row's
    path starts from the table's folder, or is the end of the file's. Manifests of one data set
    start their paths from different folders. Raises DataError if a row would belong to two images.
    """
    folder, base = Path.cwd() / table.path.parent, Path.cwd() / samples.root
    placed = {_whole(folder, cell): row for cell, row in table.rows.items()}
    written = {plain_path(cell): row for cell, row in table.rows.items()}
    found: dict[str, int] = {}
    owners: dict[int, str] = {}
    for cell in dict.fromkeys(samples.frame["path"]):
        whole = _whole(base, cell)
        row = table.rows.get(cell, placed.get(whole))
        if row is None:
            row = next((written[tail] for tail in _tails(whole) if tail in written), None)
        if row is None:
            continue
        found[cell] = row
        if owners.setdefault(row, whole) != whole:
            raise DataError(
                f"{table.path.name}: one row matches both {owners[row]} and {whole}",
                hint="Write more of their folders into the table's column 'path'",
            )
    return found


def _whole(folder: Path, cell: str) -> str:
    """Return a normalised absolute path, without access to the file."""
    # A Path each took half a minute for 100,000 rows.
    return os.path.normpath(os.path.join(folder, plain_path(cell))).replace(os.sep, "/")  # noqa: PTH118


def _tails(whole: str) -> Iterator[str]:
    """Yield a path without its first folder, then without the next, and so on."""
    while whole:
        _, _, whole = whole.partition("/")
        yield whole
