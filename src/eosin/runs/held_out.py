"""Images of a run that a model of it evaluates: a split, or each fold's held-out part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from eosin.artifacts.integrity import check_run_files
from eosin.artifacts.layout import OUT_OF_FOLD, ModelFolder, RunFolder
from eosin.artifacts.model import Embedding
from eosin.core.errors import ArtifactError, ManifestError, UsageError, close_matches
from eosin.core.types import Samples
from eosin.runs.finished import FinishedRun
from eosin.runs.relocation import find_needed_images


def find_model(run: RunFolder) -> Path:
    """Return the model folder: the given folder itself, or the run's."""
    if ModelFolder(run.root).info.exists():
        return run.root
    if ModelFolder(run.model).info.exists():
        return run.model
    if run.recipe.exists():
        raise ArtifactError(
            f"the run {run.root} is not finished: it has no model yet",
            hint=f"To resume: {run.resume_command}",
        )
    what = "is not a run or model folder" if run.root.exists() else "does not exist"
    raise ArtifactError(
        f"{run.root} {what}", hint="Name a folder created by `eosin train`, or its model folder"
    )


def own_split(run: FinishedRun, split: str) -> Samples:
    """Return the rows of a split of a run, with the present paths of their images.

    Raises:
        EosinError: The run has no such split, or its images are not found.
    """
    info, samples = run.info, run.stored_samples
    if not isinstance(info.preprocessing, Embedding):
        samples = find_needed_images(run.folder, samples)
    if "split" not in samples.frame:
        raise ManifestError(
            f"{run.folder.manifest} has no split",
            hint="Name other images with --data MANIFEST.csv",
        )
    part = samples.part(split)
    if len(part) == 0:
        known = sorted(set(samples.frame["split"]))
        raise UsageError(f"{run.root} has no split {split!r}", hint=close_matches(split, known))
    return replace(part, class_names=info.class_names, positive=info.positive)


def own_parts(run: FinishedRun, split: str) -> list[tuple[Path, Samples, str]]:
    """Return the models of a run, each with its images of a split and the name of the split."""
    if run.has_folds or (run.folder.folds.is_dir() and split == OUT_OF_FOLD):
        return _fold_parts(run, split)
    return [(find_model(run.folder), own_split(run, split), split)]


def _fold_parts(run: FinishedRun, split: str) -> list[tuple[Path, Samples, str]]:
    if split not in {"test", OUT_OF_FOLD}:
        raise UsageError(
            f"a run with folds has the split {OUT_OF_FOLD!r}, not {split!r}",
            hint="Name one fold's run folder for its own splits",
        )
    if not run.folds:
        raise ArtifactError(f"{run.folder.folds} contains no folds")
    parts = []
    for fold in run.folds:
        check_run_files(fold.folder, (fold.folder.manifest,))
        samples = own_split(fold, "test")
        frame = samples.frame.assign(split=OUT_OF_FOLD)
        parts.append((fold.folder.model, replace(samples, frame=frame), OUT_OF_FOLD))
    return parts
