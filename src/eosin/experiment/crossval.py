"""Cross-validation: one run folder for each fold, with out-of-fold predictions."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from eosin.artifacts.layout import OUT_OF_FOLD, TEST_BY_FOLD, ModelFolder, RunFolder
from eosin.artifacts.metrics import Abstention, SplitMetrics
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import logits_table, write_predictions
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import read_document
from eosin.core.text import of_groups, quantity
from eosin.core.types import COPY, Samples
from eosin.ensembling.pooling import (
    NOTABLE_GAP,
    format_gap,
    join_preprocessing,
    mean_threshold,
    some_of,
    write_mean,
)
from eosin.evaluation import (
    Evaluated,
    calibrate_abstention,
    evaluate_predictions,
    evaluated_by,
    pool_folds,
)
from eosin.evaluation.drift import write_profile
from eosin.evaluation.gate import find_passed
from eosin.experiment.distillation import of_fold
from eosin.experiment.explaining import explain_run
from eosin.experiment.run import add_gate, fit_split
from eosin.experiment.split import Division
from eosin.experiment.stain import Treated, find_unchanged, pool_stain
from eosin.experiment.thumbnails import write_thumbnails
from eosin.experiment.writer import (
    Experiment,
    Stopwatch,
    describe_training,
    finish_run,
    write_inputs,
    write_recipe,
)
from eosin.inference.classifier import Classifier
from eosin.recipe.schema import Recipe
from eosin.reporting import write_report
from eosin.reporting.formatting import number

_LOG = logging.getLogger(__name__)

#: Name of the out-of-fold metrics in the ensemble's ``model.json``: it was not evaluated itself.
MEMBERS = "members_out_of_fold"


def fit_folds(
    experiment: Experiment, division: Division, run: RunFolder
) -> dict[str, SplitMetrics]:
    """Train every unfinished fold and evaluate out of fold.

    Returns:
        The metrics of ``oof``. With a test subset beside the folds, also those of the ensemble
        on it, ``test``, and of each fold's network, ``test_by_fold``.
    """
    write_inputs(run, division, experiment.prepared)
    for count, (key, fold) in enumerate(division.folds.items(), start=1):
        place = run.fold(*key)
        site = fold.report.parts["test"].site
        label = f"fold {count} of {len(division.folds)}{f' (site {site})' if site else ''}: "
        if place.metrics.exists():
            _LOG.info(f"{label}already done")
            experiment.watch.add(Stopwatch(read_document(place.environment, Environment).seconds))
            if not place.report.exists():
                write_report(place.root)
            continue
        recipe = of_fold(_fold_recipe(experiment, fold.samples.positive), key)
        write_recipe(place, recipe)
        one = replace(experiment, recipe=recipe, watch=Stopwatch())
        splits = fit_split(one, fold, place, label=label)
        experiment.watch.add(one.watch)
        write_report(place.root)
        _LOG.info(f"{label}{_headline(splits['test'])}")
    return _pool(experiment, division, run)


def _fold_recipe(experiment: Experiment, positive: str | None) -> Recipe:
    """Return a recipe that repeats one fold from its manifest.

    Stages are shared by all folds: the recipe starts from the weights of the last stage.
    """
    recipe = experiment.recipe
    by = "group" if recipe.data.split.by == "site" else recipe.data.split.by
    split = recipe.data.split.model_copy(update={"protocol": "column", "by": by})
    data = recipe.data.model_copy(
        update={
            "dataset": None,
            "root": None,
            "options": {},
            "manifest": "manifest.csv",
            # A data set knows its positive class; for a manifest it must be given.
            "positive": positive,
        }
    )
    start = {"source": experiment.start.source, "stage": ()}
    return recipe.model_copy(
        update={
            "data": data.model_copy(update={"split": split}),
            "transfer": recipe.transfer.model_copy(update=start),
        }
    )


def _headline(metrics: SplitMetrics) -> str:
    values = [(name, metrics.image[name].value) for name in ("auc", "accuracy")]
    shown = [f"{name} {'undefined' if v is None else number(v)}" for name, v in values]
    images = f"{quantity(metrics.n_images, 'image')}{of_groups(metrics.n_groups, metrics.unit)}"
    return f"{', '.join(shown)} on {images}"


def _write_ensemble(
    experiment: Experiment, division: Division, run: RunFolder, abstention: Abstention | None
) -> tuple[Experiment, ModelInfo]:
    """Write ``RUN/model``, and return its images and ``model.json``, which is not yet written."""
    model = experiment.recipe.model
    some = some_of(next(iter(division.folds.values())).samples)
    places = [ModelFolder(run.fold(*key).model) for key in division.folds]
    infos = [read_document(place.info, ModelInfo) for place in places]
    joined = join_preprocessing([info.preprocessing for info in infos])
    draft = infos[0].model_copy(
        update={
            "arguments": {
                "architecture": infos[0].architecture,
                "members": len(places),
                "input_px": joined.network_px,
                **model.arguments,
            },
            "threshold": mean_threshold(
                infos, "the folds' thresholds, each tuned on its inner validation subset"
            ),
            "abstention": abstention,
            "teachers": tuple(dict.fromkeys(one for info in infos for one in info.teachers)),
        }
    )
    info, gap = write_mean(
        ModelFolder(run.model), places, draft, lambda own: experiment.bank.reading(own).of(some)
    )
    if gap > NOTABLE_GAP:
        _LOG.info(format_gap(gap, len(some)))
    return replace(experiment, bank=experiment.bank.reading(joined)), info


def _pool(experiment: Experiment, division: Division, run: RunFolder) -> dict[str, SplitMetrics]:
    _LOG.info("Pooling the held-out predictions")
    recipe, test, treated = experiment.recipe, division.beside_folds, list[Treated]()
    with experiment.watch.stage("evaluate"):
        evaluated, tables = evaluate_folds(experiment, division, run)
        known = evaluated[OUT_OF_FOLD]
        passed = find_passed(known.refused, known.samples.targets)
        rule = calibrate_abstention(
            known.samples.where(passed), known.probabilities[passed], recipe.evaluate
        )
    with experiment.watch.stage("export"):
        experiment, info = _write_ensemble(experiment, division, run, rule)
        # Every image of the folds was in the training subset of some fold.
        info = add_gate(info, experiment, _once(known.samples))
    with experiment.watch.stage("evaluate"):
        if test is not None:
            # All is chosen by now; the ensemble belongs to no repeat and no fold.
            test = replace(test, frame=test.frame.assign(repeat="", fold=""))
            classifier = Classifier(run.model, info=info)
            images = experiment.bank.of(test)
            logits = classifier.logits(images)
            evaluated["test"] = evaluated_by(classifier, test, logits, classifier.refuse(images))
            tables.append(logits_table(test, logits))
            treated = find_unchanged(experiment.bank.store, images.rows, test)
        splits = {
            name: evaluate_predictions(part, recipe.evaluate, recipe.seed)
            for name, part in evaluated.items()
        }
    write_predictions(run, list(evaluated.values()), tables)
    write_profile(ModelFolder(run.model), experiment.bank, known.samples, known)
    pool_stain(run, [run.fold(*key) for key in division.folds], OUT_OF_FOLD, treated)
    first = next(iter(division.folds.values()))
    shown = evaluated.get("test", known)
    write_thumbnails(run, replace(division, samples=first.samples), shown, experiment)
    with experiment.watch.stage("explain"):
        # The ensemble has seen the images of its folds: each is explained by the fold's network.
        held_out_by = None if test is not None else partial(_model_of, run)
        info = explain_run(run, info, shown, experiment.bank, held_out_by)
    measured = {MEMBERS: splits[OUT_OF_FOLD]}
    if test is not None:
        measured = {"test": splits["test"], **measured}
    finish_run(run, describe_training(run, experiment), info, splits, measured)
    return splits


def _once(samples: Samples) -> Samples:
    """Return each image of out-of-fold predictions once."""
    frame = samples.frame[[name for name in ("path", COPY) if name in samples.frame]]
    return samples.where(~frame.duplicated().to_numpy())


def _model_of(run: RunFolder, row: Any) -> tuple[ModelFolder, ModelInfo]:
    """Return the model that predicted a row of the out-of-fold predictions."""
    folder = ModelFolder(run.fold(int(row["repeat"]), int(row["fold"])).model)
    return folder, read_document(folder.info, ModelInfo)


def evaluate_folds(
    experiment: Experiment, division: Division, run: RunFolder
) -> tuple[dict[str, Evaluated], list[pd.DataFrame]]:
    """Evaluate each fold's model on what the fold held out, and on a test subset beside it.

    Returns:
        Predictions by split, ``oof`` and with a test subset ``test_by_fold``, decided at each
        fold's own threshold; their raw logits.
    """
    parts: dict[str, list[Evaluated]] = {OUT_OF_FOLD: [], TEST_BY_FOLD: []}
    tables: dict[str, list[pd.DataFrame]] = {OUT_OF_FOLD: [], TEST_BY_FOLD: []}
    test = division.beside_folds
    for key, fold in division.folds.items():
        classifier = Classifier(run.fold(*key).model)
        # A fold's own intensity window or stain reference, if any.
        bank = experiment.bank.reading(classifier.info.preprocessing)
        for name, part in ((OUT_OF_FOLD, fold.samples.part("test")), (TEST_BY_FOLD, test)):
            if part is not None:
                own = {"split": name, "repeat": str(key[0]), "fold": str(key[1])}
                samples = replace(part, frame=part.frame.assign(**own))
                images = bank.of(samples)
                logits, refused = classifier.logits(images), classifier.refuse(images)
                parts[name].append(evaluated_by(classifier, samples, logits, refused))
                tables[name].append(logits_table(samples, logits))
    evaluated = {OUT_OF_FOLD: pool_folds(parts[OUT_OF_FOLD], experiment.recipe.evaluate)}
    if test is not None:
        # No rule of abstention: it would be calibrated on test images.
        no_rule = experiment.recipe.evaluate.model_copy(update={"abstain": False})
        evaluated[TEST_BY_FOLD] = pool_folds(parts[TEST_BY_FOLD], no_rule)
    return evaluated, [*tables[OUT_OF_FOLD], *tables[TEST_BY_FOLD]]
