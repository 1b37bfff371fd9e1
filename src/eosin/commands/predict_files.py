"""Output files of ``predict``: table, list of skipped files, record."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from eosin.artifacts.layout import PredictionFiles
from eosin.artifacts.manifest import write_table
from eosin.artifacts.predictions import PredictionRecord, is_prediction_table, read_header
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.errors import ArtifactError, OutputError, UsageError
from eosin.core.files import check_writable, explain_os_errors, sha256_file
from eosin.images.references import Skipped, write_skipped

_SUFFIXES = (".csv", ".parquet")


def check_files(
    files: PredictionFiles, *, inputs: Iterable[Path] = (), overwrite: bool = False
) -> None:
    """Check, before the prediction, that the files can be written and nothing would be lost.

    Args:
        files: Files to write. An earlier table of predictions is replaced, with its list of skipped
            files and its record.
        inputs: Images to predict; none of them is ever overwritten.
        overwrite: Replace any other files of these names as well.

    Raises:
        UsageError: The name does not end in ``.csv`` or ``.parquet``.
        OutputError: A file exists, or the folder cannot be written.
    """
    table = files.table
    if table.is_dir() or table.suffix not in _SUFFIXES:
        raise UsageError(f"-o wants a .csv or .parquet file, got {table}")
    check_writable(table.parent)
    if any(path.exists() and path.resolve() == table.resolve() for path in inputs):
        raise UsageError(f"{table} is the table to predict", hint="Name another file with -o")
    if overwrite:
        return
    if table.exists() and not is_prediction_table(table):
        raise _refuse(table, "is not an earlier table of predictions")
    is_recorded = _is_record(files)
    if files.record.exists() and not is_recorded:
        raise _refuse(files.record, f"does not belong to {table.name}")
    # The record may outlive its table, which was moved or removed.
    is_older = table.exists() or is_recorded
    if files.skipped.exists() and not (is_older and _is_list(files.skipped)):
        raise _refuse(files.skipped, f"does not belong to {table.name}")


def _refuse(path: Path, reason: str) -> OutputError:
    return OutputError(
        f"{path} exists and {reason}, so it is not overwritten",
        hint="Name another file with -o, or add --overwrite to replace it",
    )


def _is_list(path: Path) -> bool:
    return read_header(path) == ["path", "reason"]


def _is_record(files: PredictionFiles) -> bool:
    try:
        return read_document(files.record, PredictionRecord).table == files.table.name
    except ArtifactError:
        return False


def write_files(
    files: PredictionFiles, table: Any, skipped: Skipped, record: PredictionRecord
) -> PredictionRecord:
    """Write the table, the list of skipped files if there are any, and the record.

    Returns:
        The record, with the table's name and SHA-256.

    Raises:
        OutputError: A file cannot be written.
    """
    write_table(files.table, table)
    if skipped:
        write_skipped(files.skipped, skipped)
    else:
        # The list of an earlier table must not stand beside a complete one.
        with explain_os_errors("remove", files.skipped):
            files.skipped.unlink(missing_ok=True)
    shown = {"table": files.table.name, "table_sha256": sha256_file(files.table)}
    record = record.model_copy(update=shown)
    write_document(files.record, record)
    return record
