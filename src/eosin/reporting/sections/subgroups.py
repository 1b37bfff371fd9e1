"""Subgroups: metrics by class, magnification, site, subtype and patient; single images."""

from __future__ import annotations

from eosin.core.text import listing
from eosin.metrics.catalogue import AVERAGES, BY_CLASS, OF_ONE_CLASS, OF_PARTS
from eosin.reporting.formatting import number
from eosin.reporting.outline import Section, Table, Text, block_table, make_table
from eosin.reporting.sections import magnifications
from eosin.reporting.sections.data import MOST_ROWS, sizes_by
from eosin.reporting.thumbnails import tiles
from eosin.runs.finished import FinishedRun

#: Patients from which on their table is folded away.
_MANY = 25


def section(run: FinishedRun) -> Section:
    """Return the section of metrics by subgroup."""
    tables = _part_tables(run)
    names = listing(table.columns[0].lower() for table in tables)
    return Section(f"By {names}", *tables, magnifications.figures(run), nav="Parts")


def single_images(run: FinishedRun) -> Section:
    """Return the section of single images, wrong and right, and of patients."""
    table, n_left_out = _patients_table(run)
    title = "Single images" if table is None else "Single images and patients"
    shown: Table | Section | None = table
    if table is not None and len(table.rows) > _MANY:
        summary = f"{len(table.rows)} patients by recognition rate"
        shown = Section(summary, table, fold="closed")
    rest = (
        f"{n_left_out} further patients, all recognised at least as well, are in predictions.csv."
        if n_left_out
        else ""
    )
    galleries = (
        Section("Most confident mistakes", tiles(run, "mistake")),
        Section("Most confident right predictions, of all classes", tiles(run, "correct")),
    )
    return Section(title, *galleries, shown, Text(rest, look="small"), nav="Images")


def _part_tables(run: FinishedRun) -> list[Table]:
    """Build the metric tables by class, magnification, site and subtype, where known."""
    evaluated = run.evaluated
    others = (
        block_table(caption, first, found, wanted, sizes_by(run, column))
        for caption, first, column, found, wanted in (
            ("By site.", "Site", "site", evaluated.by_site, OF_PARTS),
            ("By subtype.", "Subtype", "subtype", evaluated.by_subtype, OF_ONE_CLASS),
        )
    )
    return [
        table
        for table in (_class_table(run), magnifications.table(run), *others)
        if table is not None
    ]


def _class_table(run: FinishedRun) -> Table | None:
    """Build the table by class, with the averages over the classes as its last rows."""
    blocks, sizes = dict(run.evaluated.by_class), sizes_by(run, "label")
    caption, image = "Each class against the rest.", run.evaluated.image
    # Runs of before 0.2 have no averages.
    if blocks and all(name in image for names in AVERAGES.values() for name in names.values()):
        caption = (
            "Each class against the rest, and averages over the classes: micro of the summed "
            "counts, macro with each class alike, weighted by the images of each class."
        )
        n_images = sum(sizes.values()) if sizes else 0
        for kind, names in AVERAGES.items():
            average = f"{kind} avg"
            blocks.setdefault(average, {of: image[name] for of, name in names.items()})
            sizes = sizes and {average: n_images} | sizes
    return block_table(caption, "Class", blocks, BY_CLASS, sizes)


def _patients_table(run: FinishedRun) -> tuple[Table | None, int]:
    """Build the table of patients by recognition rate, the worst first, and count those left out.

    The table is ``None`` if patients are unknown.
    """
    frame = run.predictions
    if frame is None or not (frame["patient"] != "").any():
        return None, 0
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
    what = "(the share of a patient's images that are right), the hardest first"
    columns = ("Patient", "Class", "Images", "Right", "Rate")
    table = make_table(f"Patients by recognition rate {what}.", columns, rows, texts=(0, 1))
    return table, max(0, len(summary) - MOST_ROWS)
