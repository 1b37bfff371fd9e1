"""The verb ``predict``: probabilities and decisions for files and folders; needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.manifest import write_table
from eosin.artifacts.predictions import PREFIX
from eosin.core.errors import DataError, ImageError, UsageError
from eosin.core.files import check_writable
from eosin.core.progress import progress_bar
from eosin.core.types import Image
from eosin.datasets.images import Skipped, list_images, split_cell, write_skipped
from eosin.inference.classifier import Classifier
from eosin.inference.preprocess import read_image

_CHUNK = 256


@dataclass(frozen=True)
class PredictionResult:
    """What ``predict`` made.

    Attributes:
        table: path, prob_<class>…, predicted (arg-max), decision (at the stored threshold),
            abstained; a pandas table.
        skipped: ``(path, reason)`` of what could not be read.
        intended_use: What the model says of itself.
    """

    table: Any
    skipped: Skipped
    intended_use: str


def predict(
    model: Path | str,
    paths: Iterable[Path | str],
    *,
    output: Path | None = None,
    allow_skipped: bool = False,
) -> PredictionResult:
    """Judge images.

    Args:
        model: A model folder, or a run folder with one.
        paths: Image files, folders, h5 and idx files.
        output: CSV file to write; ``skipped.csv`` goes beside it.
        allow_skipped: Whether unreadable files are accepted; the caller's to act upon.

    Raises:
        ArtifactError: The model folder does not load.
        DataError: Nothing can be read.
    """
    del allow_skipped
    folder = Path(model)
    if not (folder / "model.json").exists() and (folder / "model" / "model.json").exists():
        folder = folder / "model"
    classifier = Classifier(folder)
    if output is not None:
        _check_table(Path(output))
    files = list_images(Path(path) for path in paths)
    tables, skipped = [], []
    with progress_bar("Predicting") as advance:
        for start in range(0, len(files), _CHUNK):
            chunk = files[start : start + _CHUNK]
            table, unreadable = _predict_chunk(classifier, chunk)
            tables.append(table)
            skipped += unreadable
            advance(start + len(chunk), len(files))
    table = pd.concat(tables, ignore_index=True)
    if len(table) == 0:
        raise DataError(
            f"none of the {len(files)} files can be read: {skipped[0][1]}",
            mend="`eosin data check` lists each with its reason",
        )
    if output is not None:
        write_table(Path(output), table)
        write_skipped(Path(output).parent / "skipped.csv", skipped)
    return PredictionResult(table, skipped, classifier.info.intended_use)


def _check_table(path: Path) -> None:
    """Refuse, before the work, a table that cannot be written."""
    if path.is_dir() or path.suffix not in {".csv", ".parquet"}:
        raise UsageError(f"-o wants a .csv or .parquet file, got {path}")
    check_writable(path.parent)


def _predict_chunk(classifier: Classifier, files: list[str]) -> tuple[Any, Skipped]:
    preprocessing = classifier.info.preprocessing
    images: list[Image] = []
    kept: list[str] = []
    skipped: Skipped = []
    for file in files:
        try:
            images.append(read_image(*split_cell(file), preprocessing))
            kept.append(file)
        except ImageError as error:
            skipped.append((file, str(error)))
    names = classifier.info.class_names
    shape = (0, *preprocessing.input_px, len(preprocessing.channels))
    stack = np.stack(images) if images else np.empty(shape, dtype=np.uint8)
    probabilities = classifier.probabilities(classifier.logits(stack))
    table = pd.DataFrame({"path": kept})
    for index, name in enumerate(names):
        table[PREFIX + name] = probabilities[:, index]
    table["predicted"] = [names[index] for index in np.argmax(probabilities, axis=1)]
    table["decision"] = classifier.decide(probabilities)
    table["abstained"] = False
    return table, skipped
