"""Result: metrics of the evaluated split with their intervals, and the chart of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from eosin.artifacts.metrics import Metric, MetricBlock, SplitMetrics
from eosin.artifacts.model import EnsembleMember
from eosin.core.text import count, listing, quantity
from eosin.metrics.catalogue import HEADLINE, LOWER_IS_BETTER, METRICS
from eosin.reporting.formatting import ABSENT, metric_label, metric_text, number
from eosin.reporting.outline import (
    Cell,
    Figures,
    Footnotes,
    Pair,
    RenderedFigure,
    Section,
    Table,
    Text,
    headline_table,
)
from eosin.reporting.style import COLOURS, INK, MARKERS, house_style, new_figure, render_figure
from eosin.reporting.train_test_overlap import (
    caution,
    has_units,
    leading_metric,
    leading_name,
    split_name,
    threshold_text,
    unit_name,
    units,
)
from eosin.runs.finished import FinishedRun

#: Heading of metrics at thresholds that differ between folds.
_FOLDS_THRESHOLDS = "At each fold's tuned threshold"
#: Metrics that compare ensemble members.
_OF_MEMBERS = HEADLINE[:3]
_ALONE = (
    "no patient or group is known, so each image stands for itself: where images share one, "
    "intervals are too narrow"
)


def section(run: FinishedRun) -> Section:
    """Return the section of the page."""
    chart = interval_figure(
        [Series("Image", run.evaluated.image)],
        name="headline",
        caption=f"Metrics of the {split_name(run)} with their 95 % intervals.",
    )
    head, limits = caution(run) or ("", "")
    tables = headline_tables(run)
    return Section(
        "Result",
        Text(limits, look="caution", head=head),
        Figures([chart] if chart else []),
        members_table(run),
        *tables,
        Text(_remarks(run, any(table.has_gaps for table in tables)), look="small"),
        Section("The same for the other splits of this run", *other_tables(run), fold="closed"),
    )


def _remarks(run: FinishedRun, has_gaps: bool) -> str:
    threshold = threshold_text(run)
    found = (
        f"Tuned threshold: {threshold}." if threshold else "",
        "Intervals come from resampling whole groups, since images of one group are not"
        " independent."
        if has_units(run)
        else "Intervals come from resampling images one by one.",
        ""
        if run.evaluated.n_patients is not None
        else "Nothing is told by patient, since not every image has one.",
        "“—”: not measured there." if has_gaps else "",
    )
    return " ".join(filter(None, found))


def brief(run: FinishedRun) -> Section:
    """Return the section of the card."""
    return Section("Performance", *headline_tables(run))


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    evaluated, lead = run.evaluated, leading_metric(run.evaluated.image)
    blocks = {
        "magnification": evaluated.by_magnification,
        "site": evaluated.by_site,
        "subtype": evaluated.by_subtype,
    }
    names = [
        metric_label(key, short=True) for key, m in evaluated.image.items() if m.value is not None
    ]
    groups, n_sites = quantity(evaluated.n_groups, unit_name(run)), len(evaluated.by_site)
    resampled = f"95 % bootstrap intervals from resampling {groups}"
    return {
        "sites": f"{quantity(n_sites, 'site')} evaluated" if n_sites else "",
        "size": f"evaluated on {units(run)}" if evaluated.n_images else "",
        "clusters": listing(
            f"by {name} ({len(block)})" for name, block in blocks.items() if len(block) > 1
        ),
        "measures": ", ".join([*names, *(["decision curve"] if evaluated.decisions else [])]),
        "uncertainty": resampled if lead and lead[1].low is not None else "",
        "headline": f"{leading_name(lead[0], run)} {metric_text(lead[1])}" if lead else "",
    }


def headline_facts(split: SplitMetrics) -> list[Pair]:
    """Return the main metrics for the terminal."""
    return [(name, format_metric(split.image[name])) for name in HEADLINE]


def support_facts(split: SplitMetrics) -> list[Pair]:
    """Return the support of intervals, and once each reason for a missing one."""
    shown = [split.image[metric] for metric in HEADLINE]
    if split.threshold.target_recall is not None:
        shown += [split.at_threshold[metric] for metric in ("recall", "specificity")]
    known = [metric for metric in shown if metric.value is not None and metric.reason]
    support = [str(metric.reason) for metric in known if metric.low is not None][:1]
    lacks = dict.fromkeys(str(metric.reason) for metric in known if metric.low is None)
    facts = [("rests on", reason) for reason in support]
    facts += [("no interval", reason) for reason in lacks]
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
    shown = [
        # The reasons for a missing interval are given with the ensemble's own.
        (
            m.run,
            [format_metric(m.metrics[name]).partition(" (no")[0] for name in ("auc", "accuracy")],
        )
        for m in members
    ]
    width = max(len(name) for name, _ in shown)
    return [f"  {name:<{width}}  alone: auc {auc}, accuracy {acc}" for name, (auc, acc) in shown]


def headline_tables(run: FinishedRun) -> list[Table]:
    """Build the metric tables of the evaluated split: by image, and by patient if known."""
    evaluated = run.evaluated
    blocks = {"Most probable class": evaluated.image}
    if threshold_text(run):
        value = evaluated.threshold.value
        at = f"At the tuned threshold {number(value)}" if value is not None else _FOLDS_THRESHOLDS
        blocks[at] = evaluated.at_threshold
    caption = f"Metrics of {units(run)} with 95 % intervals"
    kind = (
        f"; positive class: {evaluated.positive}."
        if evaluated.positive is not None
        else "; means over the classes, one against the rest."
    )
    votes = votes_table(run)
    return [headline_table(caption + kind, blocks), *([votes] if votes else [])]


def other_tables(run: FinishedRun) -> list[Table]:
    """Build a metric table for each other split of the run."""
    at = "At the tuned threshold"
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


def votes_table(run: FinishedRun) -> Table | None:
    """Build the table of metrics by patient; ``None`` if there are none.

    A vote is right or wrong for a whole patient: Wilson's interval, which needs no resampling,
    stands beside the clustered one.
    """
    blocks, notes = run.evaluated.patient, Footnotes()
    if all(metric.value is None for metric in blocks.values()):
        return None
    has_wilson = any(metric.wilson for metric in blocks.values())
    rows = []
    for name, metric in blocks.items():
        n = metric.n if metric.n is not None else run.evaluated.n_patients
        shown = [Cell(count(n) if n is not None and metric.value is not None else ABSENT)]
        shown.append(notes.cell(metric))
        if has_wilson:
            shown.append(Cell("–".join(map(number, metric.wilson)) if metric.wilson else ABSENT))
        rows.append((Cell(metric_label(name)), *shown))
    wilson = ("Wilson's interval",) if has_wilson else ()
    columns = ("Metric", "Patients", "Value with 95 % interval", *wilson)
    return Table("The same by patient.", columns, tuple(rows), notes.notes)


def members_of(run: FinishedRun) -> list[EnsembleMember]:
    """Return the members of an ensemble of finished runs; empty for any other run."""
    return run.model.members if run.model else []


def members_table(run: FinishedRun) -> Table | None:
    """Build the table of members beside the ensemble; ``None`` if the run is no ensemble."""
    members, notes = members_of(run), Footnotes()
    if not members:
        return None
    rows = [
        (
            Cell(member.run),
            Cell(member_network(member)),
            Cell(f"{member.input_px[0]} px"),
            Cell(count(member.params)),
            *(notes.cell(member.metrics.get(name)) for name in _OF_MEMBERS),
        )
        for member in members
    ]
    mean = Cell("Their mean"), Cell("ensemble"), Cell(f"{max(m.input_px[0] for m in members)} px")
    weights = Cell(count(sum(member.params for member in members)))
    rows.append(
        (*mean, weights, *(notes.cell(run.evaluated.image.get(name)) for name in _OF_MEMBERS))
    )
    names = [metric_label(name, short=True) for name in _OF_MEMBERS]
    columns = ("Run", "Network", "Input", "Weights", *names)
    caption = "The members and the mean of their probabilities, evaluated on the same images."
    return Table(caption, columns, tuple(rows), notes.notes, frozenset({0, 1}), "many")


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

    ``only`` selects and orders the metrics; ``title`` is for a figure that stands alone.
    """
    names = [
        metric
        for metric in (only or list(series[0].metrics))
        if any(_value(entry, metric) is not None for entry in series)
    ]
    if not names:
        return None
    with house_style():
        height = 0.34 * len(names) * max(1.0, 0.72 * len(series)) + 0.9
        figure, axes = new_figure(5.4, height + 0.35 * bool(title) + 0.25 * (len(series) > 1))
        for order, entry in enumerate(series):
            _draw(axes, entry, names, order, len(series))
        start = _axis_start(series, names)
        _frame(axes, names, title, start, several=len(series) > 1)
        return render_figure(figure, name, alt=_alt(series, names, title), caption=caption)


def _value(entry: Series, name: str) -> float | None:
    metric = entry.metrics.get(name)
    return metric.value if metric else None


def _draw(axes: Axes, entry: Series, names: list[str], order: int, n_series: int) -> None:
    offset = (order - (n_series - 1) / 2) * 0.36
    labelled = False
    for row, name in enumerate(names):
        metric = entry.metrics.get(name)
        if metric is None or metric.value is None:
            continue
        y = row + offset
        if metric.low is not None and metric.high is not None:
            axes.plot((metric.low, metric.high), (y, y), color=COLOURS[order], linewidth=2.2)
        axes.plot(
            metric.value,
            y,
            marker=MARKERS[order],
            color=COLOURS[order],
            markeredgecolor="white",
            markersize=8.5,
            linestyle="",
            label=None if labelled else entry.label,
            zorder=4,
            clip_on=False,
        )
        labelled = True
        _print_beside(axes, metric, y)


def _print_beside(axes: Axes, metric: Metric, y: float) -> None:
    # A column of numbers at the right edge never meets a dot or another number.
    axes.annotate(
        metric_text(metric),
        (1.0, y),
        xycoords=axes.get_yaxis_transform(),
        xytext=(10, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=INK,
        annotation_clip=False,
    )


def _axis_start(series: Sequence[Series], names: list[str]) -> float:
    """Return the start of the axis: dots, unlike bars, need no zero; some metrics go below it."""
    metrics = [entry.metrics[name] for entry in series for name in names if name in entry.metrics]
    ends = [end for metric in metrics for end in (metric.value, metric.low) if end is not None]
    least = min(METRICS[name].least for name in names)
    return max(least, math.floor(10 * min(ends)) / 10 - 0.1)


def _frame(axes: Axes, names: list[str], title: str, start: float, *, several: bool) -> None:
    labels = [metric_label(name, short=True) for name in names]
    labels = [
        f"{label} ↓" if name in LOWER_IS_BETTER else label
        for name, label in zip(names, labels, strict=True)
    ]
    axes.set_yticks(range(len(names)), labels)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.set_xlim(start - 0.015 * (1 - start), 1 + 0.015 * (1 - start))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Value with 95 % interval" + _arrow(names))
    if several:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderpad=0, handlelength=1.2
        )
    if title:
        axes.set_title(title, pad=30 if several else 10)


def _arrow(names: list[str]) -> str:
    return "  (↓ lower is better)" if LOWER_IS_BETTER & set(names) else ""


def _alt(series: Sequence[Series], names: list[str], title: str) -> str:
    rows = [
        f"{metric_label(name, short=True)}: "
        + ", ".join(
            f"{entry.label} {metric_text(entry.metrics.get(name))}"
            if len(series) > 1
            else metric_text(entry.metrics.get(name))
            for entry in series
        )
        for name in names
    ]
    head = f"{title}. " if title else ""
    return f"{head}Dots with 95 % intervals. {'; '.join(rows)}."
