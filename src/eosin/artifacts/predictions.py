"""Tables of predictions, logits and training history, and the record of ``predict``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from eosin.artifacts.gate import REFUSALS
from eosin.artifacts.integrity import damaged
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import read_written, relocated, write_table
from eosin.artifacts.metrics import Threshold
from eosin.artifacts.tables import row_number
from eosin.artifacts.versioned import (
    Count,
    DictOf,
    ListOf,
    NotNegative,
    Positive,
    TupleOf,
    VersionedDocument,
)
from eosin.core.files import open_file
from eosin.core.types import COPY, BoolArray, FloatArray, IntArray, Samples
from eosin.metrics.catalogue import HISTORY, HISTORY_TRAIN

#: Columns before the probabilities; ``repeat`` and ``fold`` only in runs with folds, ``copy`` only
#: where copies of images were divided.
LEADING = ("path", "label", "patient", "group", "magnification", "split", "repeat", "fold", COPY)
PREFIX = "prob_"
#: Tolerance of a row's sum of probabilities around 1; single precision stays within it.
_MAX_GAP = 1e-3
#: Bytes that the first row of a table must end in.
_MAX_HEADER = 1 << 20
#: ``seconds``: wall time of the training so far, over all its processes; absent before 0.2.
HISTORY_COLUMNS = (
    *("step", "epoch", "lr"),
    *("loss", *HISTORY_TRAIN),
    *(f"val_{name}" for name in ("loss", *HISTORY)),
    "seconds",
)


#: Columns of the table of ``predict``, besides the probabilities.
_PREDICTED = ("path", "predicted", "decision")
_PREDICTED_MORE = ("abstained", "gate", "stain")
#: Entry of ``predict`` for an image whose stain was normalised.
NORMALISED = "normalised"


class PredictionRecord(VersionedDocument):
    """Schema of ``NAME.json`` beside the table of predictions ``NAME.csv``.

    Attributes:
        table: Name of the table's file; null where none was written.
        model: Name of the model folder, with that of its run.
        model_sha256: Of ``model.json``, which lists the SHA-256 of the model's other files.
        weights_sha256: As in ``model.json``.
        network_sha256: Of the network's file, ``model.onnx`` or ``model.safetensors``, which does
            not change when ``model.json`` and cards are written again.
        engine: Name and version of the inference engine.
        class_names: Labels in the order of the probabilities.
        threshold: Decision threshold and its source.
        temperature: Divisor of the logits before the soft-max.
        temperature_source: Where it was fitted.
        n_images: Rows of the table.
        n_skipped: Files that could not be read.
        n_abstained: Rows on which the model abstains, refused ones included.
        refused: Number of rows that the gate refused, by reason; null without a gate.
        decisions: Number of rows by decision; null in records of before 0.2.
        unchanged: Number of rows whose stain was left as it is, by reason; null without
            normalisation.
        started: Coordinated universal time, ISO 8601.
        seconds: Wall time from there to the last prediction.
        inputs: The inputs as named by the user; null under pseudonyms.
    """

    table: str | None
    table_sha256: str | None
    eosin: str
    model: str
    model_sha256: str
    weights_sha256: str
    network_sha256: str
    engine: str
    class_names: TupleOf[str]
    positive: str | None
    threshold: Threshold
    temperature: Positive
    temperature_source: str
    n_images: Count
    n_skipped: Count
    n_abstained: Count
    refused: DictOf[Count] | None = None
    decisions: DictOf[Count] | None = None
    unchanged: DictOf[Count] | None = None
    started: str
    seconds: NotNegative
    inputs: ListOf[str] | None


def count_images(frame: Any) -> int:
    """Return the number of images of a table, which may have several predictions of each.

    Copies of an image that were divided are images of their own.
    """
    return len(frame[[name for name in ("path", COPY) if name in frame]].drop_duplicates())


class Tally:
    """Counts of the rows of predictions, table by table."""

    def __init__(self) -> None:
        self._n_images = self._n_abstained = 0
        self._counted: dict[str, Counter[str]] = {}

    def add(self, table: Any) -> None:
        """Count the rows of a table of ``predict``."""
        self._n_images += len(table)
        self._n_abstained += int(table["abstained"].sum())
        for column in ("decision", "gate", "stain"):
            if column in table:
                self._counted.setdefault(column, Counter()).update(table[column])

    def counts(self) -> dict[str, Any]:
        """Return the counts by their names in the record."""
        refused, unchanged = (self._counted.get(column) for column in ("gate", "stain"))
        return {
            "n_images": self._n_images,
            "n_abstained": self._n_abstained,
            "decisions": dict(self._counted.get("decision", Counter()).most_common()),
            "refused": refused and {one: refused[one] for one in REFUSALS if refused[one]},
            "unchanged": unchanged
            and {one: n for one, n in unchanged.most_common() if one != NORMALISED},
        }


def is_prediction_table(path: Path) -> bool:
    """Return True if a file is a table that ``predict`` wrote, without further columns."""
    columns = set(read_header(path))
    rest = columns.difference(_PREDICTED, _PREDICTED_MORE)
    return columns.issuperset(_PREDICTED) and bool(rest) and all(c.startswith(PREFIX) for c in rest)


def read_header(path: Path) -> list[str]:
    """Return a table's column names; empty for a file of another kind."""
    try:
        with open_file(path) as stream:
            if path.suffix == ".parquet":
                import pyarrow.parquet as pq

                return list(pq.read_schema(stream).names)
            lines = io.TextIOWrapper(io.BytesIO(stream.read(_MAX_HEADER)), "utf-8-sig", newline="")
            return next(csv.reader(lines, strict=True), [])
    except (OSError, ValueError, csv.Error, pa.ArrowException):
        return []


def predictions_table(
    samples: Samples,
    probabilities: FloatArray,
    *,
    decided: IntArray | None = None,
    abstained: Any = None,
    refused: Any = None,
) -> Any:
    """Return the table of the predictions of ``samples``.

    Args:
        samples: The evaluated rows; their ``split``, ``repeat`` and ``fold`` columns are kept.
        probabilities: Calibrated, shape (N, K), rows summing to 1.
        decided: Class index of the decision at the tuned threshold, (N,); the arg-max by default.
        abstained: Booleans (N,), all False by default.
        refused: The gate's reasons (N,), empty where an image passes; None without a gate.

    Returns:
        A pandas table with the contract's columns.
    """
    frame = samples.frame
    table = pd.DataFrame(index=frame.index)
    for column in LEADING:
        if column in frame:
            table[column] = frame[column]
        elif column == "magnification":
            table[column] = ""
    for index, name in enumerate(samples.class_names):
        table[PREFIX + name] = np.asarray(probabilities)[:, index]
    names = np.array(samples.class_names, dtype=object)
    predicted = np.argmax(probabilities, axis=1)
    table["predicted"] = names[predicted]
    table["decision"] = names[predicted if decided is None else decided]
    table["correct"] = table["predicted"] == table["label"]
    table["abstained"] = False if abstained is None else np.asarray(abstained, dtype=bool)
    if refused is not None:
        table["gate"] = refused
    return table


class Predicted(Protocol):
    """Predictions of a model for a table of samples."""

    @property
    def samples(self) -> Samples:
        """N rows."""

    @property
    def probabilities(self) -> FloatArray:
        """Calibrated, shape (N, K)."""

    @property
    def decided(self) -> IntArray:
        """Class index of each row's decision at the tuned threshold, shape (N,)."""

    @property
    def abstained(self) -> BoolArray:
        """Mask of the rows that the model abstains on, shape (N,)."""

    @property
    def refused(self) -> Any:
        """The gate's reasons, shape (N,), empty where an image passes; None without a gate."""


def write_predictions(run: RunFolder, parts: Sequence[Predicted], logits: Sequence[Any]) -> None:
    """Write ``predictions.csv`` and ``logits.parquet``, paths as in the manifest beside them.

    Args:
        run: The run folder.
        parts: What was predicted, one after the other.
        logits: The tables of their raw logits, in the same row order.
    """
    tables = [
        predictions_table(
            relocated(part.samples, run.root),
            part.probabilities,
            decided=part.decided,
            abstained=part.abstained,
            refused=part.refused,
        )
        for part in parts
    ]
    table = pd.concat(tables, ignore_index=True)
    write_table(run.predictions, table)
    write_table(run.logits, pd.concat(logits, ignore_index=True).assign(path=table["path"]))


def read_predictions(path: Path) -> Any:
    """Read ``predictions.csv``; ids stay text.

    Returns:
        A pandas table: ``prob_<class>`` are numbers from 0 to 1, ``abstained`` and ``correct`` are
        boolean, all else is text. Runs of before 0.2 have neither ``correct`` nor ``decision``.

    Raises:
        ArtifactError: It is absent or damaged, lacks the contract's columns, or has an invalid
            class or probability.
    """
    frame = read_written(path)
    missing = {"path", "label", "predicted"} - set(frame.columns)
    names = [name for name in frame if name.startswith(PREFIX)]
    if missing or not names:
        raise damaged(path, f"it lacks the column {sorted(missing or {PREFIX + '<class>'})[0]!r}")
    for name in names:
        frame[name] = _numbers(path, frame, name)
    values = frame[names].to_numpy(dtype=np.float64)
    # Also True for NaN.
    odd = ~((values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= _MAX_GAP))
    if odd.any():
        row = row_number(frame, int(np.flatnonzero(odd)[0]))
        raise damaged(
            path, f"the probabilities of row {row} are not between 0 and 1 with the sum 1"
        )
    classes = {name.removeprefix(PREFIX) for name in names}
    _check_cells(path, frame, "predicted", classes)
    if "decision" in frame:
        _check_cells(path, frame, "decision", classes)
    _check_cells(path, frame, "path", None)
    for name in ("abstained", "correct"):
        if name in frame:
            # Spreadsheets write booleans in capitals.
            frame[name] = frame[name].str.capitalize()
            _check_cells(path, frame, name, {"True", "False"})
            frame[name] = frame[name] == "True"
    return frame.reset_index(drop=True)


def errors_table(predictions: Any) -> Any:
    """Return the table of ``errors.csv``: rows with a wrong decision.

    Args:
        predictions: A table as :func:`read_predictions` returns it, with ``decision``.

    Returns:
        A pandas table, the most confident errors first: path, label, decision (at the tuned
        threshold) and its probability, predicted (arg-max), abstained, patient; of folds also
        repeat and fold.
    """
    of_class = predictions[[name for name in predictions if name.startswith(PREFIX)]]
    classes = pd.Index([name.removeprefix(PREFIX) for name in of_class])
    places = classes.get_indexer(predictions["decision"])
    probability = of_class.to_numpy()[np.arange(len(predictions)), places]
    table = predictions.assign(probability=probability)
    table = table[table["decision"] != table["label"]]
    table = table.sort_values("probability", ascending=False, kind="stable")
    names = ("path", "label", "decision", "probability", "predicted", "abstained", "patient")
    return table[[name for name in (*names, "repeat", "fold") if name in table]]


def _check_cells(path: Path, frame: Any, column: str, allowed: set[str] | None) -> None:
    """Check that no cell is empty or has a value that is not allowed."""
    odd = (frame[column] == "") if allowed is None else ~frame[column].isin(allowed)
    if odd.any():
        position = int(np.flatnonzero(odd)[0])
        row, cell = row_number(frame, position), frame[column].iloc[position]
        raise damaged(path, f"{column!r} of row {row} is {cell!r}")


def _numbers(path: Path, frame: Any, name: str) -> list[float]:
    """Return a column as numbers, NaN where a cell is empty."""
    cells = frame[name]
    numbers = pd.to_numeric(cells, errors="coerce")
    odd = np.flatnonzero(numbers.isna() & (cells != ""))
    if len(odd):
        row = row_number(frame, int(odd[0]))
        raise damaged(path, f"{name!r} of row {row} is {cells.iloc[odd[0]]!r}, not a number")
    found: list[float] = numbers.tolist()
    return found


def logits_table(samples: Samples, logits: FloatArray) -> Any:
    """Return raw logits, shape (N, K), as a table with their paths and subsets."""
    keep = [c for c in ("path", "split", "repeat", "fold", COPY) if c in samples.frame]
    table = samples.frame[keep].copy()
    for index, name in enumerate(samples.class_names):
        table[f"logit_{name}"] = np.asarray(logits)[:, index]
    return table


def write_logits(path: Path, table: Any) -> None:
    """Write the raw logits as Parquet."""
    write_table(path, table)


def write_history(path: Path, rows: list[dict[str, float | int | None]]) -> None:
    """Write the training history, one row an evaluation; missing values stay empty."""
    write_table(path, pd.DataFrame(rows, columns=list(HISTORY_COLUMNS)))


def read_history(path: Path) -> Any:
    """Read ``history.csv`` as numbers, NaN if missing; raises ``ArtifactError``."""
    frame = read_written(path)
    unknown = [name for name in frame if name not in HISTORY_COLUMNS]
    if unknown or not {"step", "epoch"} <= set(frame):
        raise damaged(path, f"its columns are {', '.join(map(repr, frame))}")
    table = pd.DataFrame({name: _numbers(path, frame, name) for name in frame})
    steps = table["step"]
    if not (steps.diff().iloc[1:] > 0).all() or steps.isna().any():
        raise damaged(path, "its steps do not increase")
    return table
