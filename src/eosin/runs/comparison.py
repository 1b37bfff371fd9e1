"""Finished runs on the images that all held out: metrics per run and by block, learning curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.comparison import ComparedRun, Disagreement, LearningCurve, RangeTest
from eosin.artifacts.layout import TEST_BY_FOLD
from eosin.artifacts.predictions import PREFIX
from eosin.core.types import Estimate
from eosin.engine import EarlyStopping
from eosin.evaluation.comparison import ComparedModel, Factor, range_tests
from eosin.metrics import Predictions, measure_values
from eosin.metrics.catalogue import MAIN_METRICS
from eosin.metrics.comparison import differences_of_sets
from eosin.metrics.predictions import encode
from eosin.recipe.schema import TrainSection
from eosin.runs.finished import FinishedRun
from eosin.runs.matching import SharedImages, mean_predictions

#: Settings in which two trainings of one recipe may differ.
_INCIDENTAL = ("name", "description", "seed")
#: Most images in the list of those on which runs disagree.
MOST_DISAGREEMENTS = 200


def make_compared_models(shared: SharedImages) -> list[ComparedModel]:
    """Return each run's predictions of the shared images, in the order of their paths."""
    first, frame = shared.runs[0], shared.frame
    names, positive = first.class_names, first.evaluated.positive
    # Of a two-class task only: a macro average needs none.
    index = names.index(positive) if positive is not None and len(names) == 2 else None
    targets = np.array([names.index(label) for label in frame["label"]], dtype=np.int64)
    groups = encode(frame["group"])
    compared_models = []
    for run, rows in zip(shared.runs, shared.rows, strict=True):
        mean = mean_predictions(first, rows, shared.paths)
        probabilities = mean.drop(columns="threshold").to_numpy(dtype=np.float64)
        decided = None
        if index is not None and mean["threshold"].notna().all():
            found = probabilities[:, index] >= mean["threshold"].to_numpy()
            decided = np.where(found, index, 1 - index)
        predicted = np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
        predictions = Predictions(
            probabilities=probabilities,
            targets=targets,
            predicted=predicted,
            groups=groups,
            positive=index,
            class_names=names,
        )
        compared_models.append(ComparedModel(run.short_name, predictions, decided))
    return compared_models


def compare_splits(strict: FinishedRun, published: FinishedRun) -> dict[str, Estimate]:
    """Return the main metrics under a published split less those under a strict one.

    The evaluated images may differ; both sets are resampled by the patients of either.
    """
    one, other = (_evaluated_predictions(run) for run in (published, strict))
    if one is None or other is None or one.class_names != other.class_names:
        return {}
    return differences_of_sets(one, other, MAIN_METRICS)


def _evaluated_predictions(run: FinishedRun) -> Predictions | None:
    """Return the predictions of the evaluated split, decided by their argmax."""
    frame, names, positive = run.predictions, run.class_names, run.evaluated.positive
    if frame is None or not len(frame) or not frame["label"].isin(names).all():
        return None
    probabilities = frame[[PREFIX + name for name in names]].to_numpy(dtype=np.float64)
    return Predictions(
        probabilities=probabilities,
        targets=np.array([names.index(label) for label in frame["label"]], dtype=np.int64),
        predicted=np.asarray(probabilities.argmax(axis=1), dtype=np.int64),
        groups=list(frame["group"]),
        positive=None if positive is None or len(names) != 2 else names.index(positive),
        class_names=names,
    )


def find_disagreements(
    shared: SharedImages, compared_models: Sequence[ComparedModel]
) -> tuple[int, list[Disagreement]]:
    """Find images that some runs classify correctly and others do not.

    Returns:
        Their number, and the first of them: the runs that are right take turns, and of each such
        set of runs the images come first where the probability of the true class differs most.
    """
    right = np.stack([one.right for one in compared_models], axis=1)
    rows = np.flatnonzero(right.any(axis=1) & ~right.all(axis=1))
    targets = compared_models[0].predictions.targets
    chances = [one.predictions.probabilities[rows, targets[rows]] for one in compared_models]
    order = np.argsort(-np.ptp(chances, axis=0), kind="stable")
    frame = pd.DataFrame({"row": rows[order], "right": list(map(tuple, right[rows[order]]))})
    frame["turn"] = frame.groupby("right").cumcount()
    names, known = shared.runs[0].class_names, shared.frame
    return len(rows), [
        Disagreement(
            path=known["path"][row],
            label=known["label"][row],
            predicted=[names[one.predictions.predicted[row]] for one in compared_models],
            patient=known["patient"][row],
        )
        for row in frame.sort_values("turn", kind="stable")["row"].head(MOST_DISAGREEMENTS)
    ]


def find_ranges(
    shared: SharedImages,
    compared_models: Sequence[ComparedModel],
    shown: Sequence[ComparedRun],
    metric: str,
) -> list[RangeTest]:
    """Run range tests over the largest set of runs that have the same images in the same blocks.

    A block is a fold, or where recipes were trained with several seeds, a fold of a seed.

    Returns:
        Empty where no two recipes have two blocks in common.
    """
    tables: dict[str, dict[str, Any]] = {}
    facts: dict[str, ComparedRun] = {}
    keys = _treatments(shared.runs)
    for run, rows, one in zip(shared.runs, shared.rows, shown, strict=True):
        key = keys[run.short_name]
        several = list(keys.values()).count(key) > 1
        if not one.is_flattered:
            rows_held = _rows_by_network(run, rows)
            rows_held = rows_held[rows_held["path"].isin(shared.paths)].sort_values("path")
            tables.setdefault(key, {}).update(_blocks(run, rows_held, several=several))
            facts.setdefault(key, one)
    groups: dict[str, list[str]] = {}
    for key, blocks in tables.items():
        images = {name: sorted(set(rows["path"])) for name, rows in sorted(blocks.items())}
        if len(images) > 1:
            groups.setdefault(json.dumps(images), []).append(key)
    chosen = max(groups.values(), key=len, default=[])
    if len(chosen) < 2:
        return []
    for name in (metric, "accuracy"):
        values = np.column_stack([_values(tables[key], compared_models[0], name) for key in chosen])
        if np.isfinite(values).all():
            factors: dict[Factor, list[str]] = {
                "model": [facts[key].model for key in chosen],
                "preprocessing": [facts[key].preprocessing for key in chosen],
            }
            names = [facts[key].name for key in chosen]
            held = sorted(tables[chosen[0]])
            return range_tests(values, names, factors, metric=name, blocks=held)
    return []


def _treatments(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """Return a key of each run's recipe without its seed, by the run's name."""
    recipes, seeds = {}, {}
    for run in runs:
        recipe = run.recipe
        values = {} if recipe is None else recipe.model_dump(mode="json")
        shown = json.dumps({k: v for k, v in values.items() if k not in _INCIDENTAL})
        recipes[run.short_name] = run.short_name if recipe is None else shown
        seeds[run.short_name] = None if recipe is None else recipe.seed
    pairs = [(recipes[name], seeds[name]) for name in recipes]
    # Two runs of one recipe and seed are the same treatment and block.
    return {
        name: recipe if pairs.count((recipe, seeds[name])) == 1 else name
        for name, recipe in recipes.items()
    }


def _rows_by_network(run: FinishedRun, rows: Any) -> Any:
    """Return a run's rows; of folds beside a test subset those of each fold's network."""
    by_fold = run.predictions_of(TEST_BY_FOLD) if run.split == "test" else None
    if by_fold is None or not len(by_fold):
        return rows
    shared_paths = dict(zip(run.predictions["path"], rows["path"], strict=True))
    return by_fold.assign(path=by_fold["path"].map(shared_paths))


def _blocks(run: FinishedRun, rows: Any, *, several: bool) -> dict[str, Any]:
    """Return the rows by block; one block where nothing separates them."""
    seed = f"seed {run.recipe.seed}" if several and run.recipe is not None else ""
    if "fold" not in rows:
        return {seed: rows}
    repeats = rows.get("repeat", "0")
    names = seed + " fold " + repeats + "-" + rows["fold"]
    return {str(name).strip(): table for name, table in rows.groupby(names)}


def _values(blocks: dict[str, Any], like: ComparedModel, metric: str) -> Any:
    """Return a metric of each block, shape (B,); NaN where it is undefined."""
    classes = like.predictions.class_names or ()
    columns = [PREFIX + name for name in classes]
    found = []
    for name in sorted(blocks):
        probabilities = blocks[name][columns].to_numpy(dtype=np.float64)
        alone = replace(
            like.predictions,
            probabilities=probabilities,
            targets=np.array([classes.index(label) for label in blocks[name]["label"]]),
            predicted=np.asarray(probabilities.argmax(axis=1)),
            groups=[0] * len(probabilities),
        )
        found.append(measure_values(alone, [metric])[metric])
    return np.array(found)


def learning_curves(run: FinishedRun) -> list[LearningCurve]:
    """Return the learning curve of a run, or one a fold; empty where no history is known."""
    section = TrainSection() if run.recipe is None else run.recipe.train
    histories = [run.history] if run.history is not None else [fold.history for fold in run.folds]
    return [_learning_curve(table, section) for table in histories if table is not None]


def kept_row(history: Any, section: TrainSection) -> int:
    """Return the row of a history whose weights the training kept."""
    return _kept_row(history, section, EarlyStopping(section.monitor, section.patience))


def _kept_row(history: Any, section: TrainSection, stopping: EarlyStopping) -> int:
    kept = 0
    for row, score in enumerate(history.get(section.monitor, [None] * len(history))):
        kept = row if stopping.update(score) else kept
    return kept


def _learning_curve(history: Any, section: TrainSection) -> LearningCurve:
    stopping = EarlyStopping(section.monitor, section.patience)
    kept = _kept_row(history, section, stopping)
    in_first = int((history["epoch"] == history["epoch"].iloc[0]).sum())
    if in_first == len(history) and stopping.is_over:
        # Stopped within the first epoch.
        in_first = max(in_first, section.evaluations_per_epoch)
    columns = history.drop(columns=["step", "epoch"])
    values = {
        str(name): [None if np.isnan(value) else float(f"{value:.6g}") for value in column]
        for name, column in columns.items()
    }
    return LearningCurve(evaluations_per_epoch=in_first, kept=kept, values=values)
