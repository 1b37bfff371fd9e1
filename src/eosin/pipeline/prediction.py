"""The verb ``predict``: probabilities and decisions for files and folders; needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.manifest import read_manifest, write_table
from eosin.artifacts.model import Embedding, Preprocessing
from eosin.artifacts.predictions import PREFIX
from eosin.core.errors import DataError, ImageError, UsageError
from eosin.core.files import check_writable
from eosin.core.progress import progress_bar
from eosin.core.types import FloatArray, Image, change_parts
from eosin.datasets.bundles import bundle_samples
from eosin.datasets.images import Skipped, list_images, split_cell, write_skipped
from eosin.inference.bundles import read_bundle
from eosin.inference.classifier import Classifier
from eosin.inference.preprocess import read_image
from eosin.inference.vectors import SUFFIXES, read_features

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
        paths: Image files, folders, h5 and idx files; for a model of bundles, manifests (CSV or
            Parquet) with ``path``, ``slide`` and ``magnification``; for a head on features, tables
            of them.
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
    given = [Path(path) for path in paths]
    skipped: Skipped = []
    if isinstance(classifier.info.preprocessing, Embedding):
        table = _predict_features(classifier, given)
    else:
        table, skipped = _predict_images(classifier, given)
    if output is not None:
        write_table(Path(output), table)
        write_skipped(Path(output).parent / "skipped.csv", skipped)
    return PredictionResult(table, skipped, classifier.info.intended_use)


def _predict_features(classifier: Classifier, paths: list[Path]) -> Any:
    embedding = classifier.info.preprocessing
    tables = []
    for path in paths:
        if path.suffix not in SUFFIXES:
            raise UsageError(
                f"this model takes tables of {len(embedding.channels):,} features an image, "
                f"not images: {path}",
                mend=f"Name a file that ends in {', '.join(SUFFIXES)}; docs/transfer.md shows one",
            )
        found = read_features(path, columns=embedding.channels)
        with progress_bar("Predicting") as advance:
            logits = classifier.logits(found, advance=advance)
        tables.append(_tabulate(classifier, list(found.rows), logits[list(found.rows.values())]))
    return pd.concat(tables, ignore_index=True)


def _predict_images(classifier: Classifier, paths: list[Path]) -> tuple[Any, Skipped]:
    files = _list_cells(paths, classifier.info.preprocessing)
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
    return table, skipped


def _list_cells(paths: list[Path], preprocessing: Preprocessing) -> list[str]:
    """List what is judged: single images, or the bundles of a table's slides.

    Raises:
        UsageError: The model takes bundles, and a path is no table.
    """
    if not preprocessing.magnifications:
        return list_images(paths)
    cells: list[str] = []
    for path in paths:
        if path.suffix not in {".csv", ".parquet"}:
            raise UsageError(
                f"this model takes the magnifications of a slide together "
                f"({', '.join(preprocessing.magnifications)}), which {path} does not tell",
                mend="Name a manifest (CSV or Parquet) with path, slide and magnification",
            )
        # Nothing is known of the classes: the slide stands for its label.
        samples = read_manifest(path, label="slide", allow_one_class=True)
        samples = bundle_samples(samples, preprocessing.magnifications)
        cells += [change_parts(cell, _from(path.parent)) for cell in samples.frame["path"]]
    return cells


def _from(folder: Path) -> Callable[[str], str]:
    return lambda part: str(folder / part)


def _check_table(path: Path) -> None:
    """Refuse, before the work, a table that cannot be written."""
    if path.is_dir() or path.suffix not in {".csv", ".parquet"}:
        raise UsageError(f"-o wants a .csv or .parquet file, got {path}")
    check_writable(path.parent)


def _predict_chunk(classifier: Classifier, files: list[str]) -> tuple[Any, Skipped]:
    preprocessing = classifier.info.preprocessing

    def read_one(cell: str) -> Image:
        return read_image(*split_cell(cell), preprocessing)

    images: list[Image] = []
    kept: list[str] = []
    skipped: Skipped = []
    for file in files:
        try:
            images.append(read_bundle(file, preprocessing, read_one))
            kept.append(file)
        except ImageError as error:
            skipped.append((file, str(error)))
    shape = (0, *preprocessing.input_px, len(preprocessing.channels))
    stack = np.stack(images) if images else np.empty(shape, dtype=np.uint8)
    return _tabulate(classifier, kept, classifier.logits(stack)), skipped


def _tabulate(classifier: Classifier, cells: list[str], logits: FloatArray) -> Any:
    """Return a row of the result for each path, logits of shape (N, K)."""
    names = classifier.info.class_names
    probabilities = classifier.probabilities(logits)
    table = pd.DataFrame({"path": cells})
    for index, name in enumerate(names):
        table[PREFIX + name] = probabilities[:, index]
    table["predicted"] = [names[index] for index in np.argmax(probabilities, axis=1)]
    table["decision"] = classifier.decide(probabilities)
    table["abstained"] = False
    return table
