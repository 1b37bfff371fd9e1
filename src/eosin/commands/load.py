"""A model that is opened once, and predicts images of files and in memory, without torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.gate import Gate
from eosin.artifacts.layout import ModelFolder, PredictionFiles, RunFolder
from eosin.artifacts.metrics import Abstention
from eosin.artifacts.model import Embedding
from eosin.artifacts.outputs import read_rows
from eosin.artifacts.predictions import NORMALISED, PREFIX, PredictionRecord, Tally
from eosin.commands.listed import Chunk, list_cells, map_chunks, none_readable
from eosin.commands.selftest import SelfTestResult, check_model
from eosin.core.display import Shown
from eosin.core.errors import UsageError, end_with
from eosin.core.files import sha256_file
from eosin.core.progress import progress_bar
from eosin.core.text import printable
from eosin.core.types import FloatArray
from eosin.experiment.environment import version_of
from eosin.images.references import ImageList, Skipped
from eosin.images.vectors import SUFFIXES, read_features
from eosin.inference.classifier import Classifier
from eosin.inference.given import Given, Images, list_given

#: Takes a table of some rows.
Write = Callable[[Any], None]


@dataclass(frozen=True, repr=False)
class PredictionResult(Shown):
    """Result of ``predict``.

    Attributes:
        rows: :attr:`table`, where it is in memory; None where it is in the written file alone.
        skipped: ``(path, reason)`` of unreadable files.
        intended_use: Intended use, as stated by the model.
        record: Model, engine, threshold, counts and time.
        files: Files written; None without an output.
        left_out: Number of files of folders that were ignored, by their ending or the reason.
        is_submission: Whether a Kaggle submission of the table is written or printed.
        format: In which the table is printed if there are no files.
        abstention: The model's rule of abstention; None without one.
        gate: The model's gate; None without one.
        takes_images: False for a model on features, which has no gate.
    """

    rows: Any
    skipped: Skipped
    intended_use: str
    record: PredictionRecord
    files: PredictionFiles | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    is_submission: bool = False
    format: str = "csv"
    abstention: Abstention | None = None
    gate: Gate | None = None
    takes_images: bool = True

    @cached_property
    def table(self) -> Any:
        """A pandas table with a row per image, read from the written file if it is there alone.

        Columns: path, prob_<class>…, predicted (arg-max), decision (at the stored threshold),
        abstained; ``gate``: why the image was refused, empty if it passed, where the model has a
        gate; with stain normalisation also ``stain``: ``normalised``, or why the image was left as
        it is.
        """
        if self.rows is None and self.files is not None:
            return read_rows(self.files.table)
        return self.rows

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        decided = self.record.decisions or {}
        return {
            "model": self.record.model,
            "images": self.record.n_images,
            "decisions": ", ".join(f"{name} {count}" for name, count in decided.items()),
            "abstained": self.record.n_abstained,
            "skipped": len(self.skipped),
            "table": self.rows if self.files is None else self.files.table,
        }


class Model:
    """A model that is opened once, for many predictions.

    Args:
        model: Model folder, or run folder with one.
        threads: Threads of ONNX Runtime; its own choice by default.

    Attributes:
        info: Contents of ``model.json``: classes, input, threshold, licence.
        folder: The model folder.
        classifier: The network with its calibration.
        record: What is recorded of a prediction, without its images.

    Raises:
        ArtifactError: The model folder cannot be loaded, or a file in it fails its checksum.
    """

    def __init__(self, model: Path | str, *, threads: int | None = None) -> None:
        self.folder = find_model(Path(model))
        self.classifier = Classifier(self.folder, threads=threads)
        self.record = _describe(ModelFolder(self.folder), self.classifier)
        self.info = self.classifier.info

    def __repr__(self) -> str:
        classes = ", ".join(self.info.class_names)
        return f"Model({self.record.model}: {self.info.architecture}, classes {classes})"

    def predict(
        self, images: Images | Iterable[Images], *, allow_skipped: bool = False
    ) -> PredictionResult:
        """Predict class probabilities and decisions.

        Args:
            images: Paths and tables as for :func:`eosin.predict`; arrays, uint8 or uint16 of shape
                (H, W), (H, W, C) or (N, H, W, C); Pillow's images; image files as bytes or opened;
                or a list of these. In the result, an image in memory is ``image`` and its place in
                the list, from 0.
            allow_skipped: Return the result although images cannot be read.

        Raises:
            SkippedFilesError: Images cannot be read; its ``result`` has the rest.
            DataError: No image can be read.
            UsageError: There is no image, or the model needs a table of them.
        """
        result = self.predict_listed(list_given(images))
        return end_with(result, len(result.skipped), allowed=allow_skipped)

    def selftest(self) -> SelfTestResult:
        """Run the model's test images on this machine, and compare with what it was saved with.

        Raises:
            ArtifactError: A probability differs, or the model has no test images.
        """
        return check_model(self.record.model, self.folder, self.classifier)

    def predict_listed(
        self,
        given: Given,
        check_cells: Callable[[Iterable[str]], None] | None = None,
        write: Write | None = None,
    ) -> PredictionResult:
        """Predict what was listed.

        Args:
            given: Images and tables.
            check_cells: May refuse the images before they are read.
            write: Takes the rows, some at a time, which are then not kept in memory.
        """
        started, clock = datetime.now(UTC), time.perf_counter()
        rows = _Rows(write)
        skipped, left_out = _predict_all(self.classifier, given, check_cells, rows)
        record = self.record.model_copy(
            update={
                **rows.tally.counts(),
                "n_skipped": len(skipped),
                "started": started.isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - clock, 3),
                "inputs": given.names,
            }
        )
        return PredictionResult(
            rows.table(),
            skipped,
            self.info.intended_use,
            record,
            left_out=left_out,
            abstention=self.info.abstention,
            gate=self.info.gate,
            takes_images=not isinstance(self.info.preprocessing, Embedding),
        )


def load(model: Path | str, *, threads: int | None = None) -> Model:
    """Open a model once, for many predictions; arguments and errors as for :class:`Model`."""
    return Model(model, threads=threads)


def find_model(place: Path) -> Path:
    """Return the model folder: the folder itself, or the run's."""
    run = RunFolder(place)
    if not ModelFolder(place).info.exists() and ModelFolder(run.model).info.exists():
        return run.model
    return place


def _describe(folder: ModelFolder, classifier: Classifier) -> PredictionRecord:
    """Return the record of a prediction without its images."""
    info, place = classifier.info, folder.root.resolve()
    # Model folders of all runs have the same name: the run's name distinguishes them.
    run = RunFolder(place.parent)
    is_run_s = place == run.model and run.metrics.exists()
    network = classifier.network_path
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
        n_images=0,
        n_skipped=0,
        n_abstained=0,
        started="",
        seconds=0.0,
        inputs=None,
    )


class _Rows:
    """The rows of a result: counted, and kept or handed on."""

    def __init__(self, write: Write | None) -> None:
        self.tally = Tally()
        self._kept: list[Any] = []
        self._write = self._kept.append if write is None else write
        self._is_kept = write is None

    def add(self, table: Any) -> None:
        self.tally.add(table)
        self._write(table)

    def table(self) -> Any:
        return pd.concat(self._kept, ignore_index=True) if self._is_kept else None


def _predict_all(
    classifier: Classifier,
    given: Given,
    check_cells: Callable[[Iterable[str]], None] | None,
    rows: _Rows,
) -> tuple[Skipped, Mapping[str, int]]:
    if isinstance(classifier.info.preprocessing, Embedding):
        for table in _predict_features(classifier, given):
            if check_cells is not None:
                check_cells(table["path"])
            rows.add(table)
        return [], {}
    listed, units = list_cells(given, classifier.info)
    if check_cells is not None:
        check_cells(listed.cells)
    return _predict_images(classifier, given, listed, units, rows), listed.left_out


def _predict_features(classifier: Classifier, given: Given) -> Iterator[Any]:
    """Yield the predictions of each table of features."""
    embedding = classifier.info.preprocessing
    for path in given.entries:
        if not isinstance(path, pd.DataFrame) and Path(path).suffix not in SUFFIXES:
            raise UsageError(
                f"this model takes tables of {len(embedding.channels):,} features per image, "
                f"not images: {path}",
                hint=f"Name a file that ends in {', '.join(SUFFIXES)}; docs/transfer.md shows one",
            )
        found = read_features(path, columns=embedding.channels)
        logits = classifier.logits(found)
        yield tabulate(classifier, list(found.rows), logits[list(found.rows.values())])


def _predict_images(
    classifier: Classifier, given: Given, listed: ImageList, units: list[str], rows: _Rows
) -> Skipped:
    skipped, n_done = listed.skipped, 0
    predicted = map_chunks(
        lambda chunk: (chunk, _predict_chunk(classifier, chunk)),
        given, listed, units, classifier.info.preprocessing,
    )  # fmt: skip
    with progress_bar("Predicting") as advance:
        for chunk, table in predicted:
            skipped += chunk.skipped
            n_done += len(chunk.cells)
            if chunk.cells:
                rows.add(table)
            advance(chunk.n_done, len(listed.cells))
    if not n_done:
        raise none_readable(given, skipped)
    return [(printable(cell), reason) for cell, reason in skipped]


def _predict_chunk(classifier: Classifier, chunk: Chunk) -> Any:
    images = chunk.done.images
    table = tabulate(classifier, chunk.cells, classifier.logits(images), classifier.refuse(images))
    if classifier.info.preprocessing.stain is not None:
        table["stain"] = [reason or NORMALISED for reason in chunk.done.reasons]
    return table


def tabulate(
    classifier: Classifier, cells: list[str], logits: FloatArray, refused: Any = None
) -> Any:
    """Return one row of the result per path; logits (N, K), and the gate's reasons (N,), if any."""
    names = classifier.info.class_names
    probabilities = classifier.probabilities(logits)
    table = pd.DataFrame({"path": [printable(cell) for cell in cells]})
    for index, name in enumerate(names):
        table[PREFIX + name] = probabilities[:, index]
    table["predicted"] = [names[index] for index in np.argmax(probabilities, axis=1)]
    table["decision"] = classifier.decide(probabilities)
    table["abstained"] = classifier.abstains(probabilities)
    if refused is not None:
        table["abstained"] |= refused != ""
        table["gate"] = refused
    return table
