"""Training of one run: its learning curves, folds, and the choices of the recipe."""

from __future__ import annotations

from typing import Any

import numpy as np

from eosin.core.text import count, listing, quantity
from eosin.reporting.formatting import metric_text, part_name
from eosin.reporting.outline import (
    Cell,
    Facts,
    Figures,
    Fold,
    Pair,
    Section,
    Table,
    joined,
    make_table,
    select,
)
from eosin.reporting.sections.learning import learning_facts, learning_figures
from eosin.reporting.sections.model import model_facts
from eosin.reporting.sections.provenance import environment_facts
from eosin.reporting.sections.results import members_table
from eosin.reporting.sections.split import balance_words, split_words
from eosin.runs.comparison import learning_curves
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


def section(run: FinishedRun) -> Section:
    """Return the section of the page."""
    curves = learning_curves(run)
    figures = Figures(*learning_figures({"": curves}))
    facts = Facts(learning_facts(curves))
    by_epoch = Section("Training by epoch", _history_table(run.history), fold=_fold(run.history))
    return Section("Learning", figures, facts, by_epoch, _folds_table(run))


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
    names = [name for name in _BY_EPOCH if name in last and last[name].notna().any()]
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
