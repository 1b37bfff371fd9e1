"""Command ``predict``: predictions for images, folders and tables, without torch; its files."""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts import outputs
from eosin.artifacts.layout import ModelFolder, PredictionFiles, RunFolder
from eosin.artifacts.manifest import csv_text, read_manifest, write_table
from eosin.artifacts.metrics import Abstention
from eosin.artifacts.model import Embedding, ModelInfo, Preprocessing
from eosin.artifacts.predictions import (
    NORMALISED,
    PREFIX,
    PredictionRecord,
)
from eosin.artifacts.tables import folder_of, is_table
from eosin.artifacts.versioned import write_document
from eosin.core.errors import (
    DataError,
    UsageError,
    end_with,
)
from eosin.core.files import explain_os_errors, sha256_file
from eosin.core.progress import progress_bar
from eosin.core.text import printable
from eosin.core.types import FloatArray, Samples, change_parts
from eosin.experiment.environment import version_of
from eosin.images.references import (
    ImageList,
    Skipped,
    describe_left_out,
    list_images,
    write_skipped,
)
from eosin.images.spacing import check_scale
from eosin.images.stacks import stack_samples
from eosin.images.staining import check_units
from eosin.images.vectors import SUFFIXES, read_features
from eosin.inference.classifier import Classifier
from eosin.inference.reading import normalise_cells, read_cells, stains_of_units
from eosin.privacy.pseudonymise import hide_document, hide_skipped, hide_table, know_samples
from eosin.reporting.terminal import format_abstained, format_prediction, format_unchanged
from eosin.stain import Source

_CHUNK = 256


@dataclass(frozen=True)
class PredictionResult:
    """Result of ``predict``.

    Attributes:
        table: A pandas table: path, prob_<class>…, predicted (arg-max), decision (at the stored
            threshold), abstained; with stain normalisation also ``stain``: ``normalised``, or why
            the image was left as it is.
        skipped: ``(path, reason)`` of unreadable files.
        intended_use: Intended use, as stated by the model.
        record: Model, engine, threshold, counts and time.
        files: Files written; None without an output.
        left_out: Number of files of folders that were ignored, by their ending or the reason.
        is_submission: Whether a Kaggle submission of the table is written or printed.
        abstention: The model's rule of abstention; None without one.
    """

    table: Any
    skipped: Skipped
    intended_use: str
    record: PredictionRecord
    files: PredictionFiles | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    is_submission: bool = False
    abstention: Abstention | None = None


def predict(
    model: Path | str,
    paths: Path | str | Iterable[Path | str],
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
        paths: One path or several: image files, folders, h5 and idx files, and tables (CSV or
            Parquet) with a column ``path``; for a model of magnification stacks only tables, also
            with ``slide`` and ``magnification``; for a head on features, tables of features.
        output: Table to write, ``NAME.csv`` or ``NAME.parquet``; beside it ``NAME.json`` records
            how it was made, and ``NAME.skipped.csv`` lists unreadable files.
        format: ``csv``, ``parquet``, or ``kaggle``: a CSV ``id,label`` with the images' names and
            the positive class's probabilities. By default as the file's ending says.
        overwrite: Replace files of these names even if they are no earlier predictions.
        pseudonymise: Replace paths by pseudonyms.
        allow_skipped: Return the result although files cannot be read.

    Raises:
        SkippedFilesError: Files cannot be read; all is written, and its ``result`` holds the rest.
        ArtifactError: The model folder cannot be loaded, or a file in it fails its checksum.
        DataError: No image can be read, or images of a Kaggle submission share a name.
        UsageError: No path is given, or the format does not fit the model or the file.
        OutputError: A file of that name exists and is no earlier prediction.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    files = None if output is None else PredictionFiles(Path(output))
    given = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if not given:
        raise UsageError("no image is named", hint="Name image files, folders or tables")
    if files is not None:
        outputs.check_files(files, inputs=given, overwrite=overwrite)
    outputs.check_format(format, files, pseudonymise=pseudonymise)
    is_submission = format == "kaggle"
    folder = _find_model(Path(model))
    classifier = Classifier(folder)
    if is_submission:
        outputs.check_model(classifier.info)
    table, skipped, left_out = _predict_all(classifier, given, is_submission)
    record = _describe(ModelFolder(folder), classifier, table, skipped).model_copy(
        update={
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "inputs": [printable(path) for path in given],
        }
    )
    if pseudonymise:
        known = know_samples(Samples(table, Path(), classifier.info.class_names))
        table, skipped = hide_table(table, known), hide_skipped(skipped, known)
        record = hide_document(record.model_copy(update={"inputs": None}), known)
    if files is not None:
        written = outputs.make_submission(table, record.positive or "") if is_submission else table
        record = write_files(files, written, skipped, record)
    use = classifier.info.intended_use
    rule = classifier.info.abstention
    result = PredictionResult(table, skipped, use, record, files, left_out, is_submission, rule)
    lists = () if files is None else (files.skipped,)
    return end_with(result, len(skipped), lists, allowed=allow_skipped)


def format_result(result: PredictionResult) -> tuple[str, list[str], Path]:
    """Return the terminal output: table or its path, notes, and the list of skipped files."""
    notes = [
        format_prediction(result.record),
        result.intended_use,
        *filter(None, [describe_left_out(result.left_out)]),
        *format_unchanged(result.table),
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
    rows = result.table.to_json(orient="records", double_precision=15)
    return {**document, "predictions": json.loads(rows)}


def _find_model(place: Path) -> Path:
    """Return the model folder: the folder itself, or the run's."""
    run = RunFolder(place)
    if not ModelFolder(place).info.exists() and ModelFolder(run.model).info.exists():
        return run.model
    return place


def _describe(
    folder: ModelFolder, classifier: Classifier, table: Any, skipped: Skipped
) -> PredictionRecord:
    info, place = classifier.info, folder.root.resolve()
    # Model folders of all runs have the same name: the run's name distinguishes them.
    run = RunFolder(place.parent)
    is_run_s = place == run.model and run.metrics.exists()
    network = folder.onnx if folder.onnx.exists() else folder.weights
    return PredictionRecord(
        table=None,
        table_sha256=None,
        eosin=version_of("eosin") or "",
        model=f"{place.parent.name}/{place.name}" if is_run_s else place.name,
        model_sha256=sha256_file(folder.info),
        weights_sha256=info.weights_sha256,
        network_sha256=(info.files or {}).get(network.name) or sha256_file(network),
        engine=classifier.engine,
        class_names=info.class_names,
        positive=info.positive,
        threshold=info.threshold,
        temperature=info.temperature,
        temperature_source=info.temperature_source,
        n_images=len(table),
        n_skipped=len(skipped),
        n_abstained=int(table["abstained"].sum()),
        started="",
        seconds=0.0,
        inputs=None,
    )


def _predict_all(
    classifier: Classifier, paths: list[Path], is_submission: bool
) -> tuple[Any, Skipped, Mapping[str, int]]:
    if isinstance(classifier.info.preprocessing, Embedding):
        table = _predict_features(classifier, paths)
        if is_submission:
            outputs.check_ids(table["path"])
        return table, [], {}
    listed, units = _list_cells(paths, classifier.info)
    if is_submission:
        outputs.check_ids(listed.cells)
    return _predict_images(classifier, paths, listed, units)


def _predict_features(classifier: Classifier, paths: list[Path]) -> Any:
    embedding = classifier.info.preprocessing
    tables = []
    for path in paths:
        if path.suffix not in SUFFIXES:
            raise UsageError(
                f"this model takes tables of {len(embedding.channels):,} features an image, "
                f"not images: {path}",
                hint=f"Name a file that ends in {', '.join(SUFFIXES)}; docs/transfer.md shows one",
            )
        found = read_features(path, columns=embedding.channels)
        logits = classifier.logits(found)
        tables.append(_tabulate(classifier, list(found.rows), logits[list(found.rows.values())]))
    return pd.concat(tables, ignore_index=True)


def _predict_images(
    classifier: Classifier, paths: list[Path], listed: ImageList, units: list[str]
) -> tuple[Any, Skipped, Mapping[str, int]]:
    preprocessing = classifier.info.preprocessing
    files, skipped = listed.cells, listed.skipped
    sources = stains_of_units(files, units, preprocessing) if units else {}
    tables = []
    with progress_bar("Predicting") as advance:
        for start in range(0, len(files), _CHUNK):
            chunk = files[start : start + _CHUNK]
            table, unreadable = _predict_chunk(classifier, chunk, sources)
            tables.append(table)
            skipped += unreadable
            advance(start + len(chunk), len(files))
    table = pd.concat(tables, ignore_index=True)
    if len(table) == 0:
        raise DataError(
            f"no file can be read: {skipped[0][1]}",
            hint=f"See the reason of each: eosin data check {shlex.quote(str(paths[0]))}",
        )
    skipped = [(printable(cell), reason) for cell, reason in skipped]
    return table, skipped, listed.left_out


def _list_cells(paths: list[Path], info: ModelInfo) -> tuple[ImageList, list[str]]:
    """List the images or stacks, and each one's unit if its stain is normalised as a whole."""
    preprocessing = info.preprocessing
    stain = preprocessing.stain
    unit = None if stain is None or stain.unit == "tile" else stain.unit
    plain: list[Path] = []
    cells: list[str] = []
    units: list[str] = []
    for path in paths:
        if is_table(path):
            samples = _read_table(path, info, unit)
            cells += [change_parts(cell, _from(folder_of(path))) for cell in samples.frame["path"]]
            units += list(samples.frame[unit]) if unit is not None else []
        elif preprocessing.magnifications or unit is not None:
            raise _wants_table(path, preprocessing, unit)
        else:
            plain.append(path)
    listed = list_images(plain) if plain else ImageList([], [], Counter())
    return replace(listed, cells=[*listed.cells, *cells]), units


def _read_table(path: Path, info: ModelInfo, unit: str | None) -> Samples:
    """Read a table of images that needs no column but the path, and the stain's ``unit``."""
    magnifications = info.preprocessing.magnifications
    # No classes are known: the slide, or the image, serves as label.
    label = "slide" if magnifications else "path"
    samples = read_manifest(path, label=label, allow_one_class=True, reads_split=False)
    check_units(samples, unit or "tile")
    samples = stack_samples(samples, magnifications)
    check_scale(samples, info)
    return samples


def _wants_table(path: Path, preprocessing: Preprocessing, unit: str | None) -> UsageError:
    columns = ["path", *(["slide", "magnification"] if preprocessing.magnifications else [])]
    if unit is not None and unit not in columns:
        columns.append(unit)
    takes = (
        f"takes the magnifications of a slide together ({', '.join(preprocessing.magnifications)})"
        if preprocessing.magnifications
        else f"normalises the stain of each {unit} as a whole"
    )
    return UsageError(
        f"this model {takes}, which {path} does not tell",
        hint=f"Name a manifest (CSV or Parquet) with {', '.join(columns[:-1])} and {columns[-1]}",
    )


def _from(folder: Path) -> Callable[[str], str]:
    return lambda part: str(folder / part)


def _predict_chunk(
    classifier: Classifier, files: list[str], sources: Mapping[str, Source]
) -> tuple[Any, Skipped]:
    preprocessing = classifier.info.preprocessing
    kept, images, skipped = read_cells(files, preprocessing)
    kept, done, failed = normalise_cells(kept, images, preprocessing, sources)
    skipped += failed
    table = _tabulate(classifier, kept, classifier.logits(done.images))
    if preprocessing.stain is not None:
        table["stain"] = [reason or NORMALISED for reason in done.reasons]
    return table, skipped


def _tabulate(classifier: Classifier, cells: list[str], logits: FloatArray) -> Any:
    """Return one row of the result per path; logits of shape (N, K)."""
    names = classifier.info.class_names
    probabilities = classifier.probabilities(logits)
    table = pd.DataFrame({"path": [printable(cell) for cell in cells]})
    for index, name in enumerate(names):
        table[PREFIX + name] = probabilities[:, index]
    table["predicted"] = [names[index] for index in np.argmax(probabilities, axis=1)]
    table["decision"] = classifier.decide(probabilities)
    table["abstained"] = classifier.abstains(probabilities)
    return table


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
