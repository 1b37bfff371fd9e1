"""8-bit network of ``export --int8``: calibrated on training, evaluated on validation images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from eosin.artifacts.int8 import Both, CalibrationImages, Int8
from eosin.artifacts.integrity import check_run_files, hinting
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.metrics import Metric
from eosin.artifacts.model import ModelInfo
from eosin.core.errors import ArtifactError, UsageError
from eosin.core.seeding import generator
from eosin.core.text import of_groups, quantity, unit_of
from eosin.core.types import FloatArray, ImageSource, Samples
from eosin.evaluation import (
    Evaluated,
    calibrate_abstention,
    evaluated_by,
    tune_threshold,
)
from eosin.evaluation.gate import find_passed
from eosin.experiment.copies import bank_of_copies
from eosin.images.bank import load_bank
from eosin.images.preprocess import to_input
from eosin.images.references import without
from eosin.inference.classifier import Classifier
from eosin.inference.selftest import unpack_images
from eosin.metrics.calibration import fit_temperature, softmax
from eosin.metrics.comparison import Draws, difference, draw
from eosin.metrics.summary import count_patients, summarise
from eosin.recipe.schema import EvaluateSection
from eosin.reporting.formatting import metric_text
from eosin.runs.finished import FinishedRun
from eosin.runs.held_out import own_split

_LOG = logging.getLogger(__name__)

#: Most training images that the activations are calibrated on.
CALIBRATION_IMAGES = 256
#: Largest loss of AUC on the validation images.
MAX_AUC_LOSS = 0.005
_BATCH = 16
_JUDGED = ("auc", "ece")


def add_int8(run: FinishedRun, folder: ModelFolder, info: ModelInfo) -> ModelInfo:
    """Write the 8-bit network into a copy of a run's model folder, and evaluate it.

    Args:
        run: The run, with its images.
        folder: The copy, with ``model.onnx``.
        info: Content of its ``model.json``.

    Returns:
        The content with the record of the 8-bit network.

    Raises:
        ArtifactError: It loses too much, cannot be made or cannot be evaluated.
        UsageError: The run has no training or validation images.
    """
    from eosin.exporting.int8 import write_int8

    with hinting():
        check_run_files(run.folder, (run.folder.recipe, run.folder.manifest))
    _, seed = _settings(run)
    (train, images), (val, held_out) = (_read(run, part, info) for part in ("train", "val"))
    rows = generator(seed, "int8").permutation(len(train))[:CALIBRATION_IMAGES]

    def batches() -> Iterator[FloatArray]:
        for start in range(0, len(rows), _BATCH):
            yield to_input(images[rows[start : start + _BATCH]], info.preprocessing)

    _LOG.info(
        f"Calibrating 8 bits on {quantity(len(rows), 'training image')}, evaluating them on "
        f"{quantity(len(val), 'validation image')}"
    )
    write_int8(folder.onnx, folder.int8, batches)
    used = train.frame["patient"].iloc[rows]
    calibration = CalibrationImages(
        n_images=len(rows), n_patients=count_patients(list(used)), seed=seed
    )
    found = _evaluate(run, folder, info, (val, held_out), calibration)
    _check_loss(found)
    # The checks of explanations are those of the network in single precision.
    return info.model_copy(update={"int8": found, "explanation": None})


def _check_loss(found: Int8) -> None:
    """Raise ArtifactError where the loss of AUC is too large, or unknown."""
    auc = found.auc
    unit = unit_of(found.n_images, found.n_groups, found.n_patients)
    images = f"{quantity(found.n_images, 'validation image')}{of_groups(found.n_groups, unit)}"
    hint = "Use the float32 network: leave --int8 out"
    if auc.difference.value is None:
        raise ArtifactError(
            f"the loss of 8 bits cannot be measured on {images}: {auc.int8.reason}", hint=hint
        )
    if auc.difference.value < -MAX_AUC_LOSS:
        raise ArtifactError(
            f"with 8 bits the AUC on {images} falls from {auc.float32.value:.4f} to "
            f"{auc.int8.value:.4f} (a loss of at most {MAX_AUC_LOSS:g} is allowed), so nothing was "
            "written",
            hint=hint,
        )


def _read(run: FinishedRun, part: str, info: ModelInfo) -> tuple[Samples, ImageSource]:
    """Return the images of a part of the run that can be read, and its rows."""
    parent = run.root.resolve().parent
    if not run.folder.manifest.exists():
        raise UsageError(
            f"{run.root} is a model folder, which contains no images: 8 bits are calibrated on a "
            "run's training images and evaluated on its validation images",
            hint=f"Name its run folder: {parent}"
            if RunFolder(parent).manifest.exists()
            else "Name the run folder",
        )
    if run.folder.folds.is_dir():
        raise UsageError(
            "every image of a run with folds trained some of its networks, so that none is left to "
            "evaluate their ensemble",
            hint=f"Name one fold's run folder, such as {run.folder.fold(0, 0).root}",
        )
    samples = own_split(run, part)
    bank, hashes = load_bank(samples, info.preprocessing)
    if run.recipe is not None and run.recipe.augment.copies_before_split:
        bank = bank_of_copies(bank, hashes, run.recipe.augment, run.recipe.seed)
    readable = without(samples, hashes.unreadable)
    if not len(readable):
        raise UsageError(f"no {part} image of {run.root} can be read")
    return readable, bank.of(readable)


def _evaluate(
    run: FinishedRun,
    folder: ModelFolder,
    info: ModelInfo,
    held_out: tuple[Samples, ImageSource],
    calibration: CalibrationImages,
) -> Int8:
    """Calibrate the 8-bit network as the float32 one was, and compare the two."""
    val, images = held_out
    section, seed = _settings(run)
    float32 = Classifier(folder.root, info=info, network=folder.onnx)
    before = evaluated_by(float32, val, float32.logits(images))
    int8 = Classifier(folder.root, info=info, network=folder.int8)
    logits = int8.logits(images)
    untuned = evaluated_by(int8, val, logits)
    # Of an ensemble of chosen runs nothing was tuned on these images.
    kept = find_passed(float32.refuse(images), val.targets)
    tuned = info
    if run.recipe is not None:
        tuned = _tune(info, val.where(kept), logits[kept], section, seed)
    int8 = Classifier(folder.root, info=tuned, network=folder.int8)
    after = evaluated_by(int8, val, logits)
    measured = [_draw(one, section, seed) for one in (before, after, untuned)]
    expected = int8.probabilities(int8.logits(np.asarray(unpack_images(info))))
    gaps = np.abs(before.probabilities - after.probabilities)
    return Int8(
        calibration=calibration,
        n_images=len(val),
        n_patients=count_patients(list(val.frame["patient"])),
        n_groups=len(set(val.groups)),
        auc=_both("auc", *measured[:2]),
        ece=_both("ece", *measured[:2]),
        ece_at_float32_temperature=measured[2].alone["ece"],
        max_probability_gap=float(gaps.max()),
        mean_probability_gap=float(gaps.mean()),
        n_other_decisions=int((before.decided != after.decided).sum()),
        n_bytes=folder.int8.stat().st_size,
        n_bytes_float32=folder.onnx.stat().st_size,
        temperature=tuned.temperature,
        temperature_source=tuned.temperature_source,
        threshold=tuned.threshold,
        abstention=tuned.abstention,
        probabilities=[tuple(row) for row in expected.tolist()],
        decisions=tuple(int8.decide(expected)),
    )


def _settings(run: FinishedRun) -> tuple[EvaluateSection, int]:
    return (run.recipe.evaluate, run.recipe.seed) if run.recipe else (EvaluateSection(), 0)


def _tune(
    info: ModelInfo, val: Samples, logits: FloatArray, section: EvaluateSection, seed: int
) -> ModelInfo:
    """Fit temperature, threshold and abstention as the training did."""
    temperature = info.temperature
    if section.temperature:
        temperature = fit_temperature(logits, val.targets, len(set(val.groups)))
    probabilities = softmax(logits, temperature)
    changes = {
        "temperature": temperature,
        "threshold": tune_threshold(val, probabilities, section, "val", seed),
        "abstention": calibrate_abstention(val, probabilities, section, "val"),
    }
    return info.model_copy(update=changes)


@dataclass(frozen=True, eq=False)
class _Measured:
    """Metrics of one network: with intervals, and of each resample."""

    alone: dict[str, Metric]
    draws: Draws


def _draw(evaluated: Evaluated, section: EvaluateSection, seed: int) -> _Measured:
    predictions = evaluated.predictions(evaluated.predicted)
    found = summarise(predictions, names=_JUDGED, resamples=section.resamples, seed=seed)
    alone = {name: Metric.of(one) for name, one in found.items()}
    return _Measured(alone, draw(predictions, _JUDGED, resamples=section.resamples, seed=seed))


def _both(name: str, before: _Measured, after: _Measured) -> Both:
    return Both(
        float32=before.alone[name],
        int8=after.alone[name],
        difference=Metric.of(difference(after.draws, before.draws, name)),
    )


def format_int8(int8: Int8) -> list[str]:
    """Return the terminal output on an 8-bit network."""
    unit = unit_of(int8.n_images, int8.n_groups, int8.n_patients)
    images = f"{quantity(int8.n_images, 'validation image')}{of_groups(int8.n_groups, unit)}"
    auc, ece = int8.auc, int8.ece
    return [
        f"INT8 on {images}: AUC {metric_text(auc.int8)}, with float32 {metric_text(auc.float32)}, "
        f"difference {metric_text(auc.difference)}",
        f"ECE {metric_text(ece.int8)}, with float32 {metric_text(ece.float32)}, at the temperature "
        f"of float32 {metric_text(int8.ece_at_float32_temperature)}",
        f"largest difference of a probability {int8.max_probability_gap:.2g}, on average "
        f"{int8.mean_probability_gap:.2g}; {quantity(int8.n_other_decisions, 'other decision')}",
        f"size {int8.n_bytes / 1e6:.2f} MB, with float32 {int8.n_bytes_float32 / 1e6:.2f} MB",
    ]
