"""Command ``predict``: predictions for images, folders and tables, without torch; its files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts import outputs
from eosin.artifacts.layout import PredictionFiles
from eosin.artifacts.manifest import csv_text, write_table
from eosin.artifacts.predictions import PredictionRecord
from eosin.artifacts.versioned import write_document
from eosin.commands.load import Model, PredictionResult
from eosin.core.errors import end_with
from eosin.core.files import explain_os_errors, sha256_file
from eosin.core.types import Samples
from eosin.images.references import Skipped, describe_left_out, write_skipped
from eosin.inference.given import list_given
from eosin.reporting.terminal import (
    format_abstained,
    format_prediction,
    format_refused,
    format_unchanged,
)


def predict(
    model: Path | str,
    paths: Path | str | pd.DataFrame | Iterable[Path | str | pd.DataFrame],
    *,
    output: Path | str | None = None,
    format: str | None = None,  # noqa: A002 - named as the option
    overwrite: bool = False,
    pseudonymise: bool = False,
    allow_skipped: bool = False,
) -> PredictionResult:
    """Predict class probabilities and decisions for images.

    Args:
        model: Model folder, or run folder with one.
        paths: One or several: paths of image files, folders, h5 and idx files; tables (CSV,
            Parquet or pandas) with a column ``path``; for a model of magnification stacks only
            tables, also with ``slide`` and ``magnification``; for a head on features, tables of
            features.
        output: Table to write, ``NAME.csv`` or ``NAME.parquet``; beside it ``NAME.json`` records
            how it was made, and ``NAME.skipped.csv`` lists unreadable files.
        format: ``csv``, ``parquet``, or ``kaggle``: a CSV ``id,label`` with the images' names and
            the positive class's probabilities. By default as the file's ending says.
        overwrite: Replace files of these names even if they are no earlier predictions.
        pseudonymise: Replace paths by pseudonyms.
        allow_skipped: Return the result although files cannot be read.

    Raises:
        SkippedFilesError: Files cannot be read; all is written, and its ``result`` has the rest.
        ArtifactError: The model folder cannot be loaded, or a file in it fails its checksum.
        DataError: No image can be read, or images of a Kaggle submission share a name.
        UsageError: No path is given, or the format does not fit the model or the file.
        OutputError: A file of that name exists and is no earlier prediction.
    """
    files = None if output is None else PredictionFiles(Path(output))
    given = list_given(paths)
    if files is not None:
        outputs.check_files(files, inputs=given.paths, overwrite=overwrite)
    outputs.check_format(format, files, pseudonymise=pseudonymise)
    is_submission = format == "kaggle"
    opened = Model(model)
    if is_submission:
        outputs.check_model(opened.info)
        result = opened.predict_listed(given, outputs.check_ids)
    else:
        result = opened.predict_listed(given)
    if pseudonymise:
        result = _hide(result)
    if files is not None:
        table, record = result.table, result.record
        written = outputs.make_submission(table, record.positive or "") if is_submission else table
        record = write_files(files, written, result.skipped, record)
        result = replace(result, record=record, files=files)
    result = replace(result, is_submission=is_submission)
    lists = () if files is None else (files.skipped,)
    return end_with(result, len(result.skipped), lists, allowed=allow_skipped)


def _hide(result: PredictionResult) -> PredictionResult:
    """Replace the paths of a result by pseudonyms."""
    from eosin.privacy.pseudonymise import hide_document, hide_skipped, hide_table, know_samples

    known = know_samples(Samples(result.table, Path(), result.record.class_names))
    return replace(
        result,
        table=hide_table(result.table, known),
        skipped=hide_skipped(result.skipped, known),
        record=hide_document(result.record.model_copy(update={"inputs": None}), known),
    )


def format_result(result: PredictionResult) -> tuple[str, list[str], Path]:
    """Return the terminal output: table or its path, notes, and the list of skipped files."""
    notes = [
        format_prediction(result.record),
        result.intended_use,
        *filter(None, [describe_left_out(result.left_out)]),
        *format_unchanged(result.table),
        *format_refused(result.table, result.gate, takes_images=result.takes_images),
        *format_abstained(result.table, result.abstention),
    ]
    files = result.files
    if files is not None:
        return f"wrote {files.table} and {files.record}", notes, files.skipped
    notes += [
        f"skipped {reason if reason.startswith(path) else f'{path}: {reason}'}"
        for path, reason in result.skipped
    ]
    table = result.table
    if result.is_submission:
        table = outputs.make_submission(table, result.record.positive or "")
    return csv_text(table).rstrip(), notes, Path("the lines above")


def result_document(result: PredictionResult) -> dict[str, Any]:
    """Return a result as JSON values: its record, and without files also the table's rows."""
    skipped = [{"path": path, "reason": reason} for path, reason in result.skipped]
    document = {"record": result.record.model_dump(mode="json"), "skipped": skipped}
    document["left_out"] = dict(result.left_out)
    if result.files is not None:
        return {**document, "files": [str(result.files.table), str(result.files.record)]}
    table = result.table.astype(object)
    return {**document, "predictions": table.where(table.notna(), None).to_dict("records")}


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
