"""HTML page of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from eosin.core.text import listing
from eosin.reporting.card import save_card
from eosin.reporting.description import description, title
from eosin.reporting.rendering import render, write_figures, write_page
from eosin.reporting.sections import calibration, decisions, exploration, provenance
from eosin.reporting.sections import decisions as abstention
from eosin.reporting.sections.calibration import histogram_figure, reliability_figure
from eosin.reporting.sections.decisions import decision_curve_figure
from eosin.reporting.sections.drift import drift_figures, drift_table, drift_words
from eosin.reporting.sections.exploration import distribution_figure
from eosin.reporting.sections.intervals import Series, interval_figure
from eosin.reporting.sections.provenance import stain_table
from eosin.reporting.sections.ranking import precision_recall_figure, roc_figure
from eosin.reporting.sections.results import (
    confusion_figure,
    headline_tables,
    members_table,
    other_tables,
    part_tables,
    patients_table,
    scores_of,
)
from eosin.reporting.sections.training import balance_table, balance_words, learning_figures
from eosin.reporting.style import RenderedFigure
from eosin.reporting.thumbnails import colour_words, tiles
from eosin.reporting.train_test_overlap import (
    caution,
    has_units,
    split_name,
    threshold_text,
    units,
    verdict,
)
from eosin.runs.finished import FinishedRun, read_run

T = TypeVar("T")


def write_report(run: Path) -> Path:
    """Write a run's figures, page ``report.html`` and model card, from the run folder alone.

    Of the run folder only ``metrics.json`` is required.

    Raises:
        ArtifactError: The folder is missing, is no finished run, or holds a damaged file.
        OutputError: The page cannot be written.
    """
    gathered = read_run(Path(run))
    figures = _figures(gathered)
    html = render("run.html.j2", **_context(gathered, figures))
    write_figures(gathered.folder.figures, [f for group in figures.values() for f in group])
    save_card(gathered)
    return write_page(gathered.folder.report, html)


def _figures(run: FinishedRun) -> dict[str, list[RenderedFigure]]:
    """Draw the figures, by section."""
    evaluated = run.evaluated
    headline = interval_figure(
        [Series("Image", evaluated.image)],
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
        "drift": drift_figures(run),
        **_evaluation_figures(run),
    }


def _evaluation_figures(run: FinishedRun) -> dict[str, list[RenderedFigure]]:
    scores, evaluated = scores_of(run), run.evaluated
    confusion = [confusion_figure(evaluated.confusion)] if evaluated.confusion.labels else []
    curve = _present(decision_curve_figure(evaluated))
    if scores is None:
        return {"judging": confusion, "calibration": [], "decisions": curve}
    curves = _present(roc_figure(scores, evaluated), precision_recall_figure(scores, evaluated))
    reliability, histogram = (
        reliability_figure(scores, evaluated),
        histogram_figure(scores, evaluated),
    )
    # The histogram of scores is shown beside the threshold, if there is one.
    is_cut = bool(decisions.threshold_words(run))
    return {
        "judging": [*confusion, *curves],
        "calibration": [reliability] if is_cut else [reliability, histogram],
        "decisions": [histogram, *curve] if is_cut else curve,
    }


def _present(*found: T | None) -> list[T]:
    return [one for one in found if one is not None]


def _context(run: FinishedRun, figures: dict[str, list[RenderedFigure]]) -> dict[str, Any]:
    patients, n_left_out = patients_table(run)
    by_part = part_tables(run)
    return {
        "run": run,
        "figures": figures,
        "title": title(run),
        "description": description(run),
        "verdict": verdict(run),
        "caution": caution(run),
        "unchecked": run.audit.unchecked if run.audit else "",
        "units": units(run),
        "has_units": has_units(run),
        "has_patients": run.evaluated.n_patients is not None,
        "split_name": split_name(run),
        "threshold": threshold_text(run),
        "members_table": members_table(run),
        "headline_tables": headline_tables(run),
        "other_tables": other_tables(run),
        "drift_words": drift_words(run),
        "drift_table": drift_table(run),
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
        "calibration_words": calibration.calibration_words(run),
        "calibration_table": calibration.calibration_table(run),
        "bins_table": calibration.bins_table(run),
        "threshold_words": decisions.threshold_words(run),
        "decisions_table": decisions.decisions_table(run),
        "prevalence_words": decisions.prevalence_words(run),
        "abstention_words": abstention.abstention_words(run),
        "abstention_tables": _present(abstention.coverage_table(run), abstention.kept_table(run)),
        "part_tables": by_part,
        "parts_title": f"By {listing(table.columns[0].lower() for table in by_part)}",
        "patients_table": patients,
        "n_patients_left_out": n_left_out,
        "dataset_facts": provenance.dataset_facts(run),
        "model_facts": provenance.model_facts(run),
        "environment_facts": provenance.environment_facts(run),
        "commands": provenance.rerun_commands(run),
    }
