"""Errors: misclassified images, the most confident first, and recognition by patient."""

from __future__ import annotations

from typing import Any

import numpy as np

from eosin.artifacts.predictions import PREFIX, errors_table
from eosin.core.text import count, quantity
from eosin.reporting.formatting import number
from eosin.reporting.outline import Cell, Section, Table, Text, Tiles, make_table
from eosin.reporting.sections.data import MOST_ROWS
from eosin.reporting.thumbnails import tiles
from eosin.runs.finished import FinishedRun

#: Thumbnails of errors on the first screen.
_FIRST = 7


def worst(run: FinishedRun) -> Section:
    """Return the sub-section of the most confident errors, for the first screen."""
    table = list_errors(run)
    if table is None:
        return Section("")
    of_all = quantity(len(run.predictions), "decision")
    words = (
        f"{count(len(table))} of {of_all} {'is' if len(table) == 1 else 'are'} wrong. All errors:"
    )
    name = run.folder.errors.name
    shown = Tiles(tiles(run, "mistake").items[:_FIRST])
    return Section("Most confident errors", Text(words, link=Cell(name, href=name)), shown)


def section(run: FinishedRun) -> Section:
    """Return the section of further errors, of right predictions and of patients."""
    table = _patients_table(run)
    return Section(
        "Errors" if table is None else "Errors and patients",
        Section("Further confident errors", Tiles(tiles(run, "mistake").items[_FIRST:])),
        Section("Most confident correct decisions, by class in turn", tiles(run, "correct")),
        table,
        nav="Errors",
    )


def list_errors(run: FinishedRun) -> Any:
    """Return the contents of ``errors.csv``, a pandas table; ``None`` without predictions."""
    frame = with_decisions(run)
    return None if frame is None else errors_table(frame)


def with_decisions(run: FinishedRun) -> Any:
    """Return the predictions with ``decision``; ``None`` without predictions."""
    frame = run.predictions
    if frame is None or "decision" in frame:
        return frame
    return frame.assign(decision=np.asarray(_decided(run)))


def _decided(run: FinishedRun) -> Any:
    """Return the decisions of a run of before 0.2, which did not record them."""
    frame, positive = run.rows, run.evaluated.positive
    if positive is None or len(run.class_names) != 2:
        return frame["predicted"]
    negative = next(name for name in run.class_names if name != positive)
    is_positive = frame[PREFIX + positive] >= frame["threshold"]
    decided = np.where(is_positive, positive, negative)
    return np.where(frame["threshold"].isna(), frame["predicted"], decided)


def _patients_table(run: FinishedRun) -> Table | None:
    """Build the table of patients by recognition rate, lowest first; ``None`` if unknown."""
    frame = run.predictions
    if frame is None or not (frame["patient"] != "").any():
        return None
    frame = frame[frame["patient"] != ""]
    right = frame["label"] == frame["predicted"]
    summary = (
        frame.assign(right=right)
        .groupby("patient")
        .agg(
            labels=("label", lambda labels: ", ".join(sorted(set(labels)))),
            n=("right", "size"),
            right=("right", "sum"),
        )
    )
    summary["rate"] = summary["right"] / summary["n"]
    summary = summary.sort_values(["rate", "n"], ascending=[True, False], kind="stable")
    rows = [
        (str(row.Index), row.labels, int(row.n), int(row.right), number(float(row.rate)))
        for row in summary.head(MOST_ROWS).itertuples()
    ]
    caption = (
        "Recognition rate (proportion of images whose most probable class is correct) of each"
        " patient, lowest first."
    )
    if len(rows) < len(summary):
        caption += f" {quantity(len(summary) - len(rows), 'patient')} with higher rates left out."
    columns = ("Patient", "Class", "Images", "Correct", "Rate")
    return make_table(caption, columns, rows, texts=(0, 1), name="patients")
