"""Finished run, read back from its folder through the artifacts' own readers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.integrity import check_run_files, damaged, hinting
from eosin.artifacts.layers import LayerTable
from eosin.artifacts.layout import OUT_OF_FOLD, ModelFolder, RunFolder
from eosin.artifacts.manifest import read_manifest, read_written, relocated
from eosin.artifacts.metrics import SplitMetrics, read_metrics
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.predictions import PREFIX, count_images, read_history, read_predictions
from eosin.artifacts.profile import Drift
from eosin.artifacts.robustness import Robustness
from eosin.artifacts.run import (
    BalanceReport,
    Environment,
    SamplesIndex,
    SampleThumbnail,
    SplitReport,
)
from eosin.artifacts.stain import StainRecord
from eosin.artifacts.versioned import D, read_document
from eosin.core.errors import ArtifactError, RecipeError
from eosin.core.files import read_file
from eosin.core.types import SPLITS, Samples
from eosin.data.external import EXTERNAL
from eosin.recipe import Recipe, read_recipe
from eosin.runs.relocation import find_images, find_moved_paths

#: The splits that a page can be about; the first that the run has is taken.
EVALUATED_FIRST = ("test", OUT_OF_FOLD, EXTERNAL)


@dataclass(frozen=True)
class Skipped:
    """A file that could not be read, with the reason."""

    path: str
    reason: str


@dataclass(eq=False)
class FinishedRun:
    """Finished run, read back from its folder; each file is read when it is first needed.

    Only ``metrics.json`` is required: an external evaluation has no history and no split, and an
    older run may lack samples. What is absent is ``None`` or empty.

    Attributes:
        root: The folder of a run or of an evaluation.
        short_name: The folder's name, with as many parents as make it unique among the runs.
        base: The folder that paths start from in :attr:`rows`, :attr:`samples`,
            :attr:`divisions` and :attr:`contents`, so that several runs have comparable paths; the
            run's own folder by default.
    """

    root: Path
    short_name: str = ""
    base: Path | None = None

    @property
    def folder(self) -> RunFolder:
        """The names of the files in the run folder."""
        return RunFolder(self.root)

    @property
    def model_folder(self) -> ModelFolder:
        """The names of the files in its model folder."""
        return ModelFolder(self.folder.model)

    @property
    def name(self) -> str:
        """The recipe's name, else the folder's."""
        return self.recipe.name if self.recipe else self.root.resolve().name

    @cached_property
    def metrics(self) -> dict[str, SplitMetrics]:
        """Measurements by split."""
        metrics = read_metrics(self.folder.metrics)
        if not metrics:
            raise damaged(self.folder.metrics, "it contains no split")
        return metrics

    @property
    def split(self) -> str:
        """The split that a page is about."""
        return next(
            (name for name in EVALUATED_FIRST if name in self.metrics), next(iter(self.metrics))
        )

    @property
    def evaluated(self) -> SplitMetrics:
        """The measurements of :attr:`split`."""
        return self.metrics[self.split]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the network's outputs."""
        return tuple(self.evaluated.confusion.labels)

    @cached_property
    def recipe(self) -> Recipe | None:
        """The resolved recipe."""
        return read_run_recipe(self.folder) if self.folder.recipe.exists() else None

    @cached_property
    def environment(self) -> Environment | None:
        """Versions, device, data set facts."""
        return _optional(self.folder.environment, Environment)

    @cached_property
    def split_report(self) -> SplitReport | None:
        """Report of the split."""
        return _optional(self.folder.split, SplitReport)

    @cached_property
    def stain(self) -> StainRecord | None:
        """Record of stain normalisation."""
        return _optional(self.folder.stain, StainRecord)

    @cached_property
    def balance(self) -> BalanceReport | None:
        """Report of the sampler: class counts of an epoch."""
        return _optional(self.folder.balance, BalanceReport)

    @cached_property
    def audit(self) -> AuditReport | None:
        """Leak audit of the split."""
        return _optional(self.folder.audit, AuditReport)

    @cached_property
    def info(self) -> ModelInfo:
        """Contents of ``model.json``, of a run that must have a model."""
        return read_document(self.model_folder.info, ModelInfo)

    @cached_property
    def model(self) -> ModelInfo | None:
        """Contents of ``model.json``."""
        return self.info if self.model_folder.info.exists() else None

    @cached_property
    def drift(self) -> Drift | None:
        """Drift of external images from those of the training."""
        return _optional(self.folder.drift, Drift)

    @cached_property
    def robustness(self) -> Robustness | None:
        """Metrics under changes of the images."""
        return _optional(self.folder.robustness, Robustness)

    @cached_property
    def manifest(self) -> Any:
        """The samples with their split, a pandas table."""
        if not self.folder.manifest.exists():
            return None
        samples = read_manifest(self.folder.manifest, verbatim=True, allow_one_class=True)
        # An external manifest with a single class can be evaluated but not read as a training
        # manifest: the page then takes its counts from the predictions.
        return samples.frame if len(samples.class_names) > 1 else None

    @cached_property
    def predictions(self) -> Any:
        """Predictions of :attr:`split`, a pandas table."""
        return self.predictions_of(self.split)

    def predictions_of(self, split: str) -> Any:
        """Return the predictions of a split, a pandas table; ``None`` if there are none."""
        path = self.folder.predictions
        if not path.exists():
            return None
        frame = read_predictions(path)
        missing = [name for name in self.class_names if PREFIX + name not in frame]
        if missing:
            raise damaged(path, f"it lacks the column {PREFIX + missing[0]!r}")
        for column in ("patient", "group", "magnification"):
            if column not in frame:
                frame[column] = ""
        # Without a group an image is its own group, as in the manifest.
        frame["group"] = frame["group"].where(frame["group"] != "", frame["path"])
        if "split" in frame:
            frame = frame[frame["split"] == split].reset_index(drop=True)
        return frame if len(frame) else None

    @cached_property
    def history(self) -> Any:
        """The learning history, a pandas table."""
        frame = read_history(self.folder.history) if self.folder.history.exists() else ()
        return frame if len(frame) else None

    @cached_property
    def layers(self) -> LayerTable | None:
        """The layers of the network, or of each fold's network."""
        own = _optional(self.folder.layers, LayerTable)
        return own or next((fold.layers for fold in self.folds), None)

    @cached_property
    def pictures(self) -> tuple[SampleThumbnail, ...]:
        """Thumbnails whose files exist."""
        folder, index = self.folder, _optional(self.folder.samples_index, SamplesIndex)
        pictures = () if index is None else index.pictures
        for thumbnail in pictures:
            # A name with a folder in it could lead out of the run.
            plain = Path(thumbnail.file).name
            if plain in {"", ".."} or plain != thumbnail.file or "\\" in plain:
                raise damaged(folder.samples_index, f"{thumbnail.file!r} is not a file beside it")
        return tuple(one for one in pictures if (folder.samples / one.file).exists())

    @cached_property
    def skipped(self) -> tuple[Skipped, ...]:
        """Files that could not be read."""
        path = self.folder.skipped
        if not path.exists():
            return ()
        frame = read_written(path)
        if not {"path", "reason"} <= set(frame):
            raise damaged(path, "it lacks the column 'path' or 'reason'")
        return tuple(map(Skipped, frame["path"], frame["reason"]))

    @cached_property
    def folds(self) -> tuple[FinishedRun, ...]:
        """The folds, in order; an unfinished one has no ``metrics.json``."""
        return tuple(FinishedRun(fold.root, base=self.base) for fold in self.folder.fold_runs())

    @cached_property
    def stages(self) -> tuple[FinishedRun, ...]:
        """The trainings of earlier transfer stages, in order."""
        return tuple(FinishedRun(stage.root) for stage in self.folder.stage_runs())

    @property
    def dataset(self) -> dict[str, Any]:
        """Declared facts of the data set."""
        return self.environment.dataset if self.environment else {}

    @property
    def data_root(self) -> Path:
        """The folder of the images when the run was made."""
        return Path(self.environment.data_root) if self.environment else self.root

    @property
    def simulated(self) -> bool:
        """True if the images are simulated."""
        return bool(self.dataset.get("simulated")) or bool(self.model and self.model.simulated)

    def role(self, role: str) -> tuple[SampleThumbnail, ...]:
        """Return the thumbnails of one role."""
        return tuple(thumbnail for thumbnail in self.pictures if thumbnail.role == role)

    @property
    def stored_samples(self) -> Samples:
        """The manifest as it is written, with the model's classes."""
        allowed = None if self.model is None else self.model.class_names
        return read_manifest(self.folder.manifest, allowed=allowed, verbatim=True)

    @cached_property
    def samples(self) -> Samples:
        """The manifest with the images where they are now."""
        return relocated(find_images(self.folder, self.stored_samples), self.base or self.root)

    @property
    def has_folds(self) -> bool:
        """True if its predictions are out-of-fold: it has folds, and no test subset beside them."""
        return self.folder.folds.is_dir() and self.split == OUT_OF_FOLD

    @property
    def divisions(self) -> list[tuple[str, Samples]]:
        """The manifest with each network's ``split``, by name: one, or one per fold."""
        if not self.has_folds:
            return [(self.short_name, self.samples)]
        return [
            (f"{self.short_name}, fold {fold.root.name}", fold.samples)
            for fold in self.folds
            if fold.folder.manifest.exists()
        ]

    @cached_property
    def rows(self) -> Any:
        """Predictions of :attr:`split`, one row per image and repeat, as a pandas table.

        ``threshold`` is that of the row's own network: other folds' were tuned on this image.
        """
        if self.predictions is None:
            raise ArtifactError(f"{self.root} has no predictions of the split {self.split!r}")
        moved = find_moved_paths(self.folder)
        frame = self.predictions.assign(threshold=self._thresholds())
        frame["path"] = [moved.get(path, path) for path in frame["path"]]
        samples = Samples(frame, self.root, self.class_names)
        return relocated(samples, self.base or self.root).frame

    def _thresholds(self) -> Any:
        frame, fixed = self.predictions, self.evaluated.threshold.value
        thresholds = np.full(len(frame), np.nan if fixed is None else fixed)
        for fold in self.folds:
            if fold.model is not None and {"repeat", "fold"} <= set(frame):
                repeat, _, number = fold.root.name.partition("-")
                value = fold.model.threshold.value
                rows = (frame["repeat"] == repeat) & (frame["fold"] == number)
                thresholds[rows] = np.nan if value is None else value
        return thresholds

    @cached_property
    def contents(self) -> dict[str, str]:
        """Digest of each image's file when the run began, by path; empty if the run kept none."""
        if not self.folder.inputs.exists():
            return {}
        table = read_written(self.folder.inputs)
        if not {"path", "content"} <= set(table):
            raise damaged(self.folder.inputs, "it lacks the column 'path' or 'content'")
        samples = Samples(table.astype(str), self.data_root, ())
        frame = relocated(samples, self.base or self.root).frame
        return dict(zip(frame["path"], frame["content"], strict=True))


#: Files that :func:`read_run` reads at once, in this order; of the folds only their measurements.
_READ = (
    *("metrics", "recipe", "environment", "split_report", "stain", "balance", "audit"),
    *("model", "manifest", "predictions", "history", "pictures", "skipped", "folds", "drift"),
    "robustness",
)


def read_run(root: Path, short_name: str = "", base: Path | None = None) -> FinishedRun:
    """Read and check a whole run folder.

    Raises:
        ArtifactError: The folder is missing, contains no ``metrics.json``, or a file of it is
            foreign, damaged or of a newer format.
    """
    run = FinishedRun(Path(root), short_name, base)
    _check_run(run.folder)
    with hinting():
        check_run_files(run.folder)
        for name in _READ:
            getattr(run, name)
        for fold in run.folds:
            check_run_files(fold.folder, (fold.folder.metrics, fold.folder.history))
            _ = fold.folder.metrics.exists() and fold.metrics, fold.history
        _check_counts(run)
    return run


def read_run_recipe(folder: RunFolder) -> Recipe:
    """Read the resolved recipe of a run; ``ArtifactError`` if it is absent or damaged."""
    try:
        text = read_file(folder.recipe).decode("utf-8-sig")
        recipe = read_recipe(folder.recipe)
    except OSError as error:
        raise damaged(folder.recipe, str(error.strerror or error)) from error
    except (RecipeError, ValueError) as error:
        raise damaged(folder.recipe, getattr(error, "message", str(error))) from error
    # Every section is written out; this is the last that all versions have.
    if not text.endswith("\n") or "\n[evaluate]" not in text:
        raise damaged(folder.recipe, "it is cut off")
    return recipe


def _check_run(folder: RunFolder) -> None:
    if not folder.root.is_dir():
        raise ArtifactError(f"the run folder {folder.root} does not exist")
    if not folder.metrics.exists():
        finish = f"Finish the run: {folder.resume_command}"
        raise ArtifactError(
            f"{folder.root} is not a finished run folder: it has no {folder.metrics.name}",
            hint=finish if folder.recipe.exists() else "Name a folder created by train or evaluate",
        )


def _optional(path: Path, kind: type[D]) -> D | None:
    return read_document(path, kind) if path.exists() else None


def _check_counts(run: FinishedRun) -> None:
    """Check the tables' numbers of rows, which differ in a file cut off between two rows."""
    evaluated, folder = run.evaluated, run.folder
    found = evaluated.n_images if run.predictions is None else count_images(run.predictions)
    if found != evaluated.n_images:
        raise damaged(
            folder.predictions,
            f"it has {found:,} images of {run.split!r}, "
            f"{folder.metrics.name} {evaluated.n_images:,}",
        )
    if run.manifest is None or run.split_report is None or "split" not in run.manifest:
        return
    counts = run.manifest["split"].value_counts()
    for name, part in run.split_report.parts.items():
        if name in SPLITS and counts.get(name, 0) != part.n_images:
            raise damaged(
                folder.manifest,
                f"it has {counts.get(name, 0):,} images of {name!r}, {folder.split.name} "
                f"{part.n_images:,}",
            )
