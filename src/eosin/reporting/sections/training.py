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
    Fold,
    Pair,
    RenderedFigure,
    Section,
    Table,
    joined,
    make_table,
    select,
)
from eosin.reporting.sections.model import model_facts
from eosin.reporting.sections.provenance import environment_facts
from eosin.reporting.sections.results import members_table
from eosin.reporting.sections.split import balance_words, split_words
from eosin.reporting.style import COLOURS, drawing, render_figure
from eosin.runs.finished import FinishedRun

#: Epochs up to which their table is open.
_MOST_EPOCHS = 20
#: Columns of the table by epoch: those of P1's Table 1.
_BY_EPOCH = {
    "accuracy": "Training accuracy",
    "loss": "Training loss",
    "val_accuracy": "Validation accuracy",
    "val_loss": "Validation loss",
    "lr": "Learning rate",
}
_TITLES = {"loss": "Loss", "accuracy": "Accuracy", "lr": "Learning rate"}


def section(run: FinishedRun) -> Section:
    """Return the section of the page."""
    histories = [fold.history for fold in run.folds if fold.history is not None]
    if run.history is not None:
        histories = [run.history]
    by_epoch = Section("Training by epoch", _history_table(run.history), fold=_fold(run.history))
    return Section("Learning", Figures(*_learning_figures(histories)), by_epoch, _folds_table(run))


def brief(run: FinishedRun) -> Section:
    """Return the section of the card: the training, or the runs that an ensemble averages."""
    made = ("Eosin", "Made", "Device", "Precision", "Commit", "Seed", "Packages")
    transfer = select(model_facts(run), "Transfer")
    facts = [*_recipe_facts(run), *transfer, *select(environment_facts(run), *made)]
    return Section(
        "Training", split_words(run).strip(), balance_words(run), Facts(facts), members_table(run)
    )


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    facts = _recipe_facts(run)
    return {
        "training": joined(select(facts, "Optimizer", "Length", "Loss", "Regularised by")),
        "kept": joined(select(facts, "Kept")),
    }


def _recipe_facts(run: FinishedRun) -> list[Pair]:
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


def _fold(history: Any) -> Fold:
    long = history is not None and history["epoch"].nunique() > _MOST_EPOCHS
    return "closed" if long else "open"


def _history_table(history: Any) -> Table | None:
    """Build the table of a training by epoch, with the last evaluation of each."""
    if history is None:
        return None
    last = history.groupby("epoch").tail(1)
    names = [name for name in _BY_EPOCH if _has(last, name)]
    rows = [
        (count(int(row["epoch"]) + 1), *(_value(name, row[name]) for name in names))
        for _, row in last.iterrows()
    ]
    several = "The last evaluation of each epoch. " if len(last) < len(history) else ""
    caption = (
        f"{several}Training figures are those of the batches since the evaluation before. "
        "history.csv counts epochs from 0."
    )
    return make_table(caption, ("Epoch", *(_BY_EPOCH[name] for name in names)), rows)


def _value(name: str, value: float) -> str | None:
    if np.isnan(value):
        return None
    return f"{value:.3g}" if name == "lr" else f"{value:.4f}"


def _folds_table(run: FinishedRun) -> Table | None:
    rows: list[tuple[Cell | str | int, ...]] = []
    for fold in run.folds:
        if not fold.folder.metrics.exists():
            continue
        name, evaluated = fold.root.name, fold.evaluated
        href = f"folds/{name}/report.html" if fold.folder.report.exists() else ""
        # The reasons for intervals are given with the metrics of all folds.
        metrics = (metric_text(evaluated.image.get(key)) for key in ("auc", "accuracy"))
        first = Cell(part_name(name), href=href)
        rows.append((first, evaluated.n_images, evaluated.n_groups, *metrics))
    columns = ("Fold", "Images", "Groups", "AUC", "Accuracy")
    return make_table("Each fold, evaluated on the groups it held out.", columns, rows)


def _learning_figures(histories: Sequence[Any]) -> list[RenderedFigure]:
    """Draw loss, accuracy and learning rate by evaluation step.

    Tables of several folds are drawn thin, with their mean.
    """
    figures = []
    for name in _TITLES:
        columns = [name] if name == "lr" else [name, f"val_{name}"]
        present = [c for c in columns if any(_has(history, c) for history in histories)]
        figures += [_panel(histories, name, present)] if present else []
    return figures


def _has(history: Any, column: str) -> bool:
    return column in history and bool(history[column].notna().any())


def _panel(histories: Sequence[Any], name: str, columns: list[str]) -> RenderedFigure:
    with drawing(4.6, 3.4) as (figure, axes):
        for index, column in enumerate(columns):
            _draw(axes, histories, column, index)
        axes.set(title=_TITLES[name], xlabel="Training step")
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
        alt, caption = _alt(histories, name, columns), "Learning rate at each evaluation."
        if name != "lr":
            where = "on the training and the validation part at each evaluation"
            caption = f"{_TITLES[name]} {where}."
        return render_figure(figure, f"learning_{name}", alt=alt, caption=caption)


def _draw(axes: Axes, histories: Sequence[Any], column: str, index: int) -> None:
    validation = column.startswith("val_")
    colour = COLOURS[1] if validation else COLOURS[0]
    label = "Learning rate" if column == "lr" else "Validation" if validation else "Training"
    style: dict[str, Any] = {"color": colour, "linestyle": "--" if validation else "-"}
    if column == "lr":
        style["drawstyle"] = "steps-post"
    rows = [history[["step", column]].dropna() for history in histories if _has(history, column)]
    is_short = max(map(len, rows)) <= 60
    mark = ("s" if validation else "o") if is_short else ""
    marked: dict[str, Any] = {**style, "marker": mark, "markersize": 3.5}
    if len(histories) == 1:
        axes.plot(rows[0]["step"], rows[0][column], label=label, **marked)
        return
    for row in rows:
        axes.plot(row["step"], row[column], linewidth=0.7, alpha=0.45, **style)
    # Folds stop at different steps: the mean ends with the first.
    n = min(map(len, rows))
    mean = [
        np.mean([row[name].to_numpy()[:n] for row in rows], axis=0) for name in ("step", column)
    ]
    label += f", mean of {quantity(len(rows), 'fold')}"
    axes.plot(*mean, linewidth=2.2, label=label, zorder=3 + index, **marked)


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
