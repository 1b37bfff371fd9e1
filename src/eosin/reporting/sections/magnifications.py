"""Figures by magnification: metrics, confusion matrices and ROC curves, a panel each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eosin.artifacts.metrics import PartMetrics
from eosin.metrics.catalogue import OF_MAGNIFICATIONS
from eosin.reporting.formatting import metric_label, metric_text, times
from eosin.reporting.outline import Figures, RenderedFigure, Table, make_table, own_names
from eosin.reporting.sections.confusion import confusion_figure
from eosin.reporting.sections.curves import draw_chance
from eosin.reporting.sections.data import magnification_order, sizes_by
from eosin.reporting.style import (
    COLOURS,
    HATCHES,
    INK,
    house_style,
    look,
    make_figure,
    render_figure,
    series_label,
)
from eosin.runs.finished import FinishedRun

#: Metrics of the bars, those of P2's figure 6.
_BARS = ("accuracy", "recall", "precision", "f1")
#: With more panels, or more classes, nothing can be read in them.
_MOST_PANELS, _MOST_CLASSES = 9, 8


def by_magnification(run: FinishedRun) -> dict[str, PartMetrics]:
    """Return what was measured at each magnification, by its name on the page, the lowest first."""
    parts = run.evaluated.by_magnification
    return {times(key): parts[key] for key in sorted(parts, key=magnification_order)}


def figures(run: FinishedRun) -> Figures:
    """Draw what differs between magnifications; of a single one the page has all figures."""
    parts = by_magnification(run)
    if not 1 < len(parts) <= _MOST_PANELS:
        return Figures()
    return Figures(_bars(parts), _confusions(parts), _rocs(parts))


def _bars(parts: dict[str, PartMetrics]) -> RenderedFigure:
    width = 0.8 / len(_BARS)
    with house_style():
        figure = make_figure(min(9.2, 1.6 + 1.15 * len(parts)), 3.6)
        axes = figure.add_subplot()
        for order, name in enumerate(_BARS):
            metrics = [part.metrics.get(name) for part in parts.values()]
            places = np.arange(len(parts)) + (order - (len(_BARS) - 1) / 2) * width
            known = [
                (float(place), metric.value, metric.low, metric.high)
                for place, metric in zip(places, metrics, strict=True)
                if metric is not None and metric.value is not None
            ]
            if not known:
                continue
            style: dict[str, Any] = {"color": COLOURS[order], "hatch": HATCHES[order]}
            label = metric_label(name, short=True)
            heights = [value for _, value, *_ in known]
            axes.bar([x for x, *_ in known], heights, 0.9 * width, label=label, **style)
            for x, _, low, high in known:
                if low is not None and high is not None:
                    axes.plot((x, x), (low, high), color=INK, linewidth=1.2)
        axes.set_xticks(range(len(parts)), list(parts))
        axes.set(ylim=(0, 1), xlabel="Magnification", ylabel="Value with 95 % interval")
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside upper left", ncols=len(_BARS), handlelength=1.4)
        words = (
            f"{key}: "
            + ", ".join(
                f"{metric_label(name, short=True)} {metric_text(part.metrics.get(name))}"
                for name in _BARS
            )
            for key, part in parts.items()
        )
        return render_figure(
            figure,
            "magnification_metrics",
            alt=f"Bars by magnification. {'; '.join(words)}.",
            caption="Metrics at each magnification; lines: 95 % intervals.",
        )


@contextmanager
def _panels(n: int, side_in: float) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yield a figure with ``n`` panels in one row, or in rows of three."""
    n_columns, n_rows = _columns(n), -(-n // _columns(n))
    with house_style():
        figure = make_figure(side_in * n_columns, side_in * n_rows + 0.3)
        grid = figure.subplots(n_rows, n_columns, squeeze=False)
        panels = list(grid.ravel())
        for axes in panels[n:]:
            axes.set_axis_off()
        yield figure, panels[:n]


def _frame(axes: Axes, place: int, n: int, title: str) -> None:
    """Give a panel of ``n`` its title; only the outer ones name their axes."""
    axes.set_title(title, pad=6, fontsize=9)
    if place % _columns(n):
        axes.set_ylabel("")
        axes.tick_params(labelleft=False)
    if place + _columns(n) < n:
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)


def _columns(n: int) -> int:
    return n if n <= 4 else 3


def _confusions(parts: dict[str, PartMetrics]) -> RenderedFigure | None:
    counted = {key: part.confusion for key, part in parts.items() if part.confusion is not None}
    n_classes = max((len(one.labels) for one in counted.values()), default=0)
    if len(counted) < len(parts) or not 1 < n_classes <= _MOST_CLASSES:
        return None
    return confusion_figure(counted, "magnification_confusion")


def _rocs(parts: dict[str, PartMetrics]) -> RenderedFigure | None:
    curves = {key: part.curves.roc if part.curves else {} for key, part in parts.items()}
    names = list(dict.fromkeys(name for found in curves.values() for name in found))
    if not all(curves.values()) or len(names) > _MOST_CLASSES:
        return None
    with _panels(len(curves), 2.3) as (figure, panels):
        for place, (key, found) in enumerate(curves.items()):
            axes = panels[place]
            for name, curve in found.items():
                style = {**look(names.index(name)), "marker": ""}
                axes.plot(curve.x, curve.y, label=series_label(name, 18), **style)
            draw_chance(axes)
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
            axes.set(xlabel="1 − specificity", ylabel="Recall (sensitivity)")
            _frame(axes, place, len(panels), f"{key}\n{_area(parts[key])}")
        several = len(names) > 1
        if several:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper left", ncols=3)
        words = (f"{key}: {_area(part)}" for key, part in parts.items())
        return render_figure(
            figure,
            "magnification_roc",
            alt=f"ROC curve at each magnification. {'; '.join(words)}.",
            caption=f"ROC curve at each magnification{', each class against the rest' * several}.",
        )


def _area(part: PartMetrics) -> str:
    return f"AUC {metric_text(part.metrics.get('auc'))}"


def table(run: FinishedRun) -> Table | None:
    """Build the table of metrics, a column per magnification; none where it is the whole page's."""
    parts, sizes = by_magnification(run), sizes_by(run, "magnification") or {}
    if len(parts) == 1 and sum(sizes.get(key, 0) for key in parts) == sum(sizes.values()):
        return None
    blocks = [part.metrics for part in parts.values()]
    names = [name for name in OF_MAGNIFICATIONS if any(name in block for block in blocks)]
    names += own_names(blocks)
    rows = [
        ("Images", *(sizes.get(key) for key in parts)),
        *(
            (metric_label(name, short=True), *(block.get(name) for block in blocks))
            for name in names
        ),
    ]
    heads = ("Magnification", *parts)
    return make_table(
        "Metrics by magnification.",
        heads,
        rows if parts else [],
        look="many",
        name="metrics_by_magnification",
    )
