"""The verb ``predict``: probabilities and decisions for files and folders; needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.manifest import read_manifest, write_table
from eosin.artifacts.model import Embedding, Preprocessing
from eosin.artifacts.predictions import PREFIX
from eosin.artifacts.tables import is_table
from eosin.core.errors import DataError, UsageError
from eosin.core.files import check_writable
from eosin.core.progress import progress_bar
from eosin.core.text import printable
from eosin.core.types import FloatArray, Samples, change_parts
from eosin.datasets.bundles import bundle_samples
from eosin.datasets.images import ImageList, Skipped, list_images, write_skipped
from eosin.datasets.listing import describe_left_out
from eosin.inference.classifier import Classifier
from eosin.inference.vectors import SUFFIXES, read_features
from eosin.pipeline.pseudonymising import hide_skipped, hide_table, know_samples
from eosin.pipeline.reading import normalise_cells, read_cells, stains_of_units
from eosin.pipeline.staining import check_units
from eosin.pipeline.telling import NORMALISED
from eosin.stain import Source

_CHUNK = 256


@dataclass(frozen=True)
class PredictionResult:
    """What ``predict`` made.

    Attributes:
        table: path, prob_<class>…, predicted (arg-max), decision (at the stored threshold),
            abstained; ``stain`` where the model normalises it: ``normalised``, or why the image
            was judged as it is. A pandas table.
        skipped: ``(path, reason)`` of what could not be read.
        intended_use: What the model says of itself.
        left_out: One line on the files of folders that were left out; empty if there were none.
    """

    table: Any
    skipped: Skipped
    intended_use: str
    left_out: str = ""


def predict(
    model: Path | str,
    paths: Iterable[Path | str],
    *,
    output: Path | None = None,
    allow_skipped: bool = False,
    pseudonymise: bool = False,
) -> PredictionResult:
    """Judge images.

    Args:
        model: A model folder, or a run folder with one.
        paths: Image files, folders, h5 and idx files; for a model of bundles, manifests (CSV or
            Parquet) with ``path``, ``slide`` and ``magnification``; for a head on features, tables
            of them.
        output: CSV file to write; ``skipped.csv`` goes beside it.
        allow_skipped: Whether unreadable files are accepted; the caller's to act upon.
        pseudonymise: Whether paths get pseudonyms.

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
    left_out = ""
    if isinstance(classifier.info.preprocessing, Embedding):
        table = _predict_features(classifier, given)
    else:
        table, skipped, left_out = _predict_images(classifier, given)
    if pseudonymise:
        known = know_samples(Samples(table, Path(), classifier.info.class_names))
        table, skipped = hide_table(table, known), hide_skipped(skipped, known)
    if output is not None:
        write_table(Path(output), table)
        write_skipped(Path(output).parent / "skipped.csv", skipped)
    return PredictionResult(table, skipped, classifier.info.intended_use, left_out)


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


def _predict_images(classifier: Classifier, paths: list[Path]) -> tuple[Any, Skipped, str]:
    preprocessing = classifier.info.preprocessing
    listed, units = _list_cells(paths, preprocessing)
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
            f"none of the {len(files)} files can be read: {skipped[0][1]}",
            mend="`eosin data check` lists each with its reason",
        )
    skipped = [(printable(cell), reason) for cell, reason in skipped]
    return table, skipped, describe_left_out(listed.left_out)


def _list_cells(paths: list[Path], preprocessing: Preprocessing) -> tuple[ImageList, list[str]]:
    """List what is judged: single images, or the bundles of a table's slides.

    Returns:
        The cells; where the model normalises the stain of whole slides or patients, that of each.

    Raises:
        UsageError: The model needs a table, and a path is none.
    """
    stain = preprocessing.stain
    unit = None if stain is None or stain.unit == "tile" else stain.unit
    if not preprocessing.magnifications and unit is None:
        return list_images(paths), []
    cells: list[str] = []
    units: list[str] = []
    for path in paths:
        if not is_table(path):
            raise _wants_table(path, preprocessing, unit)
        # Nothing is known of the classes: the slide, or the image, stands for its label.
        label = "slide" if preprocessing.magnifications else "path"
        samples = read_manifest(path, label=label, allow_one_class=True)
        check_units(samples, unit or "tile")
        samples = bundle_samples(samples, preprocessing.magnifications)
        cells += [change_parts(cell, _from(path.parent)) for cell in samples.frame["path"]]
        if unit is not None:
            units += list(samples.frame[unit])
    return ImageList(cells, [], Counter()), units


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
        mend=f"Name a manifest (CSV or Parquet) with {', '.join(columns[:-1])} and {columns[-1]}",
    )


def _from(folder: Path) -> Callable[[str], str]:
    return lambda part: str(folder / part)


def _check_table(path: Path) -> None:
    """Refuse, before the work, a table that cannot be written."""
    if path.is_dir() or path.suffix not in {".csv", ".parquet"}:
        raise UsageError(f"-o wants a .csv or .parquet file, got {path}")
    check_writable(path.parent)


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
    """Return a row of the result for each path, logits of shape (N, K)."""
    names = classifier.info.class_names
    probabilities = classifier.probabilities(logits)
    table = pd.DataFrame({"path": [printable(cell) for cell in cells]})
    for index, name in enumerate(names):
        table[PREFIX + name] = probabilities[:, index]
    table["predicted"] = [names[index] for index in np.argmax(probabilities, axis=1)]
    table["decision"] = classifier.decide(probabilities)
    table["abstained"] = classifier.abstains(probabilities)
    return table
