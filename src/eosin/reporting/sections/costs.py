"""Performance of runs against cost: one panel per cost, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from eosin.artifacts.comparison import (
    ComparedRun,
    Comparison,
    Cost,
    cost_of,
    find_fronts,
)
from eosin.core.text import count, listing, quantity
from eosin.core.types import FloatArray
from eosin.reporting.formatting import ABSENT, amount, metric_label, metric_text
from eosin.reporting.outline import Figures, RenderedFigure, Section, Table, Text, make_table
from eosin.reporting.sections.compared import label, networks_note, ranked
from eosin.reporting.style import (
    MARKERS,
    MUTED,
    house_style,
    look,
    make_figure,
    render_figure,
    series_label,
)

#: Costs: name, axis label, the factor to its unit, and the name in a sentence.
_PANELS = (
    ("params", "Parameters, M", 1e-6, "parameters"),
    ("onnx_bytes", "ONNX file, MB", 1e-6, "file size"),
    ("macs", "MACs per image, M", 1e-6, "MACs"),
    ("latency", "CPU time per image, ms", 1e3, "time per image"),
    ("training_seconds", "Training, s", 1.0, "training time"),
)
#: Fewest runs whose metrics are drawn against their costs.
_FEWEST_DRAWN = 4
#: Ratio of costs above which their axis is logarithmic.
_WIDE = 4.0
#: Decades from which on the axis labels powers of ten only.
_MANY_DECADES = 3
#: Points nearer than this share of the axis are drawn side by side.
_NEAR = 0.03


def section(comparison: Comparison) -> Section:
    """Return the section of costs; scatter plots only of runs enough for a front."""
    is_several = len(comparison.runs) >= _FEWEST_DRAWN
    figures = pareto_figures(comparison) if is_several else []
    return Section(
        "Performance and cost",
        cost_table(comparison),
        Text(networks_note(comparison.runs), look="small"),
        Figures(*figures[:1]),
        _fronts_words(comparison) if is_several else "",
        Section("Other metrics", Figures(*figures[1:]), fold="closed"),
        nav="Costs",
    )


def pareto_figures(comparison: Comparison) -> list[RenderedFigure]:
    """Draw the ranking metric, accuracy and recall against the costs, one figure per metric."""
    names = dict.fromkeys((comparison.metric, "accuracy", "recall"))
    found = [_pareto_figure(comparison, name) for name in names]
    return [thumbnail for thumbnail in found if thumbnail is not None]


def _pareto_figure(comparison: Comparison, metric: str) -> RenderedFigure | None:
    runs = [run for run in comparison.runs if run.image[metric].value is not None]
    panels = [
        panel for panel in _PANELS if sum(cost_of(run, panel[0]) is not None for run in runs) > 1
    ]
    if not panels:
        return None
    n_rows, n_columns = -(-len(panels) // 2), min(2, len(panels))
    with house_style():
        legend_in = 0.2 + 0.22 * -(-len(runs) // 3)
        figure = make_figure(4.6 * n_columns, 3.1 * n_rows + legend_in)
        for place, (cost, title, factor, _) in enumerate(panels):
            axes = figure.add_subplot(n_rows, n_columns, place + 1)
            _draw(axes, metric, runs, cost, factor)
            axes.set_xlabel(title)
            axes.set_ylabel(metric_label(metric, short=True))
        handles = [_handle(run, order) for order, run in enumerate(runs)]
        figure.legend(handles=handles, loc="outside upper left", ncols=min(3, len(runs)))
        alt, caption = _alt(metric, runs), _caption(metric, runs)
        return render_figure(figure, f"pareto-{metric}", alt=alt, caption=caption)


def _style(run: ComparedRun, order: int) -> dict[str, Any]:
    # Past the palette the pairing shifts, so that no two runs look the same.
    marker = MARKERS[(order + order // len(MARKERS)) % len(MARKERS)]
    style = {**look(order), "linestyle": "", "marker": marker}
    return {**style, "markerfacecolor": "white"} if not run.is_weighed else style


def _handle(run: ComparedRun, order: int) -> Line2D:
    return Line2D([], [], label=series_label(run.name, 30), markersize=7, **_style(run, order))


def _draw(axes: Axes, name: str, runs: Sequence[ComparedRun], cost: str, factor: float) -> None:
    known = [
        (order, run, factor * spent)
        for order, run in enumerate(runs)
        if (spent := cost_of(run, cost)) is not None
    ]
    costs: FloatArray = np.array([value for _, _, value in known])
    is_log = bool(costs.min() > 0 and costs.max() / costs.min() > _WIDE)
    places = _side_by_side(np.log(costs) if is_log else costs)
    drawn = np.exp(places) if is_log else places
    for (order, run, _), place in zip(known, drawn, strict=True):
        metric, style = run.image[name], _style(run, order)
        if metric.low is not None and metric.high is not None:
            ends = (metric.low, metric.high)
            axes.plot((place, place), ends, color=style["color"], linewidth=1.2)
        axes.plot(place, float(metric.value or 0.0), markersize=8, zorder=4, **style)
    front = sorted(
        (float(place), float(run.image[name].value or 0.0))
        for (_, run, _), place in zip(known, drawn, strict=True)
        if run.name in find_fronts(runs, name).get(cost, [])
    )
    if front:
        x, y = ([point[axis] for point in front] for axis in (0, 1))
        end = float(costs.max()) * (1.3 if is_log else 1.1)
        style = {"color": MUTED, "linewidth": 1.2, "linestyle": "--", "zorder": 1}
        axes.step([*x, end], [*y, y[-1]], where="post", **style)
    if is_log:
        axes.set_xscale("log")
        is_wide = np.log10(costs.max() / costs.min()) >= _MANY_DECADES
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if is_wide else (1, 2, 5), numticks=8))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif costs.max() > 0:
        axes.set_xlim(0, 1.12 * float(places.max()))


def _side_by_side(values: FloatArray) -> FloatArray:
    """Move points of equal cost apart, so that no interval hides another."""
    width = float(values.max() - values.min()) or abs(float(values.max())) or 1.0
    step = _NEAR * width
    placed: FloatArray = np.array(values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    start = 0
    for stop in range(1, len(order) + 1):
        if stop == len(order) or values[order[stop]] - values[order[stop - 1]] > step / 2:
            cluster = order[start:stop]
            placed[cluster] = values[cluster].mean() + step * (
                np.arange(len(cluster)) - (len(cluster) - 1) / 2
            )
            start = stop
    return placed


def _alt(metric: str, runs: Sequence[ComparedRun]) -> str:
    label = metric_label(metric, short=True)
    shown = []
    for run in runs:
        costs = [
            f"{title.split(', ')[0].lower()} {factor * spent:.3g} {title.rpartition(', ')[2]}"
            for cost, title, factor, _ in _PANELS
            if (spent := cost_of(run, cost)) is not None
        ]
        shown.append(f"{run.name}: {label} {metric_text(run.image[metric])}, {', '.join(costs)}")
    return f"{label} against costs. {'; '.join(shown)}."


def _caption(metric: str, runs: Sequence[ComparedRun]) -> str:
    text = (
        f"{metric_label(metric, short=True)} against costs of the deployed model, with 95 % "
        "intervals. Dashed line: Pareto front. Points of equal cost are drawn side by side."
    )
    if any(run.is_flattered for run in runs):
        text += " Hollow: train-test overlap, excluded from the front."
    if any(run.is_head for run in runs):
        text += " Hollow: heads on features, whose costs exclude the feature extractor, excluded"
        text += " from the front."
    return text


def cost_table(comparison: Comparison) -> Table | None:
    """Build the table of costs per run, of the deployed and of the evaluated model."""
    rows = []
    for run in ranked(comparison):
        what = run.model if run.networks == 1 else f"{run.networks} × {run.model}, as deployed"
        rows.append([run.name, what, *_cost_cells(run.deployed)])
        if run.networks > 1:
            rows.append([run.name, "one of them, as evaluated", *_cost_cells(run.judged)])
    caption = (
        f"Costs. Time per image on {quantity(comparison.threads, 'CPU thread')}, from decoded "
        "pixels to probabilities: median of the rounds with its 95 % interval. One MAC is two "
        "floating-point operations; papers report either as FLOPs."
    )
    columns = (
        *("Run", "Network", "Parameters", "MACs, M", "ONNX, MB", "safetensors, MB"),
        "Time per image, ms",
    )
    return make_table(caption, columns, rows, texts=(0, 1), look="many", name="costs")


def _cost_cells(cost: Cost) -> list[str]:
    time = cost.latency
    shown = ABSENT
    if time is not None:
        median, *ends = (amount(1e3 * t, 1) for t in (time.median, time.low, time.high))
        shown = f"{median} ({'–'.join(ends)})"
    sizes = ((cost.macs, 1), (cost.onnx_bytes, 2), (cost.safetensors_bytes, 2))
    millions = (ABSENT if n is None else amount(n / 1e6, digits) for n, digits in sizes)
    return [ABSENT if cost.params is None else count(cost.params), *millions, shown]


def _fronts_words(comparison: Comparison) -> str:
    """Describe the Pareto front of each cost."""
    shown: dict[str, list[str]] = {}
    named = {cost: name for cost, _, _, name in _PANELS}
    for cost, names in comparison.fronts.items():
        shown.setdefault(listing(names), []).append(named[cost])
    if not shown:
        return ""
    parts = [f"by {listing(costs)}: {names}" for names, costs in shown.items()]
    return (
        f"Pareto front of {label(comparison)} and cost, {'; '.join(parts)}. The front uses the "
        "values without their intervals: runs within noise of it may belong to it as well."
    )
