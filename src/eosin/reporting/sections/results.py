"""Result: metrics of the evaluated split with their intervals, and the chart of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from eosin.artifacts.layout import OUT_OF_FOLD, TEST_BY_FOLD
from eosin.artifacts.metrics import Metric, MetricBlock, SplitMetrics
from eosin.artifacts.model import EnsembleMember
from eosin.core.text import listing, quantity
from eosin.data.external import EXTERNAL
from eosin.metrics.catalogue import (
    HEADLINE,
    LOWER_IS_BETTER,
    MAIN_METRICS,
    METRIC_NAMES,
    METRICS,
)
from eosin.reporting import train_test_overlap as overlap
from eosin.reporting.formatting import (
    capitalised,
    coverage,
    exception,
    metric_label,
    metric_text,
    number,
    plain_reason,
)
from eosin.reporting.outline import (
    Figures,
    Pair,
    RenderedFigure,
    Section,
    Table,
    Text,
    headline_table,
    make_table,
)
from eosin.reporting.sections.confusion import confusion_figure
from eosin.reporting.style import COLOURS, INK, MARKERS, drawing, render_figure
from eosin.reporting.train_test_overlap import threshold_text, units
from eosin.runs.finished import FinishedRun

#: Heading of metrics of the most probable class.
_ARGMAX = "Most probable class"
#: Metrics of the first screen, without and with a positive class.
_KEY = (
    ("auc", "accuracy", "balanced_accuracy", "f1_macro"),
    ("auc", "accuracy", "recall", "specificity"),
)
#: Metrics that compare ensemble members.
_OF_MEMBERS = HEADLINE[:3]
_ALONE = (
    "no patient or group is known, so every image counts as its own: where images share a patient, "
    "intervals are too narrow"
)


def section(run: FinishedRun) -> Section:
    """Return the section of all metrics."""
    tables = _headline_tables(run)
    return Section(
        "All metrics",
        members_table(run),
        _rounds_table(run),
        *tables,
        _argmax_figures(run),
        Text(_remarks(run), look="small"),
        Section("Other splits of this run", *_other_tables(run), fold="closed"),
    )


def key_figures(run: FinishedRun) -> list[Pair]:
    """Return the three or four figures of the first screen, with their intervals."""
    evaluated = run.evaluated
    shown = [(name, evaluated.decided.get(name)) for name in _KEY[evaluated.positive is not None]]
    labels = {name: metric_label(name, short=True) for name, _ in shown}
    if evaluated.positive is None:
        labels["auc"] = "Macro AUC"
    return [
        (labels[name], metric_text(metric))
        for name, metric in shown
        if metric is not None and metric.value is not None
    ]


def intervals_words(run: FinishedRun) -> str:
    """Describe the intervals, once for the page: how they are made and how well they cover."""
    unit = overlap.unit_name(run)
    n_units = quantity(run.evaluated.n_groups, unit)
    words = f"In parentheses: 95 % confidence intervals, from resampling {n_units}."
    metrics = [metric for metric in run.evaluated.image.values() if metric.low is not None]
    usual = [metric.reason for metric in metrics if not exception(metric.reason)]
    covered = sorted({found for reason in usual if (found := coverage(reason)) is not None})
    if covered:
        span = " to ".join(f"{end} %" for end in dict.fromkeys((covered[0], covered[-1])))
        words += (
            f" In simulations with as few {unit}s, such intervals contained the true value {span}"
            " of the time."
        )
    marked = any(exception(metric.reason) for metric in run.evaluated.image.values())
    return words + (" Letters in tables mark exceptions, listed at the end." if marked else "")


def _remarks(run: FinishedRun) -> str:
    threshold, found = threshold_text(run), []
    if threshold:
        found.append(f"Tuned threshold: {threshold}.")
    if run.evaluated.n_patients is None:
        found.append("No metrics by patient: the patient of some images is unknown.")
    return " ".join(found)


def brief(run: FinishedRun) -> Section:
    """Return the section of the card."""
    words = intervals_words(run) if run.evaluated.n_images else ""
    return Section("Performance", *_headline_tables(run), Text(words, look="small"))


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    evaluated, lead = run.evaluated, overlap.leading_metric(run)
    blocks: dict[str, Mapping[str, object]] = {
        "magnification": evaluated.by_magnification,
        "site": evaluated.by_site,
        "subtype": evaluated.by_subtype,
    }
    names = [
        metric_label(key, short=True)
        for key, metric in evaluated.image.items()
        if metric.value is not None and key in MAIN_METRICS
    ]
    groups, n_sites = quantity(evaluated.n_groups, overlap.unit_name(run)), len(evaluated.by_site)
    resampled = f"95 % bootstrap intervals from resampling {groups}"
    internal = "" if run.split == EXTERNAL else f"split “{run.split}”: {units(run)}"
    if run.split == OUT_OF_FOLD:
        internal = f"out-of-fold predictions: {units(run)}"
    return {
        "internal": internal if evaluated.n_images else "",
        "sites": f"{quantity(n_sites, 'site')} evaluated" if n_sites else "",
        "size": f"evaluated on {units(run)}" if evaluated.n_images else "",
        "clusters": listing(
            f"by {name} ({len(block)})" for name, block in blocks.items() if len(block) > 1
        ),
        "measures": ", ".join([*names, *(["decision curve"] if evaluated.decisions else [])]),
        "uncertainty": resampled if lead and lead[1].low is not None else "",
        "headline": f"{overlap.leading_name(lead[0], run)} {metric_text(lead[1])}" if lead else "",
    }


def headline_facts(split: SplitMetrics) -> list[Pair]:
    """Return the main metrics for the terminal."""
    names = (*HEADLINE, *(name for name in split.image if name not in METRIC_NAMES))
    return [(name, format_metric(split.decided[name])) for name in names]


def support_facts(split: SplitMetrics) -> list[Pair]:
    """Return the support of intervals, and once each reason for a missing one."""
    shown = [split.decided[metric] for metric in HEADLINE]
    known = [metric for metric in shown if metric.value is not None and metric.reason]
    support = [str(metric.reason) for metric in known if metric.low is not None][:1]
    lacks = dict.fromkeys(str(metric.reason) for metric in known if metric.low is None)
    facts = [("note", plain_reason(reason, split.unit)) for reason in support]
    facts += [("no interval", plain_reason(reason, split.unit)) for reason in lacks]
    if split.n_patients is None and split.n_groups == split.n_images:
        facts.append(("caution", _ALONE))
    return facts


def format_metric(metric: Metric) -> str:
    """Format ``0.834 (0.701–0.942)``, or the reason for a missing value."""
    if metric.value is None:
        return f"undefined ({metric.reason})"
    return metric_text(metric) + (" (no interval)" if metric.low is None else "")


def format_members(members: Iterable[EnsembleMember]) -> list[str]:
    """Return the metrics of each ensemble member on the same images, one line each."""
    # The reasons for a missing interval are given with the ensemble's own.
    shown = {
        one.run: [
            format_metric(one.metrics[name]).partition(" (no")[0] for name in ("auc", "accuracy")
        ]
        for one in members
    }
    width = max(map(len, shown))
    return [
        f"  {run:<{width}}  alone: auc {auc}, accuracy {acc}" for run, (auc, acc) in shown.items()
    ]


def _headline_tables(run: FinishedRun) -> list[Table | None]:
    """Build the metric tables of the evaluated split: by image, and by patient if known."""
    evaluated = run.evaluated
    blocks = {_ARGMAX: evaluated.image}
    if at := overlap.decided_at(run):
        blocks[capitalised(at)] = evaluated.at_threshold
    kind = "means over the classes, each against the rest"
    if evaluated.positive is not None:
        kind = f"positive class: {evaluated.positive}"
    caption = f"Metrics on {units(run)}; {kind}."
    return [headline_table(caption, blocks, name="metrics"), _votes_table(run)]


def _argmax_figures(run: FinishedRun) -> Figures | None:
    """Draw the confusion matrix of the most probable class, where the first screen has another."""
    confusion = run.evaluated.confusion
    if not confusion.labels or not overlap.decided_at(run):
        return None
    return Figures(confusion_figure({"Most probable class": confusion}, "confusion_argmax"))


def _other_tables(run: FinishedRun) -> list[Table | None]:
    tables = []
    for name, split in run.metrics.items():
        blocks = {_ARGMAX: split.image}
        if threshold_text(run):
            blocks["At the tuned threshold"] = split.at_threshold
        by = " (each fold's network by itself)" if name == TEST_BY_FOLD else ""
        groups = quantity(split.n_groups, "patient" if split.n_patients else "group")
        caption = f"Split “{name}”{by}: {quantity(split.n_images, 'image')} of {groups}."
        if name != run.split:
            tables.append(headline_table(caption, blocks, name=f"metrics_{name}"))
    return tables


def _rounds_table(run: FinishedRun) -> Table | None:
    """Build the table of single networks on a test subset beside the folds; None without one."""
    frame = run.predictions_of(TEST_BY_FOLD) if TEST_BY_FOLD in run.metrics else None
    if frame is None:
        return None
    right = frame["predicted"] == frame["label"]
    networks = right.groupby([frame["repeat"], frame["fold"]]).mean()
    rounds = [(int(repeat) + 1, own) for repeat, own in networks.groupby(level="repeat")]
    shown = [(str(repeat), own) for repeat, own in sorted(rounds)]
    shown += [("All", networks)] if len(shown) > 1 else []
    return make_table(
        "Accuracy of each fold's network on the test images.",
        ("Repeat", "Networks", "Mean", "Lowest", "Highest"),
        [(name, len(own), *map(number, (own.mean(), own.min(), own.max()))) for name, own in shown],
        name="networks_of_folds",
    )


def _votes_table(run: FinishedRun) -> Table | None:
    """Build the table of metrics by patient; ``None`` if there are none.

    A vote is right or wrong for a whole patient: Wilson's interval, which needs no resampling, is
    shown beside the clustered one.
    """
    block = {k: metric for k, metric in run.evaluated.patient.items() if metric.value is not None}
    if not block:
        return None
    rows: list[list[str | int | Metric | None]] = [
        [metric_label(name), run.evaluated.n_patients if metric.n is None else metric.n, metric]
        for name, metric in block.items()
    ]
    columns = ["Metric", "Patients", "Value"]
    if any(metric.wilson for metric in block.values()):
        columns.append("Wilson's interval")
        for row, metric in zip(rows, block.values(), strict=True):
            row.append("–".join(map(number, metric.wilson)) if metric.wilson else None)
    return make_table("Metrics by patient.", columns, rows, name="metrics_by_patient")


def members_of(run: FinishedRun) -> list[EnsembleMember]:
    """Return the members of an ensemble of finished runs; empty for any other run."""
    return run.model.members if run.model else []


def members_table(run: FinishedRun) -> Table | None:
    """Build the table of members beside the ensemble; ``None`` if the run is no ensemble."""
    members, image = members_of(run), run.evaluated.image
    if not members:
        return None
    rows = [
        (one.run, member_network(one), one.input_px[0], one.params, one.metrics) for one in members
    ]
    largest, weights = max(row[2] for row in rows), sum(row[3] for row in rows)
    rows.append(("Ensemble", "ensemble", largest, weights, image))
    names = [metric_label(name, short=True) for name in _OF_MEMBERS]
    return make_table(
        "Members and ensemble (mean of the members' probabilities), on the same images.",
        ("Run", "Network", "Input", "Parameters", *names),
        [(*row[:2], f"{row[2]} px", row[3], *map(row[4].get, _OF_MEMBERS)) for row in rows],
        texts=(0, 1),
        look="many",
        name="members",
    )


def member_network(member: EnsembleMember) -> str:
    """Return the name of a member's network; cross-validation is several of a kind."""
    if member.architecture == "ensemble":
        return f"{member.arguments['members']} × {member.arguments['architecture']}"
    return member.architecture


@dataclass(frozen=True)
class Series:
    """Metrics by name, drawn as one series."""

    label: str
    metrics: MetricBlock


def interval_figure(
    series: Sequence[Series],
    *,
    name: str,
    caption: str,
    title: str = "",
    only: Sequence[str] | None = None,
) -> RenderedFigure | None:
    """Draw a dot with its 95 % interval for each metric, one series below the other.

    ``only`` selects and orders the metrics, by default all but averages over classes; ``title``
    is for a figure that stands alone.
    """
    measured = {
        key for entry in series for key, metric in entry.metrics.items() if metric.value is not None
    }
    names = [key for key in (only or MAIN_METRICS) if key in measured]
    if not names:
        return None
    height = 0.34 * len(names) * max(1.0, 0.72 * len(series)) + 0.9
    height += 0.35 * bool(title) + 0.25 * (len(series) > 1)
    with drawing(5.4, height) as (figure, axes):
        for order, entry in enumerate(series):
            _draw(axes, entry, names, order, len(series))
        start = _axis_start(series, names)
        _frame(axes, names, title, start, several=len(series) > 1)
        return render_figure(figure, name, alt=_alt(series, names, title), caption=caption)


def _draw(axes: Axes, entry: Series, names: list[str], order: int, n_series: int) -> None:
    offset, labels = (order - (n_series - 1) / 2) * 0.36, [entry.label]
    look = {"color": COLOURS[order], "marker": MARKERS[order], "markeredgecolor": "white"}
    for row, name in enumerate(names):
        metric = entry.metrics.get(name)
        if metric is None or metric.value is None:
            continue
        y = row + offset
        if metric.low is not None and metric.high is not None:
            axes.plot((metric.low, metric.high), (y, y), color=COLOURS[order], linewidth=2.2)
        dot: dict[str, Any] = {**look, "label": labels.pop() if labels else None}
        axes.plot(metric.value, y, markersize=8.5, linestyle="", zorder=4, clip_on=False, **dot)
        # A column of numbers at the right edge never meets a dot or another number.
        place: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "xytext": (10, 0)}
        place |= {"textcoords": "offset points", "annotation_clip": False}
        axes.annotate(metric_text(metric), (1.0, y), va="center", fontsize=9, color=INK, **place)


def _axis_start(series: Sequence[Series], names: list[str]) -> float:
    """Return the start of the axis: dots, unlike bars, need no zero; some metrics go below it."""
    metrics = [entry.metrics[name] for entry in series for name in names if name in entry.metrics]
    ends = [end for metric in metrics for end in (metric.value, metric.low) if end is not None]
    least = min(METRICS[name].least for name in names)
    return max(least, math.floor(10 * min(ends)) / 10 - 0.1)


def _frame(axes: Axes, names: list[str], title: str, start: float, *, several: bool) -> None:
    labels = [
        metric_label(name, short=True) + (" ↓" if name in LOWER_IS_BETTER else "") for name in names
    ]
    axes.set_yticks(range(len(names)), labels)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(start - 0.015 * (1 - start), 1 + 0.015 * (1 - start))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    arrow = "  (↓ lower is better)" if LOWER_IS_BETTER & set(names) else ""
    axes.set_xlabel("Value with 95 % interval" + arrow)
    if several:
        corner: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0)}
        axes.legend(**corner, ncols=2, borderpad=0, handlelength=1.2)
    if title:
        axes.set_title(title, pad=30 if several else 10)


def _alt(series: Sequence[Series], names: list[str], title: str) -> str:
    def value(entry: Series, name: str) -> str:
        text = metric_text(entry.metrics.get(name))
        return f"{entry.label} {text}" if len(series) > 1 else text

    rows = (
        f"{metric_label(name, short=True)}: {', '.join(value(entry, name) for entry in series)}"
        for name in names
    )
    head = f"{title}. " if title else ""
    return f"{head}Dots with 95 % intervals. {'; '.join(rows)}."
