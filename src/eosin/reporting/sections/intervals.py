"""Dot-and-interval charts of one run's metrics, or of one model under two splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from eosin.artifacts.metrics import Metric, MetricBlock
from eosin.metrics.catalogue import LOWER_IS_BETTER, METRICS
from eosin.reporting.formatting import metric_label, metric_text
from eosin.reporting.style import (
    COLOURS,
    INK,
    MARKERS,
    RenderedFigure,
    house_style,
    new_figure,
    render_figure,
)


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
