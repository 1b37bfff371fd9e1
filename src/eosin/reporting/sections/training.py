"""Training: learning curves, folds, and the choices of the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from eosin.core.text import count, listing, quantity
from eosin.reporting.formatting import metric_text, number, part_name
from eosin.reporting.outline import (
    Cell,
    Facts,
    Figures,
    Pair,
    RenderedFigure,
    Section,
    Table,
    joined,
    select,
)
from eosin.reporting.sections.model import model_facts
from eosin.reporting.sections.provenance import environment_facts
from eosin.reporting.sections.results import members_table
from eosin.reporting.sections.split import balance_words, split_words
from eosin.reporting.style import COLOURS, house_style, new_figure, render_figure
from eosin.runs.finished import FinishedRun

_TITLES = {"loss": "Loss", "accuracy": "Accuracy", "lr": "Learning rate"}


def section(run: FinishedRun) -> Section:
    """Return the section of the page."""
    histories = [fold.history for fold in run.folds if fold.history is not None]
    if run.history is not None:
        histories = [run.history]
    figures = learning_figures(histories) if histories else []
    return Section("Learning", Figures(figures), folds_table(run))


def brief(run: FinishedRun) -> Section:
    """Return the section of the card: the training, or the runs that an ensemble averages."""
    made = ("Eosin", "Made", "Device", "Precision", "Commit", "Seed", "Packages")
    transfer = select(model_facts(run), "Transfer")
    facts = [*recipe_facts(run), *transfer, *select(environment_facts(run), *made)]
    return Section(
        "Training", split_words(run).strip(), balance_words(run), Facts(facts), members_table(run)
    )


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    facts = recipe_facts(run)
    return {
        "training": joined(select(facts, "Optimizer", "Length", "Loss", "Regularised by")),
        "kept": joined(select(facts, "Kept")),
    }


def recipe_facts(run: FinishedRun) -> list[Pair]:
    """Return the choices of the recipe; none for an ensemble of runs."""
    if run.recipe is None:
        return []
    train, augment = run.recipe.train, run.recipe.augment
    stop = f", stopped after {train.patience} evaluations without gain" if train.patience else ""
    kept = "the last state" if train.monitor == "none" else f"the state of best {train.monitor}"
    shrinking = (("weight decay", train.weight_decay), ("L2 penalty", train.l2))
    facts = [
        ("Optimizer", f"{train.optimizer}, learning rate {train.lr:g} ({train.schedule.name})"),
        ("Length", f"at most {quantity(train.epochs, 'epoch')} of batches of {train.batch_size}"),
        ("Kept", f"{kept}{stop}"),
        ("Loss", train.loss.replace("_", " ")),
        ("Regularised by", listing(f"{name} {value:g}" for name, value in shrinking if value)),
        ("Augmentation", augment.policy),
    ]
    return [(name, value) for name, value in facts if value]


def folds_table(run: FinishedRun) -> Table | None:
    """Build the table of folds: AUC, accuracy and sample sizes."""
    rows = []
    for fold in run.folds:
        if not fold.folder.metrics.exists():
            continue
        name, image = fold.root.name, fold.evaluated.image
        href = f"folds/{name}/report.html" if fold.folder.report.exists() else ""
        rows.append(
            (
                Cell(part_name(name), href=href),
                Cell(count(fold.evaluated.n_images)),
                Cell(count(fold.evaluated.n_groups)),
                Cell(metric_text(image.get("auc"))),
                Cell(metric_text(image.get("accuracy"))),
            )
        )
    if not rows:
        return None
    columns = ("Fold", "Images", "Groups", "AUC", "Accuracy")
    return Table("Each fold, evaluated on the groups it held out.", columns, tuple(rows))


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
