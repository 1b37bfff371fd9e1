"""Output files of ``predict``: formats, Kaggle submissions, and which files may be replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pandas as pd

from eosin.artifacts.layout import PredictionFiles
from eosin.artifacts.manifest import csv_text, read_written
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import (
    PREFIX,
    PredictionRecord,
    is_prediction_table,
    read_header,
)
from eosin.artifacts.versioned import read_document
from eosin.core.errors import (
    ArtifactError,
    DataError,
    OutputError,
    UnknownNameError,
    UsageError,
    close_matches,
)
from eosin.core.files import atomic_path, check_writable, explain_os_errors
from eosin.core.text import listing, printable, quantity

#: Formats of the table, with the endings of their files; ``kaggle`` is a CSV of the columns below,
#: as for PCam.
FORMATS = {
    "csv": ".csv",
    "parquet": ".parquet",
    "json": ".json",
    "jsonl": ".jsonl",
    "kaggle": ".csv",
}
COLUMNS = ["id", "label"]
#: Names that an error lists.
_MOST_NAMED = 3


def check_model(info: ModelInfo) -> None:
    """Check that a model has a positive class, whose probability is submitted.

    Raises:
        UsageError: It has none.
    """
    if info.positive is None or len(info.class_names) != 2:
        raise UsageError(
            "a Kaggle submission needs a model of two classes, one of them positive; "
            f"the classes of this model are {listing(info.class_names)}"
        )


def check_ids(paths: Iterable[str]) -> None:
    """Check that no two images have one id.

    Raises:
        DataError: Some have; the message names the first of them.
    """
    by_id: dict[str, list[str]] = {}
    for path in paths:
        by_id.setdefault(_id(path), []).append(path)
    shared = {name: found for name, found in by_id.items() if len(found) > 1}
    if shared:
        named = [
            f"{printable(name)} ({listing(map(printable, found[:_MOST_NAMED]))})"
            for name, found in list(shared.items())[:_MOST_NAMED]
        ]
        raise DataError(
            f"{quantity(len(shared), 'id')} of the Kaggle submission would belong to several "
            f"images: {', '.join(named)}",
            hint="An id is a file name without its extension: give one folder of images",
        )


def make_submission(table: Any, positive: str) -> Any:
    """Return the submission of a table of ``predict``: probabilities of the positive class."""
    ids = [_id(path) for path in table["path"]]
    return pd.DataFrame(dict(zip(COLUMNS, (ids, table[PREFIX + positive]), strict=True)))


def _id(path: str) -> str:
    return Path(path).stem


@contextmanager
def writing_rows(path: Path) -> Iterator[Callable[[Any], None]]:
    """Yield a function that appends rows, pandas tables with the same columns, to a new file.

    The file, of the format of its ending, is there when the block ends without an error. Only the
    rows of one call are in memory.

    Raises:
        OutputError: It cannot be written.
    """
    with atomic_path(path) as temporary, explain_os_errors("write", path):
        if path.suffix == ".parquet":
            with _ParquetFile(temporary) as file:
                yield file.add
            return
        with temporary.open("wb") as stream:
            is_first = True

            def add(table: Any) -> None:
                nonlocal is_first
                stream.write(as_text(table, path.suffix, is_first=is_first).encode("utf-8"))
                is_first = False

            yield add
            if path.suffix == ".json":
                stream.write(b"[]\n" if is_first else b"\n]\n")


class _ParquetFile:
    """A Parquet file that is written by tables of rows."""

    def __init__(self, path: Path) -> None:
        self._path, self._stack = path, ExitStack()
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def add(self, table: Any) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = pa.Table.from_pandas(table, preserve_index=False)
        if self._writer is None:
            self._writer = self._stack.enter_context(pq.ParquetWriter(self._path, rows.schema))
        self._writer.write_table(rows)


def as_text(table: Any, suffix: str, *, is_first: bool = True) -> str:
    """Return rows as text of a format by its ending, ``.csv``, ``.json`` or ``.jsonl``.

    Of CSV the header stands before the first rows alone; JSON's closing bracket is left out.
    """
    if suffix == ".csv":
        return csv_text(table, header=is_first)
    lines = [json.dumps(row, ensure_ascii=False) for row in table.to_dict("records")]
    if suffix == ".jsonl":
        return "".join(f"{line}\n" for line in lines)
    return ("[\n" if is_first else ",\n") + ",\n".join(lines)


def whole_text(table: Any, name: str) -> str:
    """Return a whole table as text of a format by its name, to be printed."""
    end = "\n]" if name == "json" else ""
    return as_text(table, FORMATS[name]).rstrip("\n") + end


def read_rows(path: Path) -> Any:
    """Return the table that :func:`writing_rows` wrote, with its numbers and truth values."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".csv":
        table = read_written(path).reset_index(drop=True)
        for name in table:
            if name.startswith(PREFIX):
                table[name] = table[name].astype(float)
        return table.assign(abstained=table["abstained"].astype(str) == "True")
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text) if path.suffix == ".json" else map(json.loads, text.splitlines())
    return pd.DataFrame(list(rows))


def check_format(
    wanted: str | None, files: PredictionFiles | None, *, pseudonymise: bool = False
) -> None:
    """Check that a format is known and fits the file.

    Raises:
        UsageError: It does not.
    """
    if wanted is None:
        return
    if wanted not in FORMATS:
        hint = close_matches(wanted, FORMATS)
        raise UnknownNameError(f"unknown format {wanted!r}", hint=hint)
    suffix = FORMATS[wanted]
    if files is not None and files.table.suffix != suffix:
        raise UsageError(f"the format {wanted} needs a {suffix} file, got {files.table}")
    if wanted == "parquet" and files is None:
        raise UsageError("the format parquet needs an output file")
    if wanted == "kaggle" and pseudonymise:
        raise UsageError("a Kaggle submission needs the images' names, not pseudonyms")


def check_files(
    files: PredictionFiles, *, inputs: Iterable[Path] = (), overwrite: bool = False
) -> None:
    """Check, before the prediction, that the files can be written and nothing would be lost.

    Raises:
        UsageError: The name has the ending of no format.
        OutputError: A file exists, or the folder cannot be written.
    """
    table = files.table
    endings = list(dict.fromkeys(FORMATS.values()))
    if table.is_dir() or table.suffix not in endings:
        raise UsageError(f"-o needs a file that ends in {listing(endings, 'or')}, got {table}")
    check_writable(table.parent)
    if any(path.exists() and path.resolve() == table.resolve() for path in inputs):
        raise UsageError(f"{table} is the table to predict", hint="Name another file with -o")
    if overwrite:
        return
    is_recorded = _is_record(files)
    is_json = table.suffix in {".json", ".jsonl"}  # whose columns are not in a header
    is_older = is_prediction_table(table) or (
        is_recorded and (is_json or read_header(table) == COLUMNS)
    )
    if table.exists() and not is_older:
        raise _refuse(table, "is not an earlier table of predictions")
    if files.record.exists() and not is_recorded:
        raise _refuse(files.record, f"does not belong to {table.name}")
    # The record may outlive its table, which was moved or removed.
    is_older = table.exists() or is_recorded
    if files.skipped.exists() and not (
        is_older and read_header(files.skipped) == ["path", "reason"]
    ):
        raise _refuse(files.skipped, f"does not belong to {table.name}")


def _refuse(path: Path, reason: str) -> OutputError:
    return OutputError(
        f"{path} exists and {reason}, so it is not overwritten",
        hint="Name another file with -o, or add --overwrite to replace it",
    )


def _is_record(files: PredictionFiles) -> bool:
    try:
        return read_document(files.record, PredictionRecord).table == files.table.name
    except ArtifactError:
        return False
