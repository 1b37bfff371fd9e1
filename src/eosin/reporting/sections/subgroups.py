"""Subgroups: metrics by class, magnification, site and subtype."""

from __future__ import annotations

from eosin.metrics.catalogue import AVERAGES, BY_CLASS, OF_ONE_CLASS, OF_PARTS
from eosin.reporting.outline import Section, Table, block_table, own_names
from eosin.reporting.sections import magnifications
from eosin.reporting.sections.data import sizes_by
from eosin.runs.finished import FinishedRun


def section(run: FinishedRun) -> Section:
    """Return the section of metrics by subgroup."""
    return Section("Subgroups", *_part_tables(run), magnifications.figures(run))


def _part_tables(run: FinishedRun) -> list[Table]:
    """Build the metric tables by class, magnification, site and subtype, where known."""
    evaluated = run.evaluated
    own = own_names(evaluated.by_site.values())
    others = (
        block_table(
            caption, first, found, wanted, sizes_by(run, column), name=f"metrics_by_{column}"
        )
        for caption, first, column, found, wanted in (
            ("Metrics by site.", "Site", "site", evaluated.by_site, (*OF_PARTS, *own)),
            ("Metrics by subtype.", "Subtype", "subtype", evaluated.by_subtype, OF_ONE_CLASS),
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
    caption, image = "Metrics by class, each against the rest.", run.evaluated.image
    # Runs of before 0.2 have no averages.
    if blocks and all(name in image for names in AVERAGES.values() for name in names.values()):
        caption = (
            "Metrics by class, each against the rest, and averages over the classes: micro (summed "
            "counts), macro (equal weights), weighted (by the images of each class)."
        )
        n_images = sum(sizes.values()) if sizes else 0
        for kind, names in AVERAGES.items():
            average = f"{kind} avg"
            blocks.setdefault(average, {of: image[name] for of, name in names.items()})
            sizes = sizes and {average: n_images} | sizes
    return block_table(caption, "Class", blocks, BY_CLASS, sizes, name="metrics_by_class")
