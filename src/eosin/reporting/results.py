"""The tables of what was measured: the whole, the other splits, and each part of the images."""

from __future__ import annotations

from eosin.reporting import exploration
from eosin.reporting.exposure import threshold_text, units
from eosin.reporting.formatting import times
from eosin.reporting.patients import votes_table
from eosin.reporting.tables import (
    CLASS_METRICS,
    PART_METRICS,
    SUBTYPE_METRICS,
    Table,
    block_table,
    headline_table,
)
from eosin.runs.finished import Run

#: Heading of the metrics at thresholds of which there are as many as folds.
_FOLDS_THRESHOLDS = "At each fold's locked threshold"


def headline_tables(run: Run) -> list[Table]:
    """Build the tables of the judged split: by image, and by patient where that is known."""
    judged = run.judged
    blocks = {"Most probable class": judged.image}
    if threshold_text(run):
        value = judged.threshold.value
        at = f"At the locked threshold {value:.2f}" if value is not None else _FOLDS_THRESHOLDS
        blocks[at] = judged.at_threshold
    caption = f"Metrics of {units(run)} with 95 % intervals"
    kind = (
        f"; positive class: {judged.positive}."
        if judged.positive is not None
        else "; means over the classes, one against the rest."
    )
    votes = votes_table(run)
    return [headline_table(caption + kind, blocks), *([votes] if votes else [])]


def other_tables(run: Run) -> list[Table]:
    """Build a table for each other split of the run."""
    at = "At the locked threshold"
    return [
        headline_table(
            f"Split “{name}”: {block.n_images:,} images in {block.n_groups:,} groups.",
            {
                "Most probable class": block.image,
                **({at: block.at_threshold} if threshold_text(run) else {}),
            },
        )
        for name, block in run.metrics.items()
        if name != run.split
    ]


def part_tables(run: Run) -> list[Table]:
    """Build the tables by class, magnification, site and subtype, where there are any."""
    judged = run.judged
    tables = [
        block_table(
            "Each class against the rest.",
            "Class",
            judged.by_class,
            CLASS_METRICS,
            exploration.sizes_by(run, "label"),
        ),
        block_table(
            "By magnification.",
            "Magnification",
            {
                times(key): judged.by_magnification[key]
                for key in sorted(judged.by_magnification, key=exploration.magnification_order)
            },
            PART_METRICS,
            exploration.sizes_by(run, "magnification", write=times),
        ),
        block_table(
            "By site.", "Site", judged.by_site, PART_METRICS, exploration.sizes_by(run, "site")
        ),
        block_table(
            "By subtype.",
            "Subtype",
            judged.by_subtype,
            SUBTYPE_METRICS,
            exploration.sizes_by(run, "subtype"),
        ),
    ]
    return [table for table in tables if table is not None]
