"""Learning curves and class balance of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from eosin.core.text import quantity
from eosin.reporting.formatting import number
from eosin.reporting.rendering import Table, text_table
from eosin.reporting.style import COLOURS, RenderedFigure, house_style, new_figure, render_figure
from eosin.runs.finished import FinishedRun

_TITLES = {"loss": "Loss", "accuracy": "Accuracy", "lr": "Learning rate"}


_METHODS = {
    "sampler": "Each epoch drew as many images as there are, each class alike often (“sampler”)",
    "oversample": "Images of smaller classes were repeated until all classes were as large as the"
    " largest (“oversample”)",
    "smote": "New feature vectors were made between neighbours of a class until all classes were"
    " as large as the largest (“smote”)",
}


def learning_figures(histories: Sequence[Any]) -> list[RenderedFigure]:
    """Draw loss, accuracy and learning rate by evaluation step.

    Tables of several folds are drawn thin, with their mean.
    """
    figures = []
    for quantity_name in _TITLES:
        columns = (
            [quantity_name]
            if quantity_name == "lr"
            else [
                quantity_name,
                f"val_{quantity_name}",
            ]
        )
        present = [c for c in columns if any(_has(history, c) for history in histories)]
        if present:
            figures.append(_panel(histories, quantity_name, present))
    return figures


def _has(history: Any, column: str) -> bool:
    return column in history and bool(history[column].notna().any())


def _panel(histories: Sequence[Any], name: str, columns: list[str]) -> RenderedFigure:
    with house_style():
        figure, axes = new_figure(4.6, 3.4)
        for index, column in enumerate(columns):
            _draw(axes, histories, column, index)
        axes.set_title(_TITLES[name])
        axes.set_xlabel("Training step")
        axes.margins(x=0.03)
        if name == "accuracy":
            axes.set_ylim(top=1.02)
            axes.set_yticks([tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= 1])
        elif name == "loss":
            axes.set_ylim(bottom=0)
        else:
            _rate_axis(axes, histories)
        if len(columns) > 1 or len(histories) > 1:
            axes.legend(loc="best")
        return render_figure(
            figure, f"learning_{name}", alt=_alt(histories, name, columns), caption=_caption(name)
        )


def _draw(axes: Axes, histories: Sequence[Any], column: str, index: int) -> None:
    validation = column.startswith("val_")
    colour = COLOURS[1] if validation else COLOURS[0]
    label = "Learning rate" if column == "lr" else "Validation" if validation else "Training"
    style: dict[str, Any] = {"color": colour, "linestyle": "--" if validation else "-"}
    if column == "lr":
        style["drawstyle"] = "steps-post"
    rows = [history[["step", column]].dropna() for history in histories if _has(history, column)]
    marker = ("s" if validation else "o") if max(len(row) for row in rows) <= 60 else ""
    if len(histories) == 1:
        axes.plot(
            rows[0]["step"], rows[0][column], label=label, marker=marker, markersize=3.5, **style
        )
        return
    for row in rows:
        axes.plot(row["step"], row[column], linewidth=0.7, alpha=0.45, **style)
    steps, mean = _mean(rows, column)
    axes.plot(
        steps,
        mean,
        linewidth=2.2,
        label=f"{label}, mean of {quantity(len(rows), 'fold')}",
        marker=marker,
        markersize=3.5,
        zorder=3 + index,
        **style,
    )


def _mean(rows: list[Any], column: str) -> tuple[Any, Any]:
    # Folds stop at different steps: the mean ends with the first.
    n = min(len(row) for row in rows)
    steps = np.mean([row["step"].to_numpy()[:n] for row in rows], axis=0)
    return steps, np.mean([row[column].to_numpy()[:n] for row in rows], axis=0)


def _rate_axis(axes: Axes, histories: Sequence[Any]) -> None:
    rates = np.concatenate([history["lr"].dropna().to_numpy() for history in histories])
    if rates.min() > 0 and rates.max() / rates.min() > 5:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        # matplotlib's own labels are formulas, which this style does not parse.
        axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0, top=1.15 * rates.max() if rates.max() > 0 else 1)
    axes.tick_params(axis="y", which="minor", length=0)


def _caption(name: str) -> str:
    if name == "lr":
        return "Learning rate at each evaluation."
    return f"{_TITLES[name]} on the training and the validation part at each evaluation."


def _alt(histories: Sequence[Any], name: str, columns: list[str]) -> str:
    ends = []
    for column in columns:
        last = [h[column].dropna().iloc[-1] for h in histories if _has(h, column)]
        first = [h[column].dropna().iloc[0] for h in histories if _has(h, column)]
        part = "validation" if column.startswith("val_") else "training"
        write = "{:.2g}".format if column == "lr" else number
        span = f"from {write(float(np.mean(first)))} to {write(float(np.mean(last)))}"
        ends.append(span if column == "lr" else f"{part} {span}")
    folds = f" (mean of {len(histories)} folds)" if len(histories) > 1 else ""
    return f"Line chart of {_TITLES[name].lower()} by training step{folds}: {', '.join(ends)}."


def balance_words(run: FinishedRun) -> str:
    """Describe the class balancing; empty if each training image is drawn once, unchanged."""
    if run.balance is None or run.balance.is_plain:
        return ""
    shown = [_METHODS.get(run.balance.method, "")]
    if run.balance.copies is not None:
        copies = quantity(run.balance.copies, "copy", "copies")
        shown.insert(0, f"Of each training image {copies} were shown, changed once and for all")
    if run.balance.focal_gamma is not None:
        shown.append(f"The loss was focal, with γ = {run.balance.focal_gamma:g}")
    if any(one.weight != 1 for one in run.balance.classes.values()):
        shown.append("Classes were weighted in the loss")
    return " ".join(f"{text}." for text in shown if text)


def balance_table(run: FinishedRun) -> Table | None:
    """Build the table of one epoch's draws; ``None`` if each image is drawn once, unchanged."""
    if run.balance is None or run.balance.is_plain:
        return None
    classes = run.balance.classes
    has_synthetic = any(one.synthetic for one in classes.values())
    rows: list[list[str | int]] = [
        [
            name,
            one.images,
            round(one.shown),
            *([one.synthetic] if has_synthetic else []),
            f"{one.weight:.2f}",
        ]
        for name, one in classes.items()
    ]
    synthetic = ("Synthetic",) if has_synthetic else ()
    columns = ("Class", "Training images", "Shown an epoch", *synthetic, "Weight in the loss")
    return text_table("What an epoch of the training showed.", columns, rows)
