"""Learning curves of one run or of several in one panel, and what the trainings took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from eosin.artifacts.comparison import ComparedRun, Comparison, LearningCurve
from eosin.core.text import count, duration
from eosin.core.types import FloatArray
from eosin.reporting.formatting import number
from eosin.reporting.outline import Figures, Pair, RenderedFigure, Section, Table, make_table
from eosin.reporting.sections.compared import ranked
from eosin.reporting.style import COLOURS, FAINT, MUTED, drawing, look, render_figure, series_label

_TITLES = {"loss": "Loss", "accuracy": "Accuracy", "lr": "Learning rate"}
#: Evaluations of a running mean, where an epoch has several; at most those of an epoch.
_WINDOW = 5
#: Columns of the table of trainings.
_COLUMNS = (
    *("Run", "Validation accuracy", "Training accuracy", "Epochs", "Best epoch"),
    *("Parameters", "Trained", "Frozen", "Time to best epoch", "Total time"),
)
#: With more epochs than this, their ends are not marked.
_MOST_MARKED = 15
#: With more evaluations than this, they are not marked.
_MOST_DOTS = 30
#: Ratios of losses, and of learning rates, above which their axis is logarithmic.
_WIDE = {"loss": 100, "lr": 5}


def compared_section(comparison: Comparison) -> Section:
    """Return the section of a comparison; empty where no history is known."""
    runs = {run.name: run.learning for run in ranked(comparison) if run.learning}
    figures = Figures(*learning_figures(runs, ("accuracy", "loss"))) if runs else None
    return Section("Training", figures, training_table(comparison))


def learning_figures(
    runs: Mapping[str, Sequence[LearningCurve]], names: Sequence[str] = tuple(_TITLES)
) -> list[RenderedFigure]:
    """Draw loss, accuracy and, where it varies, the learning rate by epoch.

    Of one run the folds are drawn thin, with their mean; of several runs, the mean alone.
    """
    figures = []
    for name in names:
        columns = [name] if name == "lr" else [name, f"val_{name}"]
        curves = [curve for of_run in runs.values() for curve in of_run]
        present = [c for c in columns if any(len(_points(curve, c)[0]) for curve in curves)]
        is_flat = name == "lr" and all(_is_constant(curve) for curve in curves)
        figures += [_panel(runs, name, present)] if present and not is_flat else []
    return figures


def _points(curve: LearningCurve, column: str) -> tuple[FloatArray, FloatArray]:
    """Return epochs and values of a column where it is defined."""
    values = np.array(curve.values.get(column, [None] * len(curve)), dtype=np.float64)
    known = np.isfinite(values)
    return np.array(curve.epochs)[known], values[known]


def _is_constant(curve: LearningCurve) -> bool:
    _, rates = _points(curve, "lr")
    return len(rates) == 0 or bool(np.ptp(rates) == 0)


def _window(curve: LearningCurve, column: str) -> int:
    return 1 if column == "lr" else min(_WINDOW, curve.evaluations_per_epoch)


def _lines(curves: Sequence[LearningCurve], column: str) -> list[tuple[FloatArray, FloatArray]]:
    """Return epochs and running means of a column, one pair per training that has it."""
    lines = []
    for curve in curves:
        x, y = _points(curve, column)
        smooth = pd.Series(y).rolling(_window(curve, column), min_periods=1).mean()
        lines += [(x, smooth.to_numpy())] if len(x) else []
    return lines


def _panel(
    runs: Mapping[str, Sequence[LearningCurve]], name: str, columns: list[str]
) -> RenderedFigure:
    curves = [curve for of_run in runs.values() for curve in of_run]
    width, height = (3.05, 2.9) if len(runs) == 1 else (4.6, 3.4)
    height += 0.25 + 0.2 * (-(-len(runs) // 2)) if len(runs) > 1 else 0
    with drawing(width, height) as (figure, axes):
        for order, of_run in enumerate(runs.values()):
            for column in columns:
                is_val = column.startswith("val_")
                colour = COLOURS[int(is_val)] if len(runs) == 1 else look(order)["color"]
                style = {"color": colour, "linestyle": "--" if is_val else "-"}
                _draw(axes, of_run, column, style, with_parts=len(runs) == 1)
        axes.set(title=_TITLES[name], xlabel="Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.margins(x=0.03)
        if np.ptp(axes.dataLim.intervalx) < 1:  # a single epoch: no tick at its fractions
            axes.set_xlim(0, np.ceil(axes.dataLim.x1) + 0.5)
        _mark_epochs(axes, curves)
        if name == "accuracy":
            axes.set_ylim(top=1.02)
            axes.set_yticks([tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= 1])
        else:
            values = np.concatenate([y for c in columns for _, y in _lines(curves, c)])
            _positive_axis(axes, values, _WIDE[name])
        _legend(figure, axes, list(runs), columns)
        caption = _caption(runs, name)
        return render_figure(figure, f"learning_{name}", alt=_alt(runs, name), caption=caption)


def _draw(
    axes: Axes,
    curves: Sequence[LearningCurve],
    column: str,
    style: dict[str, Any],
    *,
    with_parts: bool,
) -> None:
    """Draw a column of a run: its running mean, and ``with_parts`` what it is the mean of."""
    lines = _lines(curves, column)
    if not lines:
        return
    if column == "lr":
        style = {**style, "drawstyle": "steps-post"}
    thin: Any = {**style, "linewidth": 0.7, "alpha": 0.45}
    if with_parts and len(lines) > 1:
        for line in lines:
            axes.plot(*line, **thin)
    elif with_parts and _window(curves[0], column) > 1:
        axes.plot(*_points(curves[0], column), **thin)
    # Folds stop at different epochs: the mean ends with the first.
    n = min(len(x) for x, _ in lines)
    mean = [np.mean([line[axis][:n] for line in lines], axis=0) for axis in (0, 1)]
    is_short = max(len(x) for x, _ in lines) <= _MOST_DOTS
    mark = ("s" if column.startswith("val_") else "o") if is_short else ""
    width = 2.2 if len(lines) > 1 else 1.8
    axes.plot(*mean, marker=mark, markersize=3.5, linewidth=width, zorder=3, **style)


def _mark_epochs(axes: Axes, curves: Sequence[LearningCurve]) -> None:
    """Mark the end of each epoch where some training has several evaluations in one."""
    if _are_marked(curves):
        for epoch in range(1, int(max(curve.epochs[-1] for curve in curves)) + 1):
            axes.axvline(epoch, color=FAINT, linewidth=0.9, zorder=1)


def _are_marked(curves: Sequence[LearningCurve]) -> bool:
    has_several = any(curve.evaluations_per_epoch > 1 for curve in curves)
    return has_several and max(curve.epochs[-1] for curve in curves) <= _MOST_MARKED


def _legend(figure: Figure, axes: Axes, names: list[str], columns: list[str]) -> None:
    parts: list[tuple[str, Any]] = [
        ("Validation", "--") if c.startswith("val_") else ("Training", "-") for c in columns
    ]
    if len(names) == 1:
        handles = [
            Line2D([], [], color=COLOURS[int(part == "Validation")], linestyle=line, label=part)
            for part, line in parts
        ]
        if len(parts) > 1:
            axes.legend(handles=handles, loc="best")
        return
    handles = [
        Line2D([], [], color=look(order)["color"], label=series_label(name, 30))
        for order, name in enumerate(names)
    ]
    handles += [Line2D([], [], color=MUTED, linestyle=line, label=part) for part, line in parts]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)


def _positive_axis(axes: Axes, values: FloatArray, wide: float) -> None:
    """Start the axis at 0, or make it logarithmic if the values' ratio is above ``wide``."""
    low, high = values.min(), values.max()
    if low > 0 and high / low > wide:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 1e3 else (1,)))
        # matplotlib's own labels are formulas, which this style does not parse.
        axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0, top=None if high > 0 else 1)
    axes.tick_params(axis="y", which="minor", length=0)


def _caption(runs: Mapping[str, Sequence[LearningCurve]], name: str) -> str:
    if name == "lr":
        return "Learning rate at each evaluation."
    curves = [curve for of_run in runs.values() for curve in of_run]
    text = f"{_TITLES[name]} on the training batches since the previous evaluation and on the "
    text += "validation subset."
    windows = {_window(curve, name) for curve in curves} - {1}
    if windows:
        text += f" Running mean of {' or '.join(map(str, sorted(windows)))} evaluations"
        text += " (thin: single values)." if len(curves) == 1 else "."
    if _are_marked(curves):
        text += " Vertical lines mark the ends of epochs."
    if len(curves) > len(runs):
        text += " Mean of the folds, until the first of them stops"
        text += " (thin: single folds)." if len(runs) == 1 else "."
    return text


def _alt(runs: Mapping[str, Sequence[LearningCurve]], name: str) -> str:
    described = []
    for run, curves in runs.items():
        write: Callable[[float], str] = "{:.2g}".format if name == "lr" else number
        ends = []
        for column in (name, f"val_{name}"):
            values = [y for _, y in _lines(curves, column)]
            if values:
                first, last = (write(float(np.mean([y[end] for y in values]))) for end in (0, -1))
                part = "validation " if column != name else "" if name == "lr" else "training "
                ends.append(f"{part}from {first} to {last}")
        folds = f" (mean of {len(curves)} folds)" if len(curves) > 1 else ""
        described.append(f"{run}{folds}{': ' if run or folds else ''}{', '.join(ends)}".strip())
    return f"Line chart of {_TITLES[name].lower()} by epoch. {'; '.join(described)}."


def learning_facts(curves: Sequence[LearningCurve]) -> list[Pair]:
    """Return epochs, best epoch and times of a training; means and sums of several folds."""
    if not curves:
        return []
    reached, total = (_seconds(curves, at_kept=at_kept) for at_kept in (True, False))
    facts = [
        ("Epochs", _epochs(curves)),
        ("Best epoch", _epochs(curves, at_kept=True)),
        ("Validation accuracy", _mean(curves, "val_accuracy")),
        ("Time to best epoch", None if reached is None else duration(reached)),
        ("Total time", None if total is None else duration(total)),
    ]
    return [(name, value) for name, value in facts if value]


def _epochs(curves: Sequence[LearningCurve], *, at_kept: bool = False) -> str:
    """Format the epochs that were trained, or were done at the kept state, with their range."""
    epochs = [curve.epochs[curve.kept if at_kept else -1] for curve in curves]
    text = f"{round(float(np.mean(epochs)), 2):g}"
    return f"{text} ({min(epochs):.3g} to {max(epochs):.3g})" if len(set(epochs)) > 1 else text


def _mean(curves: Sequence[LearningCurve], column: str) -> str | None:
    """Format the mean of a column at the kept states."""
    values = [value for curve in curves if (value := curve.value(column)) is not None]
    return number(float(np.mean(values))) if values else None


def _seconds(curves: Sequence[LearningCurve], *, at_kept: bool) -> float | None:
    """Return the time to the kept state, or of all epochs, summed over folds."""
    ends = [curve.value("seconds", at_kept=at_kept) for curve in curves]
    known = [end for end in ends if end is not None]
    return sum(known) if ends and len(known) == len(ends) else None


def training_table(comparison: Comparison) -> Table | None:
    """Build the table of trainings: what was kept, the weights trained, and the time."""
    rows = [_training_row(run) for run in ranked(comparison) if _is_trained(run)]
    caption = (
        "Cost of training. The best epoch has the best value of the recipe's monitor on validation "
        "data; its weights are used. Validation accuracy at that epoch is optimistic, because it "
        "selected the epoch. Total time includes earlier transfer stages."
    )
    if any(len(run.learning) > 1 for run in comparison.runs):
        caption += " With folds: mean and range; parameters of one network; sum of times."
    # Earlier versions have not recorded some columns.
    kept = [place for place in range(len(_COLUMNS)) if any(row[place] is not None for row in rows)]
    columns = [_COLUMNS[place] for place in kept]
    return make_table(
        caption, columns, [[row[p] for p in kept] for row in rows], look="many", name="training"
    )


def _is_trained(run: ComparedRun) -> bool:
    return bool(run.learning) or run.training_seconds is not None


def _training_row(run: ComparedRun) -> list[str | int | None]:
    curves, model = run.learning, run.judged
    frozen = None
    if model.params is not None and model.trainable is not None:
        frozen = model.params - model.trainable
    reached = _seconds(curves, at_kept=True)
    return [
        run.name,
        *(_mean(curves, column) for column in ("val_accuracy", "accuracy")),
        *((_epochs(curves), _epochs(curves, at_kept=True)) if curves else (None, None)),
        *(None if n is None else count(n) for n in (model.params, model.trainable, frozen)),
        None if reached is None else duration(reached),
        None if run.training_seconds is None else duration(run.training_seconds),
    ]
