"""How well each patient was recognised."""

from __future__ import annotations

import pandas as pd

from eosin.reporting.exploration import MOST_ROWS
from eosin.reporting.formatting import number
from eosin.reporting.gathering import Run
from eosin.reporting.tables import Table, text_table


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
