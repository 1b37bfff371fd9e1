"""Result of a run on one screen: key figures, confusion matrix, ROC curve, confident errors."""

from __future__ import annotations

from eosin.reporting.outline import Facts, Figures, Section, Text
from eosin.reporting.sections import curves, drift, errors, results
from eosin.reporting.sections.confusion import confusion_figure
from eosin.reporting.train_test_overlap import caution
from eosin.runs.finished import FinishedRun


def section(run: FinishedRun) -> Section:
    """Return the first section of the page."""
    head, limits = caution(run) or ("", "")
    confusion = run.evaluated.confusion
    figures = Figures(
        confusion_figure({"Confusion matrix": confusion}) if confusion.labels else None,
        curves.roc_figure(run),
    )
    key = Facts(results.key_figures(run), look="cards")
    return Section(
        "Result",
        Text(limits, look="caution", head=head),
        drift.warning(run),
        Section("", key, figures, look="overview"),
        Text(results.intervals_words(run), look="small"),
        errors.worst(run),
    )
