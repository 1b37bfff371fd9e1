"""Command ``evaluate``: evaluation of a model on a split or an external manifest, without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.columns import Columns
from eosin.artifacts.integrity import check_run_files, hinting
from eosin.artifacts.layout import OUT_OF_FOLD, ModelFolder, RunFolder
from eosin.artifacts.manifest import write_manifest
from eosin.artifacts.metrics import SplitMetrics, write_metrics
from eosin.artifacts.model import Embedding, ModelInfo, Preprocessing
from eosin.artifacts.predictions import logits_table, write_predictions
from eosin.artifacts.profile import Drift
from eosin.artifacts.robustness import Robustness
from eosin.artifacts.versioned import read_document, write_document
from eosin.commands.report import leaving
from eosin.core.display import Shown
from eosin.core.errors import ArtifactError, UsageError, end_with
from eosin.core.files import check_output, prepare_output
from eosin.core.types import SPLITS, ImageReference, Samples, change_parts
from eosin.data.audit import FileHashes
from eosin.data.external import EXTERNAL, read_external
from eosin.evaluation import Evaluated, evaluate_predictions, evaluated_by, pool_folds
from eosin.evaluation.drift import find_drift
from eosin.evaluation.robustness import change_images, check_changeable, measure_robustness
from eosin.experiment.copies import bank_of_copies
from eosin.experiment.environment import default_output
from eosin.experiment.features import load_features
from eosin.experiment.stain import Treated, find_unchanged, write_stain
from eosin.images.bank import ImageBank, load_bank
from eosin.images.references import Skipped, without, write_skipped
from eosin.images.staining import check_units
from eosin.inference.classifier import Classifier
from eosin.recipe.schema import EvaluateSection, Recipe
from eosin.reporting import write_report
from eosin.reporting.terminal import split_facts
from eosin.runs.finished import FinishedRun
from eosin.runs.held_out import find_model, own_parts
from eosin.runs.overlap import audit_overlap


@dataclass(frozen=True, repr=False)
class Assessment(Shown):
    """Result of ``evaluate``.

    Attributes:
        folder: Folder of ``metrics.json``, ``predictions.csv`` and ``report.html``.
        metrics: Measurements by split.
        skipped: ``(path, reason)`` of images that could not be read.
        drift: Drift of external images from those of the training; ``None`` for the run's own.
        audit: Overlap of external images with the training; ``None`` for the run's own, and where
            the folder does not record the training images.
        robustness: Metrics under changes of the images; ``None`` unless they were asked for.
    """

    folder: Path
    metrics: dict[str, SplitMetrics]
    skipped: Skipped
    drift: Drift | None = None
    audit: AuditReport | None = None
    robustness: Robustness | None = None

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        return {"folder": self.folder, **split_facts(self.metrics), "skipped": len(self.skipped)}


@dataclass(frozen=True, eq=False)
class _External:
    """The caller's external manifest, if any, and how to read it."""

    manifest: Any
    labels: Mapping[str, str] | None
    label: str
    columns: Columns

    @property
    def is_mapped(self) -> bool:
        return bool(self.labels) or self.label != "label" or self.columns != Columns()

    def read(self, info: ModelInfo) -> Samples:
        return read_external(
            self.manifest, info, labels=self.labels, label=self.label, columns=self.columns
        )


@dataclass(frozen=True, eq=False)
class _Part:
    """Predictions of one model for one table.

    ``predict`` evaluates the same images in another form.
    """

    evaluated: Evaluated
    bank: ImageBank
    predict: Callable[[ImageBank], Evaluated]
    logits: pd.DataFrame
    hashes: FileHashes
    treated: list[Treated]
    drift: Drift | None


def evaluate(
    run_or_model: Path | str,
    *,
    data: Path | str | pd.DataFrame | None = None,
    labels: Mapping[str, str] | None = None,
    label: str = "label",
    path: str = "path",
    patient: str = "patient",
    group: str = "group",
    independent: bool = False,
    split: str = "test",
    features: Path | str | pd.DataFrame | None = None,
    prevalence: float | None = None,
    robustness: bool = False,
    output: Path | str | None = None,
    pseudonymise: bool = False,
    allow_skipped: bool = False,
) -> Assessment:
    """Evaluate a model.

    Args:
        run_or_model: A run folder or a model folder.
        data: External images, evaluated whole under the split name ``external``: a folder, in any
            layout that :func:`eosin.train` takes, or a manifest (CSV, workbook, Parquet or a pandas
            table).
        labels: The model's class for each label of an external manifest that has another name
            there; empty leaves its rows out.
        label: The column of an external manifest with the labels.
        path: The column of an external manifest with the image reference.
        patient: The column of an external manifest with the patient.
        group: The column of an external manifest with the unit of a split.
        independent: Declare that no two images of an external manifest are of one patient or slide.
        split: Split of the run's own manifest; ``oof`` evaluates every fold of a run with folds by
            its own model.
        features: For a head on features, their table (a file or pandas); by default the run's own.
        prevalence: Prevalence of the positive class for predictive values; by default that of the
            run's recipe, else of the evaluated images.
        robustness: Whether to measure the model on changed images, too: seven changes (stain, blur,
            JPEG, noise, scale, gamma, deformation) at five severities each.
        output: Output folder; ``runs/evaluate-<UTC time>`` by default.
        pseudonymise: Whether patients, groups and paths get pseudonyms in all that is written.
        allow_skipped: Return the result although images cannot be read.

    Raises:
        SkippedFilesError: Images cannot be read; all is written, and its ``result`` has the rest.
        EosinError: The folder, the manifest, its labels, its images or the split do not fit.
    """
    external = _External(data, labels, label, Columns(path, patient, group, independent))
    table = Path(features) if isinstance(features, str) else features
    write = partial(_evaluate, Path(run_or_model), external, split, table, prevalence, robustness)
    target = Path(output or default_output("evaluate"))
    if pseudonymise:
        with leaving(target) as inside:
            made = write(inside)
        left = FinishedRun(target)
        listed = [(one.path, one.reason) for one in left.skipped]
        made = replace(made, folder=target, metrics=left.metrics, audit=left.audit, skipped=listed)
    else:
        made = write(target)
    return end_with(made, len(made.skipped), [target / "skipped.csv"], allowed=allow_skipped)


def _evaluate(
    run_or_model: Path,
    external: _External,
    split: str,
    features: Path | pd.DataFrame | None,
    prevalence: float | None,
    robustness: bool,
    folder: Path,
) -> Assessment:
    run = FinishedRun(run_or_model)
    model = find_model(run.folder)
    if external.manifest is None:
        _check_own_data(run.folder, is_mapped=external.is_mapped)
    with hinting():
        check_run_files(run.folder, (run.folder.recipe, run.folder.manifest))
        recipe = run.recipe
    # The run's own settings, so that a second evaluation gives the same intervals.
    section, seed = (recipe.evaluate, recipe.seed) if recipe else (EvaluateSection(), 0)
    if prevalence is not None:
        if not 0.0 < prevalence < 1.0:
            raise UsageError(f"the prevalence must be between 0 and 1, got {prevalence:g}")
        section = section.model_copy(update={"prevalence": prevalence})
    check_output(folder)
    if robustness:
        check_changeable(read_document(ModelFolder(model).info, ModelInfo).preprocessing)
    if external.manifest is not None:
        info = read_document(ModelFolder(model).info, ModelInfo)
        samples = external.read(info)
        parts = [(model, samples, EXTERNAL)]
    else:
        parts = own_parts(run, split)
    if features is None and recipe is not None and recipe.model.table is not None:
        features = Path(recipe.model.table)
    copied = recipe is not None and external.manifest is None and recipe.augment.copies_before_split
    found = [_evaluate_part(*part, features, recipe if copied else None) for part in parts]
    evaluated = _pool([part.evaluated for part in found], section)
    metrics = {parts[0][2]: evaluate_predictions(evaluated, section, seed)}
    audit = None
    if external.manifest is not None:
        audit = audit_overlap(run, info.preprocessing, (samples, found[0].hashes), folder)
    changed = _change(found, evaluated, parts[0][2], section, seed) if robustness else None
    return _write(RunFolder(prepare_output(folder)), evaluated, metrics, found, audit, changed)


def add_robustness(root: Path) -> None:
    """Measure a finished run on its changed held-out images: ``robustness.json`` in its folder.

    Raises:
        EosinError: The run is damaged, its images are gone, or are no brightfield images.
    """
    run = FinishedRun(root)
    recipe = run.recipe
    if recipe is None:
        raise ArtifactError(f"{root} has no recipe")
    split = OUT_OF_FOLD if run.has_folds else "test"
    copied = recipe if recipe.augment.copies_before_split else None
    found = [_evaluate_part(*part, None, copied) for part in own_parts(run, split)]
    evaluated = _pool([part.evaluated for part in found], recipe.evaluate)
    changed = _change(found, evaluated, split, recipe.evaluate, recipe.seed)
    write_document(run.folder.robustness, changed)


def _change(
    parts: list[_Part], unchanged: Evaluated, split: str, section: EvaluateSection, seed: int
) -> Robustness:
    def predict(name: str, severity: int) -> Evaluated:
        changed = [part.predict(change_images(part.bank, name, severity, seed)) for part in parts]
        return _pool(changed, section)

    return measure_robustness(unchanged, predict, split, resamples=section.resamples, seed=seed)


def _pool(parts: list[Evaluated], section: EvaluateSection) -> Evaluated:
    return parts[0] if len(parts) == 1 else pool_folds(parts, section)


def _check_own_data(run: RunFolder, *, is_mapped: bool) -> None:
    if is_mapped:
        raise UsageError(
            "--map, --label and other column options apply to external data only",
            hint="Name it with --data MANIFEST.csv",
        )
    if not run.manifest.exists():
        raise UsageError(
            f"{run.root} is a model folder, which contains no images",
            hint="Name a manifest with --data MANIFEST.csv",
        )


def _evaluate_part(
    model: Path,
    samples: Samples,
    split: str,
    features: Path | pd.DataFrame | None,
    copied: Recipe | None,
) -> _Part:
    """Evaluate a model on a table, whose rows may be the copies of a recipe's images."""
    classifier = Classifier(model)
    bank, hashes = _load(samples, classifier.info.preprocessing, features)
    if copied is not None:
        bank = bank_of_copies(bank, hashes, copied.augment, copied.seed)
    readable = without(samples, hashes.unreadable)
    images = bank.of(readable)
    logits = classifier.logits(images)
    evaluated = evaluated_by(classifier, readable, logits, classifier.refuse(images))
    is_outside = split == EXTERNAL
    drift = find_drift(ModelFolder(model), bank, evaluated) if is_outside else None
    # Absolute, because parts may come from manifests in different folders.
    frame = readable.frame.copy()
    frame["path"] = [change_parts(cell, partial(_absolute, readable)) for cell in frame["path"]]
    placed = replace(evaluated.samples, frame=frame)

    def predict(changed: ImageBank) -> Evaluated:
        shown = changed.of(readable)
        found = evaluated_by(
            classifier, readable, classifier.logits(shown), classifier.refuse(shown)
        )
        return replace(found, samples=placed)

    return _Part(
        evaluated=replace(evaluated, samples=placed),
        bank=bank,
        predict=predict,
        logits=logits_table(placed, logits),
        hashes=hashes,
        treated=find_unchanged(bank.store, images.rows, placed),
        drift=drift,
    )


def _load(
    samples: Samples, preprocessing: Preprocessing, features: Path | pd.DataFrame | None
) -> tuple[ImageBank, FileHashes]:
    if preprocessing.stain is not None:
        check_units(samples, preprocessing.stain.unit)
    if not isinstance(preprocessing, Embedding):
        if features is not None:
            raise UsageError("this model takes images", hint="Leave --features out")
        return load_bank(samples, preprocessing)
    if features is None:
        raise UsageError(
            f"this model takes features such as those of {preprocessing.table}",
            hint="Name the table that has them for these images with --features TABLE",
        )
    return load_features(samples, features, columns=preprocessing.channels)


def _absolute(samples: Samples, cell: str) -> str:
    image = ImageReference.parse(cell)
    return str(replace(image, path=(samples.root / image.path).resolve().as_posix()))


def _write(
    folder: RunFolder,
    evaluated: Evaluated,
    metrics: dict[str, SplitMetrics],
    parts: list[_Part],
    audit: AuditReport | None,
    robustness: Robustness | None,
) -> Assessment:
    frame = evaluated.samples.frame
    if not set(frame["split"]) <= set(SPLITS):
        # A manifest may only name subsets, not the split of an external or out-of-fold table.
        frame = frame.drop(columns="split")
    write_manifest(folder.manifest, replace(evaluated.samples, frame=frame))
    write_predictions(folder, [evaluated], [part.logits for part in parts])
    skipped = [one for part in parts for one in part.hashes.unreadable]
    write_skipped(folder.skipped, skipped)
    write_stain(folder, [one for part in parts for one in part.treated], Path())
    drift = parts[0].drift
    if drift is not None:
        write_document(folder.drift, drift)
    if audit is not None:
        write_document(folder.audit, audit)
    if robustness is not None:
        write_document(folder.robustness, robustness)
    # Last: a folder counts as finished once it has metrics.
    write_metrics(folder.metrics, metrics)
    write_report(folder.root)
    return Assessment(folder.root, metrics, skipped, drift, audit, robustness)
