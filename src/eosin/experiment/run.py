"""One run with one split: train, export, calibrate, evaluate."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.metrics import SplitMetrics
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import logits_table, write_predictions
from eosin.artifacts.versioned import write_document
from eosin.core.types import FloatArray, Samples
from eosin.evaluation import (
    Evaluated,
    calibrate_abstention,
    evaluate_predictions,
    evaluated_by,
    tune_threshold,
)
from eosin.evaluation.drift import write_profile
from eosin.evaluation.gate import find_passed, fit_gate
from eosin.experiment.backends import InitialWeights, Origin
from eosin.experiment.distillation import describe_teachers, teach
from eosin.experiment.explaining import explain_run
from eosin.experiment.split import Division
from eosin.experiment.stain import (
    adopt_reference,
    find_unchanged,
    fit_reference,
    write_stain,
)
from eosin.experiment.thumbnails import write_thumbnails
from eosin.experiment.writer import (
    Experiment,
    describe_training,
    finish_run,
    write_inputs,
)
from eosin.images.staining import check_uncut
from eosin.inference.classifier import Classifier
from eosin.inference.selftest import make_selftest
from eosin.metrics.calibration import fit_temperature, softmax
from eosin.training.balance import arrange, check_neighbours, describe_balance
from eosin.training.data import FitInputs, ImagePart
from eosin.training.tuning import Tuning

_LOG = logging.getLogger(__name__)


def fit_split(
    experiment: Experiment, division: Division, run: RunFolder, *, label: str = ""
) -> dict[str, SplitMetrics]:
    """Train on one split and evaluate its parts; returns the contents of ``metrics.json``."""
    recipe, watch, samples = experiment.recipe, experiment.watch, division.samples
    experiment = fit_reading(experiment, samples)
    write_inputs(run, division, experiment.prepared)
    train, val, test = (samples.part(name) for name in ("train", "val", "test"))
    balance = describe_balance(train.targets, samples.class_names, recipe.train, experiment.copies)
    write_document(run.balance, balance)
    with watch.stage("train"):
        inputs = fit_inputs(experiment, samples, teach(experiment, samples, run))
        device = experiment.device_settings.description
        _LOG.info(f"{label}training {experiment.spec.name} on {_count(inputs)}, {device}")
        network, initial = experiment.backend.train(recipe, experiment.start, inputs, run)
    _LOG.info(f"{label}exporting and evaluating")
    with watch.stage("export"):
        layers = experiment.backend.list_layers(network, experiment.bank.preprocessing)
        write_document(run.layers, layers)
        origin = _origin(experiment, samples, initial)
        draft = experiment.backend.write(
            network, ModelFolder(run.model), origin, experiment.bank.of(val)
        )
    with watch.stage("evaluate"):
        info, evaluated, logits = _evaluate_parts(
            experiment, run, add_gate(draft, experiment, train), {"val": val, "test": test}
        )
        splits = {
            name: evaluate_predictions(part, recipe.evaluate, recipe.seed)
            for name, part in evaluated.items()
        }
        write_predictions(run, list(evaluated.values()), logits)
        write_profile(ModelFolder(run.model), experiment.bank, train, evaluated["val"])
        treated = train if recipe.stain.apply_to == "training" else samples
        store, rows = experiment.bank.training.store, experiment.bank.of(treated).rows
        write_stain(run, find_unchanged(store, rows, treated), samples.root)
        write_thumbnails(run, division, evaluated["test"], experiment)
    with watch.stage("explain"):
        info = explain_run(run, info, evaluated["test"], experiment.bank)
    finish_run(run, describe_training(run, experiment), info, splits, splits)
    return splits


def add_gate(draft: ModelInfo, experiment: Experiment, train: Samples) -> ModelInfo:
    """Return ``model.json`` with the gate, fitted on training images, if the recipe has one."""
    if not experiment.recipe.evaluate.gate:
        return draft.model_copy(update={"gate": None})
    images = experiment.bank.of(train)
    gate = fit_gate(images, train.groups, experiment.bank.preprocessing)
    return draft.model_copy(update={"gate": gate})


def fit_reading(experiment: Experiment, samples: Samples) -> Experiment:
    """Fit intensity window and stain reference on a split's training subset alone.

    A training whose initial weights were trained under a stain reference keeps that one.
    """
    train, recipe = samples.part("train"), experiment.recipe
    percentiles = recipe.data.percentiles if recipe.data.window == "percentile" else None
    bank = experiment.bank.reading(experiment.bank.fit_window(train, percentiles))
    if recipe.stain.is_on:
        check_uncut(samples, recipe.stain.unit)
        images = bank.of(train)
        stain = adopt_reference(recipe.stain, experiment.start.stain)
        if stain is None:
            stain = fit_reference(recipe.stain, bank.store, images.rows, train, recipe.seed)
        key = "stain" if recipe.stain.apply_to == "all" else "training_stain"
        bank = bank.reading(bank.preprocessing.model_copy(update={key: stain}))
    return replace(experiment, bank=bank)


def fit_inputs(
    experiment: Experiment, samples: Samples, soft: FloatArray | None = None
) -> FitInputs:
    """Return a split's training inputs, with copies and balancing of the training subset.

    ``soft`` are teachers' probabilities of the training images, shape (N, K).

    Raises:
        DataError: SMOTE is requested for a class with one training image.
    """
    recipe = experiment.recipe
    bank, train_part, val_part = experiment.bank, samples.part("train"), samples.part("val")
    train = ImagePart(bank.training.of(train_part), train_part.targets, soft)
    val = ImagePart(bank.of(val_part), val_part.targets)
    if recipe.train.balance == "smote":
        check_neighbours(train.targets, samples.class_names)
    inputs = FitInputs(
        train=train,
        val=val,
        preprocessing=experiment.bank.preprocessing,
        policy=experiment.policy,
        positive=_positive(samples),
        n_classes=len(samples.class_names),
        seed=recipe.seed,
        device_settings=experiment.device_settings,
        tuning=_tuning(experiment),
    )
    return arrange(inputs, recipe.train, experiment.copies)


def _count(inputs: FitInputs) -> str:
    n_images, n_shown = len(inputs.once), len(inputs.train)
    return f"{n_images} images" + (f" ({n_shown} with copies)" if n_shown != n_images else "")


def _tuning(experiment: Experiment) -> Tuning:
    recipe, transfer = experiment.recipe, experiment.recipe.transfer
    return Tuning(
        stages=experiment.spec.stages,
        freeze=transfer.freeze,
        unfreeze_every=transfer.unfreeze_every,
        layer_decay=transfer.layer_decay,
        standardise=transfer.standardise or recipe.model.table is not None,
    )


def _positive(samples: Samples) -> int | None:
    binary = len(samples.class_names) == 2 and samples.positive is not None
    return samples.class_names.index(str(samples.positive)) if binary else None


def _origin(experiment: Experiment, samples: Samples, initial: InitialWeights) -> Origin:
    model, spec = experiment.recipe.model, experiment.spec
    preprocessing = experiment.bank.preprocessing
    arguments = {**spec.arguments, **model.arguments, "input_px": preprocessing.network_px}
    return Origin(
        architecture=spec.name,
        arguments=arguments,
        samples=samples,
        preprocessing=preprocessing,
        facts=experiment.prepared.facts,
        fingerprint=experiment.prepared.fingerprint,
        initial=initial,
        teachers=describe_teachers(experiment.recipe),
        frozen=experiment.recipe.transfer.freeze,
        test_time=experiment.recipe.augment.test_time,
        mpp=model.mpp,
    )


def _evaluate_parts(
    experiment: Experiment, run: RunFolder, draft: ModelInfo, parts: dict[str, Samples]
) -> tuple[ModelInfo, dict[str, Evaluated], list[Any]]:
    """Calibrate and tune thresholds on validation, then evaluate the test subset once."""
    evaluate = experiment.recipe.evaluate
    classifier = Classifier(run.model, info=draft)
    images = {name: experiment.bank.of(part) for name, part in parts.items()}
    logits = {name: classifier.logits(images[name]) for name in parts}
    refused = {name: classifier.refuse(images[name]) for name in parts}
    kept = find_passed(refused["val"], parts["val"].targets)
    val, logits_val = parts["val"].where(kept), logits["val"][kept]
    temperature, fitted_on = 1.0, "nothing: disabled in the recipe"
    if evaluate.temperature:
        n_groups = len(set(val.groups))
        temperature, fitted_on = fit_temperature(logits_val, val.targets, n_groups), "val"
    probabilities = softmax(logits_val, temperature)
    info = draft.model_copy(
        update={
            "temperature": temperature,
            "temperature_source": fitted_on,
            "threshold": tune_threshold(
                val, probabilities, evaluate, "val", experiment.recipe.seed
            ),
            "abstention": calibrate_abstention(val, probabilities, evaluate, "val"),
        }
    )
    classifier = Classifier(run.model, info=info)
    selftest = make_selftest(classifier, images["val"])
    info = info.model_copy(update={"selftest": selftest})
    evaluated = {
        name: evaluated_by(classifier, part, logits[name], refused[name])
        for name, part in parts.items()
    }
    return info, evaluated, [logits_table(part, logits[name]) for name, part in parts.items()]
