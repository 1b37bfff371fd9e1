"""How well each patient was recognised."""

from __future__ import annotations

import pandas as pd

from eosin.reporting.exploration import MOST_ROWS
from eosin.reporting.formatting import ABSENT, count, metric_label, number
from eosin.reporting.tables import Cell, Footnotes, Table, text_table
from eosin.runs.finished import Run


def votes_table(run: Run) -> Table | None:
    """Build the table of what is measured by patient; ``None`` where nothing could be.

    A vote is right or wrong for a patient as a whole: Wilson's interval, which needs no
    resampling, stands beside the clustered one.
    """
    blocks, notes = run.judged.patient, Footnotes()
    if all(metric.value is None for metric in blocks.values()):
        return None
    has_wilson = any(metric.wilson for metric in blocks.values())
    rows = []
    for name, metric in blocks.items():
        n = metric.n if metric.n is not None else run.judged.n_patients
        told = [Cell(count(n) if n is not None and metric.value is not None else ABSENT)]
        told.append(notes.cell(metric))
        if has_wilson:
            told.append(Cell("–".join(map(number, metric.wilson)) if metric.wilson else ABSENT))
        rows.append((Cell(metric_label(name)), *told))
    wilson = ("Wilson's interval",) if has_wilson else ()
    columns = ("Metric", "Patients", "Value with 95 % interval", *wilson)
    return Table("The same by patient.", columns, tuple(rows), notes.notes)


def patients_table(run: Run) -> tuple[Table | None, int]:
    """Build the table of patients by recognition rate, the worst first.

    Returns:
        The table, ``None`` where patients are unknown, and how many patients it leaves out.
    """
    frame = run.predictions
    if frame is None or not (frame["patient"] != "").any():
        return None, 0
    frame = frame[frame["patient"] != ""]
    right = (frame["label"] == frame["predicted"]).rename("right")
    groups = pd.concat([frame[["patient", "label"]], right], axis=1).groupby("patient")
    summary = groups.agg(
        labels=("label", lambda labels: ", ".join(sorted(set(labels)))),
        n=("right", "size"),
        right=("right", "sum"),
    )
    summary["rate"] = summary["right"] / summary["n"]
    summary = summary.sort_values(["rate", "n"], ascending=[True, False], kind="stable")
    rows = [
        (str(row.Index), row.labels, int(row.n), int(row.right), number(float(row.rate)))
        for row in summary.head(MOST_ROWS).itertuples()
    ]
    table = text_table(
        "Patients by recognition rate (the share of a patient's images that are right),"
        " the hardest first.",
        ("Patient", "Class", "Images", "Right", "Rate"),
        rows,
        texts=(0, 1),
    )
    return table, max(0, len(summary) - MOST_ROWS)
