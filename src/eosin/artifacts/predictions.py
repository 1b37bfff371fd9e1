"""Tables of predictions, logits and histories, and the record beside what ``predict`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from eosin.artifacts.manifest import write_table
from eosin.artifacts.metrics import Threshold
from eosin.artifacts.values import Count, ListOf, NotNegative, Positive, TupleOf
from eosin.artifacts.versioned import VersionedDocument
from eosin.core.errors import ArtifactError
from eosin.core.types import FloatArray, Samples

#: Columns before the probabilities; ``repeat`` and ``fold`` only in runs with folds.
LEADING = ("path", "label", "patient", "group", "magnification", "split", "repeat", "fold")
PREFIX = "prob_"
HISTORY_COLUMNS = (
    "step",
    "epoch",
    "lr",
    "loss",
    "accuracy",
    "precision",
    "val_loss",
    "val_accuracy",
    "val_precision",
    "val_recall",
    "val_auc",
)


#: Columns of a table that ``predict`` writes, beside the probabilities.
_PREDICTED = ("path", "predicted", "decision")
_PREDICTED_MORE = ("abstained", "stain")
#: What ``predict`` says of an image whose stain it could normalise.
NORMALISED = "normalised"


class PredictionRecord(VersionedDocument):
    """Schema of ``NAME.json`` beside the table of predictions ``NAME.csv``.

    Attributes:
        table: Name of the table's file; null where none was written.
        table_sha256: Of the table.
        eosin: Version of Eosin.
        model: Name of the model folder, with that of its run.
        model_sha256: Of ``model.json``, which lists the SHA-256 of the model's other files.
        weights_sha256: As in ``model.json``.
        network_sha256: Of the file that was run, ``model.onnx`` or ``model.safetensors``: it stays
            the same where ``model.json`` and cards are written again.
        engine: Name and version of what ran the network.
        class_names: Labels in the order of the probabilities.
        positive: The positive class of a binary task.
        threshold: Decision threshold and its source.
        temperature: Divisor of the logits before the soft-max.
        temperature_source: Where it was fitted.
        n_images: Rows of the table.
        n_skipped: Files that could not be read.
        n_abstained: Rows on which the model abstains.
        started: Coordinated universal time, ISO 8601.
        seconds: Wall time from there to the last prediction.
        inputs: What was to be predicted, as named; null under pseudonyms.
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
    started: str
    seconds: NotNegative
    inputs: ListOf[str] | None


def is_prediction_table(path: Path) -> bool:
    """Return whether a file is a table that ``predict`` wrote, without columns of anybody else."""
    try:
        if path.suffix == ".parquet":
            columns = set(pq.read_schema(path).names)
        else:
            columns = set(pd.read_csv(path, nrows=0).columns)
    except (OSError, ValueError):
        return False
    rest = columns.difference(_PREDICTED, _PREDICTED_MORE)
    return columns.issuperset(_PREDICTED) and bool(rest) and all(c.startswith(PREFIX) for c in rest)


def predictions_table(samples: Samples, probabilities: FloatArray, *, abstained: Any = None) -> Any:
    """Lay out the predictions of ``samples``.

    Args:
        samples: The judged rows; their ``split``, ``repeat`` and ``fold`` columns pass through.
        probabilities: Calibrated, shape (N, K), rows summing to 1.
        abstained: Truth values (N,), none by default.

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
    table["predicted"] = names[np.argmax(probabilities, axis=1)]
    table["abstained"] = False if abstained is None else np.asarray(abstained, dtype=bool)
    return table


def read_predictions(path: Path) -> Any:
    """Read ``predictions.csv``; ids stay text.

    Raises:
        ArtifactError: It is absent or lacks the contract's columns.
    """
    try:
        header = pd.read_csv(path, nrows=0).columns
        text = {c: str for c in header if not c.startswith(PREFIX) and c != "abstained"}
        frame = pd.read_csv(path, dtype=text, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    missing = {"path", "label", "predicted"} - set(frame.columns)
    if missing:
        raise ArtifactError(f"{path} lacks the column {sorted(missing)[0]!r}")
    return frame


def logits_table(samples: Samples, logits: FloatArray) -> Any:
    """Lay out raw logits, shape (N, K), beside the path and split that they belong to."""
    keep = [c for c in ("path", "split", "repeat", "fold") if c in samples.frame]
    table = samples.frame[keep].copy()
    for index, name in enumerate(samples.class_names):
        table[f"logit_{name}"] = np.asarray(logits)[:, index]
    return table


def write_logits(path: Path, table: Any) -> None:
    """Write the raw logits as Parquet."""
    write_table(path, table)


def write_history(path: Path, rows: list[dict[str, float | int | None]]) -> None:
    """Write one row an evaluation step; what was not measured stays empty."""
    write_table(path, pd.DataFrame(rows, columns=list(HISTORY_COLUMNS)))


def read_history(path: Path) -> Any:
    """Read ``history.csv`` as a table of numbers."""
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
