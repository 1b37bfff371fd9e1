"""Robustness: metrics under seven changes of the images, by severity."""

from __future__ import annotations

import numpy as np

from eosin.artifacts.metrics import Metric
from eosin.artifacts.robustness import ChangedMetrics, Robustness
from eosin.core.text import listing, quantity
from eosin.reporting.formatting import capitalised, metric_label, metric_text
from eosin.reporting.outline import Figures, RenderedFigure, Section, Table, make_table
from eosin.reporting.sections.differences import difference_text
from eosin.reporting.style import house_style, look, make_figure, render_figure
from eosin.runs.finished import FinishedRun

_SHOWN = ("accuracy", "auc", "ece", "abstention_rate")


def section(run: FinishedRun) -> Section:
    """Return the section of the page; empty where robustness was not measured."""
    found = run.robustness
    if found is None:
        return Section("Robustness")
    return Section(
        "Robustness",
        _words(found),
        Figures(_figure(found)),
        _table(found, range(len(_severities(found)))),
        _settings(found),
    )


def brief(run: FinishedRun) -> Section:
    """Return the section of the card: the strongest changes alone."""
    found = run.robustness
    if found is None:
        return Section("Robustness")
    return Section("Robustness", _words(found), _table(found, [len(_severities(found)) - 1]))


def format_robustness(found: Robustness) -> list[str]:
    """Return the differences under the strongest changes for the terminal."""
    last = len(_severities(found))
    lines = [f"robustness: differences under the strongest changes (severity {last})"]
    for change in found.changes.values():
        differences = change.by_severity[-1].differences
        shown = (
            f"{metric_label(name, short=True)} {difference_text(differences[name])}"
            for name in ("accuracy", "auc")
        )
        lines.append(f"  {change.title:<20} {'   '.join(shown)}")
    return lines


def _severities(found: Robustness) -> list[ChangedMetrics]:
    return next(iter(found.changes.values())).by_severity


def _words(found: Robustness) -> str:
    n_patients = found.n_patients
    who = "" if n_patients is None else f" of {quantity(n_patients, 'patient')}"
    return (
        f"The {quantity(found.n_images, 'image')}{who} were changed in "
        f"{quantity(len(found.changes), 'way')}, each at {len(_severities(found))} severities, and "
        f"predicted again. {_worst(found)} A difference is that of the same images changed and "
        "unchanged, with a 95 % interval from resamples of whole groups; the largest of several "
        "looks larger than it is."
    )


def _worst(found: Robustness) -> str:
    """Say which strongest change costs most, and whose interval includes 0."""
    name = "auc" if found.unchanged["auc"].value is not None else "accuracy"
    last = {one.title: one.by_severity[-1].differences[name] for one in found.changes.values()}
    known = {title: one for title, one in last.items() if one.value is not None}
    if not known:
        return f"{metric_label(name)} is undefined."
    title = min(known, key=lambda title: known[title].value or 0.0)
    label = metric_label(name, short=True)
    worst = f"At the strongest severity, {title} changes the {label} most: "
    worst += f"{difference_text(known[title])}."
    kept = [title for title, one in known.items() if _holds_zero(one)]
    return f"{worst} For {listing(kept)}, the interval includes 0." if kept else worst


def _holds_zero(one: Metric) -> bool:
    return one.low is not None and one.high is not None and one.low <= 0 <= one.high


def _table(found: Robustness, severities: range | list[int]) -> Table | None:
    rows: list[list[str | int | Metric]] = []
    for change in found.changes.values():
        for place in severities:
            part = change.by_severity[place]
            rows.append(
                [
                    capitalised(change.title),
                    place + 1,
                    *(difference_text(part.differences[name]) for name in _SHOWN),
                ]
            )
    before = [metric_text(found.unchanged[name]) for name in _SHOWN]
    return make_table(
        "Changed minus unchanged images. Accuracy is that of the decisions; abstention the share "
        "of images that the model abstains on.",
        ("Change", "Severity", *(metric_label(name, short=True) for name in _SHOWN)),
        [["None", "", *before], *rows],
        look="many",
        name="robustness",
    )


def _settings(found: Robustness) -> Table | None:
    return make_table(
        "What the changes do at severities 1 to 5.",
        ("Change", "Settings"),
        [(capitalised(one.title), one.settings) for one in found.changes.values()],
        texts=(0, 1),
        name="robustness_settings",
    )


def _figure(found: Robustness) -> RenderedFigure:
    shown = [name for name in _SHOWN if found.unchanged[name].value is not None]
    with house_style():
        figure = make_figure(9.2, 3.1)
        panels = figure.subplots(1, len(shown), squeeze=False).ravel()
        for axes, name in zip(panels, shown, strict=True):
            for number, change in enumerate(found.changes.values()):
                metrics = [found.unchanged, *(part.metrics for part in change.by_severity)]
                values = [np.nan if m[name].value is None else m[name].value for m in metrics]
                axes.plot(range(len(values)), values, label=change.title, **look(number))
            axes.set_title(metric_label(name, short=True))
            axes.set_xlabel("Severity")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return render_figure(
            figure,
            "robustness",
            alt=f"Metrics by severity of each change. {_worst(found)}",
            caption="Metrics by severity; 0 is unchanged.",
        )
