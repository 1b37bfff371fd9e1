"""Command ``predict``: predictions for images, folders and tables, without torch; its files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts import outputs
from eosin.artifacts.layout import PredictionFiles
from eosin.artifacts.predictions import PredictionRecord
from eosin.artifacts.versioned import write_document
from eosin.commands.load import Model, PredictionResult
from eosin.core.errors import end_with
from eosin.core.files import explain_os_errors, sha256_file
from eosin.core.types import Samples
from eosin.images.references import describe_left_out, write_skipped
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
        output: Table to write, ``NAME.csv``, ``.parquet``, ``.json`` or ``.jsonl``; beside it
            ``NAME.json`` (``NAME.record.json`` beside JSON) records how it was made, and
            ``NAME.skipped.csv`` lists unreadable files. Its rows are written as they are predicted.
        format: ``csv``, ``parquet``, ``json`` (a list), ``jsonl`` (a line per image), or
            ``kaggle``: a CSV ``id,label`` with the images' names and the positive class's
            probabilities. By default as the file's ending says.
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
    check_cells = outputs.check_ids if is_submission else None
    if files is None or is_submission or pseudonymise:
        result = opened.predict_listed(given, check_cells)
        result = replace(_hide(result) if pseudonymise else result, is_submission=is_submission)
        if files is not None:
            with outputs.writing_rows(files.table) as write:
                write(_shown_rows(result))
    else:
        with outputs.writing_rows(files.table) as write:
            result = opened.predict_listed(given, write=write)
    if files is not None:
        result = replace(result, record=_write_beside(files, result), files=files)
    result = replace(result, format=format or "csv")
    lists = () if files is None else (files.skipped,)
    return end_with(result, len(result.skipped), lists, allowed=allow_skipped)


def _shown_rows(result: PredictionResult) -> Any:
    """Return the rows to write or print: of a Kaggle submission its two columns."""
    if result.is_submission:
        return outputs.make_submission(result.table, result.record.positive or "")
    return result.table


def _hide(result: PredictionResult) -> PredictionResult:
    """Replace the paths of a result by pseudonyms."""
    from eosin.privacy.pseudonymise import hide_document, hide_skipped, hide_table, know_samples

    known = know_samples(Samples(result.table, Path(), result.record.class_names))
    return replace(
        result,
        rows=hide_table(result.table, known),
        skipped=hide_skipped(result.skipped, known),
        record=hide_document(result.record.model_copy(update={"inputs": None}), known),
    )


def format_result(result: PredictionResult) -> tuple[str, list[str], Path]:
    """Return the terminal output: table or its path, notes, and the list of skipped files."""
    notes = [
        format_prediction(result.record),
        result.intended_use,
        *filter(None, [describe_left_out(result.left_out)]),
        *format_unchanged(result.record),
        *format_refused(result.record, result.gate, takes_images=result.takes_images),
        *format_abstained(result.record, result.abstention),
    ]
    files = result.files
    if files is not None:
        return f"wrote {files.table} and {files.record}", notes, files.skipped
    notes += [
        f"skipped {reason if reason.startswith(path) else f'{path}: {reason}'}"
        for path, reason in result.skipped
    ]
    return outputs.whole_text(_shown_rows(result), result.format), notes, Path("the lines above")


def result_document(result: PredictionResult) -> dict[str, Any]:
    """Return a result as JSON values: its record, and without files also the table's rows."""
    skipped = [{"path": path, "reason": reason} for path, reason in result.skipped]
    document = {"record": result.record.model_dump(mode="json"), "skipped": skipped}
    document["left_out"] = dict(result.left_out)
    if result.files is not None:
        return {**document, "files": [str(result.files.table), str(result.files.record)]}
    table = result.table.astype(object)
    return {**document, "predictions": table.where(table.notna(), None).to_dict("records")}


def _write_beside(files: PredictionFiles, result: PredictionResult) -> PredictionRecord:
    """Write the list of skipped files if there are any, and the record.

    Returns:
        The record, with the table's name and SHA-256.

    Raises:
        OutputError: A file cannot be written.
    """
    if result.skipped:
        write_skipped(files.skipped, result.skipped)
    else:
        # The list of an earlier table must not stand beside a complete one.
        with explain_os_errors("remove", files.skipped):
            files.skipped.unlink(missing_ok=True)
    shown = {"table": files.table.name, "table_sha256": sha256_file(files.table)}
    record = result.record.model_copy(update=shown)
    write_document(files.record, record)
    return record
