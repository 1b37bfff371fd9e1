"""Training of one run: its learning curves, folds, and the choices of the recipe."""

from __future__ import annotations

import numpy as np

from eosin.core.text import count, listing
from eosin.reporting.formatting import metric_text, subset_name
from eosin.reporting.outline import (
    Cell,
    Facts,
    Figures,
    Pair,
    Points,
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
    by_epoch = Section("Training by epoch", history_table(run), fold="closed")
    return Section("Training", facts, figures, by_epoch, _chain(run), _folds_table(run))


def _chain(run: FinishedRun) -> Section:
    """Return the learning curves of all stages of a transfer chain over each other."""
    curves = {f"Stage {_stage_name(stage)}": learning_curves(stage) for stage in run.stages}
    known = {name: found for name, found in curves.items() if found}
    last = learning_curves(run)
    if not known or not last:
        return Section("")
    known[f"Stage {len(run.stages) + 1}, this training"] = last
    figures = Figures(*learning_figures(known, ("loss", "accuracy")))
    links = [
        Cell(f"Report of stage {_stage_name(stage)}", href=f"stages/{stage.root.name}/report.html")
        for stage in run.stages
        if stage.folder.report.exists()
    ]
    section = Section("Training of all transfer stages", figures, Points(links), fold="closed")
    return section.prefixed("stages_")


def _stage_name(stage: FinishedRun) -> str:
    """Return number and name of a stage from its folder: ``1, lc25000``."""
    return stage.root.name.replace("-", ", ", 1)


def brief(run: FinishedRun) -> Section:
    """Return the section of the card: the training, or the members of an ensemble."""
    made = ("Eosin", "Created", "Device", "Precision", "Commit", "Seed", "Packages")
    transfer = select(model_facts(run), "Initial weights", "Teachers")
    facts = [*_recipe_facts(run), *transfer, *select(environment_facts(run), *made)]
    return Section(
        "Training", split_words(run).strip(), balance_words(run), Facts(facts), members_table(run)
    )


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    facts = _recipe_facts(run)
    return {
        "training": joined(
            select(facts, "Optimizer", "Epochs", "Loss", "Regularisation", "Weight averaging")
        ),
        "kept": joined(select(facts, "Checkpoint")),
    }


def _recipe_facts(run: FinishedRun) -> list[Pair]:
    """Return the choices of the recipe; none for an ensemble of runs."""
    if run.recipe is None:
        return []
    train, augment = run.recipe.train, run.recipe.augment
    stop = f"; early stopping after {train.patience} evaluations" if train.patience else ""
    kept = "last" if train.monitor == "none" else f"best {train.monitor}"
    shrinking = (
        ("weight decay", train.weight_decay),
        ("L2 penalty", train.l2),
        ("label smoothing", train.label_smoothing),
        ("mixup α", train.mixup),
    )
    average = {"none": "", "ema": f"exponential moving average, decay {train.ema_decay:g}"}
    average["swa"] = "stochastic weight averaging"
    warmup = train.schedule.warmup
    epochs = "epoch" if warmup == 1 else "epochs"
    rising = f", after a warm-up of {warmup:g} {epochs}" if warmup else ""
    facts = [
        (
            "Optimizer",
            f"{train.optimizer}, learning rate {train.lr:g} ({train.schedule.name}{rising})",
        ),
        ("Epochs", f"at most {count(train.epochs)}, batch size {train.batch_size}{stop}"),
        ("Checkpoint", kept),
        ("Loss", train.loss.replace("_", " ")),
        ("Regularisation", listing(f"{name} {value:g}" for name, value in shrinking if value)),
        ("Weight averaging", average[train.weight_averaging]),
        ("Augmentation", augment.policy),
    ]
    return [(name, value) for name, value in facts if value]


def history_table(run: FinishedRun) -> Table | None:
    """Build the table of a training by epoch, with the last evaluation of each."""
    history = run.history
    if history is None:
        return None
    last = history.groupby("epoch").tail(1)
    names = [name for name in _BY_EPOCH if name in last and last[name].notna().any()]
    rows = [
        (count(int(row["epoch"]) + 1), *(_value(name, row[name]) for name in names))
        for _, row in last.iterrows()
    ]
    several = "Last evaluation of each epoch. " if len(last) < len(history) else ""
    caption = (
        f"{several}Training values: batches since the previous evaluation. history.csv has all "
        "evaluations and counts epochs from 0."
    )
    heads = ("Epoch", *(_BY_EPOCH[name] for name in names))
    return make_table(caption, heads, rows, name="epochs")


def _value(name: str, value: float) -> str | None:
    if np.isnan(value):
        return None
    return f"{value:.3g}" if name == "lr" else f"{value:.4f}"


def _folds_table(run: FinishedRun) -> Table | None:
    rows: list[tuple[Cell | str | int, ...]] = []
    names = [fold.root.name for fold in run.folds]
    for fold in run.folds:
        if not fold.folder.metrics.exists():
            continue
        name, evaluated = fold.root.name, fold.evaluated
        href = f"folds/{name}/report.html" if fold.folder.report.exists() else ""
        # The reasons for intervals are given with the metrics of all folds.
        metrics = (metric_text(evaluated.image.get(key)) for key in ("auc", "accuracy"))
        first = Cell(subset_name(name, names), href=href)
        rows.append((first, evaluated.n_images, evaluated.n_groups, *metrics))
    columns = ("Fold", "Images", "Groups", "AUC", "Accuracy")
    return make_table("Each fold's network on its held-out subset.", columns, rows, name="folds")
