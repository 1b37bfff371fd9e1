"""Output files of ``predict``: formats, Kaggle submissions, and which files may be replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts.layout import PredictionFiles
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
from eosin.core.files import check_writable
from eosin.core.text import listing, printable, quantity

#: Formats of the table; ``kaggle`` is a CSV of the columns below, as for PCam.
FORMATS = ("csv", "parquet", "kaggle")
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
    suffix = ".parquet" if wanted == "parquet" else ".csv"
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
        UsageError: The name does not end in ``.csv`` or ``.parquet``.
        OutputError: A file exists, or the folder cannot be written.
    """
    table = files.table
    if table.is_dir() or table.suffix not in {".csv", ".parquet"}:
        raise UsageError(f"-o needs a .csv or .parquet file, got {table}")
    check_writable(table.parent)
    if any(path.exists() and path.resolve() == table.resolve() for path in inputs):
        raise UsageError(f"{table} is the table to predict", hint="Name another file with -o")
    if overwrite:
        return
    is_recorded = _is_record(files)
    is_older = is_prediction_table(table) or (is_recorded and read_header(table) == COLUMNS)
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
