"""Dry run of a training (``train --plan``): its steps, requirements and costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eosin.artifacts.manifest import relocated
from eosin.artifacts.run import SplitReport
from eosin.core.display import Shown
from eosin.core.text import TextTable, mebibytes, of_groups, quantity, unit_of
from eosin.core.types import APPEARANCE, Samples
from eosin.experiment.environment import default_output
from eosin.experiment.run import fit_inputs, fit_reading
from eosin.experiment.writer import Experiment
from eosin.images.staining import KEPT_BYTES
from eosin.recipe.schema import Recipe
from eosin.training.data import RECALIBRATED, Probe, embedded_part
from eosin.training.sampler import evaluation_steps, make_batches

_MEBIBYTE = 2**20
#: Size of a run folder's report, figures, thumbnails (1.3 to 2 MiB measured).
_PAGES_BYTES = 3 * _MEBIBYTE // 2
#: Memory that export and report add after training (90 to 150 MiB).
_AFTERWARDS_BYTES = 150 * _MEBIBYTE
#: An image's row of inputs.parquet.
_INPUT_BYTES = 12
#: A class's probability in predictions.csv, and its logit in logits.parquet.
_CLASS_BYTES = 20 + 8


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """Result of a dry run: steps, requirements and costs of a training.

    Attributes:
        n_images: Readable images.
        n_groups: Units that do not cross the split.
        n_skipped: Unreadable images.
        classes: Images of each class.
        positive: The positive class of a binary task.
        n_patients: Known patients.
        n_unknown_patients: Images of unknown patient.
        split: Requested and actual split.
        device: Device of the training.
        params: Learnable weights.
        macs: Multiply-accumulates of one image.
        trainings: Networks to train (folds × repeats).
        steps: Most optimiser steps in all.
        evaluations: Most evaluations of the validation subset in all.
        seconds: Duration of these steps and evaluations, estimated by a probe.
        probe: Measurements of the probe.
        cache_bytes: Size of the decoded images in the cache.
        kept_bytes: Memory of images whose stain is normalised.
        run_bytes: Size of the finished run folder.
        checkpoint_bytes: Size of the checkpoints, one training's at a time, until it is finished.
        is_head_only: True if a head is trained on features that are computed once.
        stages: Trainings on other data that come first, by name.
        n_clusters: Clusters of similar appearance that the split keeps whole; ``None`` where it
            is drawn by another unit.
    """

    n_images: int
    n_groups: int
    n_skipped: int
    classes: dict[str, int]
    positive: str | None
    n_patients: int
    n_unknown_patients: int
    split: SplitReport
    device: str
    params: int
    macs: int
    trainings: int
    steps: int
    evaluations: int
    seconds: float
    probe: Probe
    cache_bytes: int
    run_bytes: int
    checkpoint_bytes: int = 0
    is_head_only: bool = False
    kept_bytes: int = 0
    stages: tuple[tuple[str, Plan], ...] = ()
    n_clusters: int | None = None

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        return {
            "images": self.n_images,
            "groups": self.n_groups,
            "skipped": self.n_skipped,
            "device": self.device,
            "params": self.params,
            "trainings": self.trainings,
            "steps": self.steps,
            "time": f"about {_duration(self._sum('seconds'))} at most",
        }

    def table(self) -> TextTable:
        """Return the plan as a table of two columns."""
        known = None if self.n_unknown_patients else self.n_patients
        unit = unit_of(self.n_images, self.n_groups, known)
        parts = ", ".join(
            f"{part.site or name} {part.n_images:,}"
            + ("" if unit == "image" else f" ({quantity(part.n_groups, unit)})")
            for name, part in self.split.parts.items()
        )
        images = f"{quantity(self.n_images, 'image')}{of_groups(self.n_groups, unit)}"
        time = (
            f"about {_duration(self._sum('seconds'))} at most, measured on a few steps "
            "at the current load of this machine; evaluation and report not included"
        )
        disk = (
            f"about {mebibytes(self._sum('run_bytes'))} for the run, "
            f"{mebibytes(self.checkpoint_bytes)} more during training, "
            f"{mebibytes(self._sum('cache_bytes'))} for decoded images in the cache"
        )
        stages = [
            f"{name}: {one.n_images} images, {one._training()}, about {_duration(one.seconds)}"
            for name, one in self.stages
        ]
        rows = [
            ("data", f"{images}, {self.n_skipped} unreadable"),
            ("classes", self._classes()),
            ("patients", self._patients()),
            ("split", f"{self.split.protocol}: {parts}{self._clusters()}"),
            ("model", f"{self.params:,} params, {self.macs / 1e6:,.1f} M MACs per image"),
            ("device", self.device),
            *(("stage", stage) for stage in stages),
            ("training", f"{quantity(self.trainings, 'network')}: {self._training()}"),
            ("time", time),
            ("memory", self._memory()),
            ("disk", disk),
        ]
        return TextTable([("", ""), *rows], plain=[f"{name:<10} {text}" for name, text in rows])

    def _classes(self) -> str:
        sizes = ", ".join(f"{name} {n:,}" for name, n in self.classes.items())
        return f"{sizes} (positive: {self.positive})" if self.positive else sizes

    def _patients(self) -> str:
        n, unknown = self.n_patients, self.n_unknown_patients
        if not unknown:
            return f"{n:,}"
        known = f"{n:,}; unknown" if n else "unknown"
        return f"{known} for {unknown:,} of {self.n_images:,} images"

    def _clusters(self) -> str:
        if self.n_clusters is None:
            return ""
        return f"; by {quantity(self.n_clusters, 'appearance cluster')}, which are not patients"

    def _sum(self, name: str) -> Any:
        return sum(getattr(plan, name) for plan in (self, *(stage for _, stage in self.stages)))

    def _training(self) -> str:
        if self.is_head_only:
            return "its head only, on features that are computed once"
        steps = f"{self.steps // self.trainings:,}"
        return f"up to {steps} steps, {self.probe.step_s * 1000:,.0f} ms per step"

    def _memory(self) -> str:
        peak = self.probe.peak_bytes
        if peak is None:
            return "not reported by this system"
        if self.probe.on_accelerator:
            return f"about {mebibytes(peak)} on the accelerator (peak of the measured steps)"
        total = mebibytes(peak + self.kept_bytes + _AFTERWARDS_BYTES)
        return f"about {total} (peak of the measured steps, plus export and report)"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def make_plan(experiment: Experiment, samples: Samples, split: SplitReport, trainings: int) -> Plan:
    """Count images, weights and steps, and time a probe of the training."""
    recipe, prepared = experiment.recipe, experiment.prepared
    experiment = fit_reading(experiment, samples)
    train, inputs = recipe.train, fit_inputs(experiment, samples)
    measured = experiment.backend.measure(recipe, experiment.start, inputs)
    params, probe = measured.params, measured.probe
    per_epoch = len(make_batches(inputs.train.targets, train, recipe.seed))
    steps = trainings * train.epochs * per_epoch
    per_epoch = len(evaluation_steps(per_epoch, train.evaluations_per_epoch))
    evaluations = trainings * train.epochs * per_epoch
    is_estimated = train.batch_norm == "recalibrated" or train.weight_averaging == "swa"
    recalibrated = min(RECALIBRATED, len(inputs.once)) if is_estimated else 0
    judging = evaluations * (len(inputs.val) + recalibrated) * probe.evaluate_image_s
    seconds = steps * probe.step_s + judging
    if measured.is_head_only:
        n_embedded = len(embedded_part(inputs)) + len(inputs.val)
        seconds = trainings * n_embedded * probe.evaluate_image_s
    names, targets = prepared.samples.class_names, prepared.samples.targets
    clusters = prepared.samples.frame.get(APPEARANCE)
    patients = prepared.samples.frame["patient"]
    return Plan(
        n_images=len(prepared.samples),
        n_groups=int(prepared.samples.frame["group"].nunique()),
        n_skipped=len(prepared.skipped),
        classes=dict(zip(names, np.bincount(targets, minlength=len(names)).tolist(), strict=True)),
        positive=prepared.samples.positive,
        n_patients=patients[patients != ""].nunique(),
        n_unknown_patients=int((patients == "").sum()),
        split=split,
        device=experiment.device_settings.description,
        params=params,
        macs=measured.macs,
        trainings=trainings,
        steps=steps,
        evaluations=evaluations,
        seconds=seconds,
        probe=probe,
        cache_bytes=experiment.bank.n_bytes,
        run_bytes=_run_bytes(params, trainings) + _table_bytes(recipe, samples, split, trainings),
        checkpoint_bytes=0 if measured.is_head_only else _checkpoint_bytes(params, recipe),
        is_head_only=measured.is_head_only,
        n_clusters=None if clusters is None else int(clusters.nunique()),
        kept_bytes=min(experiment.bank.n_bytes, KEPT_BYTES) if recipe.stain.is_on else 0,
    )


def _run_bytes(params: int, trainings: int) -> int:
    """Add up weights, ONNX and pages of every training; folds end in an ensemble of them all."""
    folders = 2 * trainings if trainings > 1 else 1
    pages = trainings + 1 if trainings > 1 else 1
    return 4 * params * 2 * folders + _PAGES_BYTES * pages


def _checkpoint_bytes(params: int, recipe: Recipe) -> int:
    """Add up the best weights and the last checkpoint with moments and averaged weights."""
    moments = 1 if recipe.train.optimizer == "sgd" else 2
    average = 0 if recipe.train.weight_averaging == "none" else 1
    return 4 * params * (1 + 1 + moments + average)


def _table_bytes(recipe: Recipe, samples: Samples, split: SplitReport, trainings: int) -> int:
    """Add up manifest, inputs, split and predictions; of many small images they are the most."""
    # Paths are relative to the run folder.
    frame = relocated(samples, default_output(recipe.name)).frame
    manifest = len(frame.to_csv(index=False).encode())
    row = manifest // len(samples) + _CLASS_BYTES * len(samples.class_names)
    evaluated = row * int((samples.frame["split"] != "train").sum())
    once = manifest + _INPUT_BYTES * len(samples) + len(split.model_dump_json(indent=2))
    if trainings == 1:
        return once + evaluated
    # Every fold has its own; each image is held out once per repeat, or in the test subset
    # beside the folds, which each network and their mean predict.
    beside = split.parts["test"].n_images if "test" in split.parts else 0
    pooled = row * (len(samples) * recipe.data.split.repeats + beside * (trainings + 1))
    return once + trainings * (manifest + evaluated) + pooled
