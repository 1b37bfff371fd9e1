"""The page of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eosin.reporting import exploration, provenance
from eosin.reporting.balance import balance_table, balance_words
from eosin.reporting.exposure import caution, has_units, threshold_text, units, verdict
from eosin.reporting.figures.calibration import histogram_figure, reliability_figure
from eosin.reporting.figures.comparison import Series, interval_figure
from eosin.reporting.figures.confusion import confusion_figure
from eosin.reporting.figures.exploration import distribution_figure
from eosin.reporting.figures.learning import learning_figures
from eosin.reporting.figures.ranking import precision_recall_figure, roc_figure
from eosin.reporting.figures.style import Picture
from eosin.reporting.formatting import listing, times
from eosin.reporting.gathering import Run, gather
from eosin.reporting.members import members_table
from eosin.reporting.patients import patients_table
from eosin.reporting.rendering import render, write_figures, write_page
from eosin.reporting.scores import scores_of
from eosin.reporting.staining import stain_table
from eosin.reporting.tables import (
    CLASS_METRICS,
    PART_METRICS,
    Table,
    block_table,
    headline_table,
)
from eosin.reporting.tiles import colour_words, tiles

#: Heading of the metrics at thresholds of which there are as many as folds.
_FOLDS_THRESHOLDS = "At each fold's locked threshold"
#: What a split is called in running text.
_SPLIT_NAMES = {
    "test": "test images",
    "oof": "held-out images of all folds",
    "external": "outside images",
}


def write_report(run: Path) -> Path:
    """Write a run's figures and its self-contained HTML page, from the run folder alone.

    Args:
        run: The run folder; only its ``metrics.json`` must be there.

    Returns:
        The page, ``RUN/report.html``.

    Raises:
        ArtifactError: The folder is missing, is no finished run, or a file in it is damaged.
        OutputError: The page cannot be written.
    """
    gathered = gather(Path(run))
    figures = _figures(gathered)
    html = render("run.html.j2", **_context(gathered, figures))
    write_figures(gathered.folder.figures, [f for group in figures.values() for f in group])
    return write_page(gathered.folder.report, html)


def _figures(run: Run) -> dict[str, list[Picture]]:
    """Draw the figures, by the section that they stand in."""
    judged = run.judged
    headline = interval_figure(
        [Series("Image", judged.image)],
        name="headline",
        caption=f"Metrics of the {split_name(run)} with their 95 % intervals.",
    )
    counts = exploration.label_counts(run)
    histories = [fold.history for fold in run.folds if fold.history is not None]
    if run.history is not None:
        histories = [run.history]
    return {
        "headline": _present(headline),
        "distribution": (
            [distribution_figure(counts, exploration.label_order(run))] if counts else []
        ),
        "learning": learning_figures(histories) if histories else [],
        "judging": _judging_figures(run),
    }


def _judging_figures(run: Run) -> list[Picture]:
    scores, judged = scores_of(run), run.judged
    found = [confusion_figure(judged.confusion)] if judged.confusion.labels else []
    if scores is None:
        return found
    curves = _present(roc_figure(scores, judged), precision_recall_figure(scores, judged))
    return [*found, *curves, reliability_figure(scores, judged), histogram_figure(scores, judged)]


def _present(*pictures: Picture | None) -> list[Picture]:
    return [picture for picture in pictures if picture is not None]


def split_name(run: Run) -> str:
    """Return what the judged split is called in running text."""
    return _SPLIT_NAMES.get(run.split, f"images of the split “{run.split}”")


def _context(run: Run, figures: dict[str, list[Picture]]) -> dict[str, Any]:
    patients, n_left_out = patients_table(run)
    part_tables = _part_tables(run)
    return {
        "run": run,
        "figures": figures,
        "verdict": verdict(run),
        "caution": caution(run),
        "units": units(run),
        "has_units": has_units(run),
        "has_patients": run.judged.n_patients is not None,
        "split_name": split_name(run),
        "threshold": threshold_text(run),
        "members_table": members_table(run),
        "headline_tables": _headline_tables(run),
        "other_tables": _other_tables(run),
        "availability": exploration.availability(run),
        "label_table": exploration.label_table(run),
        "magnification_table": exploration.magnification_table(run),
        "skipped_table": exploration.skipped_table(run),
        "stain_table": stain_table(run),
        "colours": colour_words(run),
        "examples": tiles(run, "example"),
        "before": tiles(run, "before"),
        "augmented": tiles(run, "augmented"),
        "mistakes": tiles(run, "mistake"),
        "split_words": exploration.split_words(run),
        "split_table": exploration.split_table(run),
        "balance_words": balance_words(run),
        "balance_table": balance_table(run),
        "groups": exploration.groups_by_part(run),
        "audit_words": provenance.audit_words(run),
        "findings": provenance.findings(run),
        "folds_table": provenance.folds_table(run),
        "part_tables": part_tables,
        "parts_title": f"By {listing(table.columns[0].lower() for table in part_tables)}",
        "patients_table": patients,
        "n_patients_left_out": n_left_out,
        "dataset_facts": provenance.dataset_facts(run),
        "model_facts": provenance.model_facts(run),
        "environment_facts": provenance.environment_facts(run),
        "commands": provenance.rerun_commands(run),
    }


def _headline_tables(run: Run) -> list[Table]:
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
    tables = [headline_table(caption + kind, blocks)]
    if any(metric.value is not None for metric in judged.patient.values()):
        tables.append(headline_table("The same by patient.", {"By patient": judged.patient}))
    return tables


def _other_tables(run: Run) -> list[Table]:
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


def _part_tables(run: Run) -> list[Table]:
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
    ]
    return [table for table in tables if table is not None]
