"""Training of one run: its learning curves, folds, and the choices of the recipe."""

from __future__ import annotations

from eosin.core.text import listing, quantity
from eosin.reporting.formatting import metric_text, part_name
from eosin.reporting.outline import (
    Cell,
    Facts,
    Figures,
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


def section(run: FinishedRun) -> Section:
    """Return the section of the page."""
    curves = learning_curves(run)
    figures = Figures(*learning_figures({"": curves}))
    return Section("Learning", figures, Facts(learning_facts(curves)), _folds_table(run))


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
