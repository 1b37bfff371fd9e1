"""Result of a run on one screen: key figures, confusion matrix, ROC curve, confident errors."""

from __future__ import annotations

import pandas as pd

from eosin.artifacts.metrics import Confusion
from eosin.core.text import listing
from eosin.reporting.formatting import capitalised, metric_label
from eosin.reporting.outline import Facts, Figures, RenderedFigure, Section, Text
from eosin.reporting.sections import curves, drift, errors, results
from eosin.reporting.sections.confusion import confusion_figure
from eosin.reporting.train_test_overlap import caution, decided_at
from eosin.runs.finished import FinishedRun


def section(run: FinishedRun) -> Section:
    """Return the first section of the page."""
    head, limits = caution(run) or ("", "")
    figures = Figures(_confusion_figure(run), curves.roc_figure(run))
    key = Facts(results.key_figures(run), look="cards")
    return Section(
        "Result",
        Text(limits, look="caution", head=head),
        drift.warning(run),
        Section("", key, figures, look="overview"),
        Text(_decided_words(run), look="small"),
        Text(results.intervals_words(run), look="small"),
        errors.worst(run),
    )


def _confusion_figure(run: FinishedRun) -> RenderedFigure | None:
    """Draw the confusion matrix of the decisions; ``None`` where they cannot be counted."""
    confusion, at = run.evaluated.confusion, decided_at(run)
    if at:
        confusion = _count_decisions(run)
    return (
        confusion_figure({"Confusion matrix": confusion}, decided_at=at)
        if confusion.labels
        else None
    )


def _decided_words(run: FinishedRun) -> str:
    """Describe the decisions of the first screen; empty where they are the most probable class."""
    at = decided_at(run)
    if not at:
        return ""
    names = [
        name.lower()
        for name, _ in results.key_figures(run)
        if name != metric_label("auc", short=True)
    ]
    shown = capitalised(listing([*names, "confusion matrix", "errors"]))
    return f"{shown} are those of the decisions {at}."


def _count_decisions(run: FinishedRun) -> Confusion:
    """Return the counts of the decisions at the tuned threshold; empty without predictions."""
    frame = errors.with_decisions(run)
    if frame is None:
        return Confusion(labels=[], matrix=[])
    names = list(run.class_names)
    counts = pd.crosstab(frame["label"], frame["decision"]).reindex(
        index=names, columns=names, fill_value=0
    )
    return Confusion(labels=names, matrix=counts.to_numpy().tolist())
