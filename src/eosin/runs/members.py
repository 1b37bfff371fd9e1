"""Finished runs as members of an ensemble: what each is, and what it said of unseen images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eosin.artifacts.integrity import check_run_files, damaged, verify_files
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.manifest import read_manifest, read_written, relocated
from eosin.artifacts.model import Embedding, ModelInfo, Preprocessing
from eosin.artifacts.predictions import PREFIX, read_predictions
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError, UsageError
from eosin.core.types import Samples
from eosin.runs.finished import hinting
from eosin.runs.relocation import find_images, find_moved_paths

#: The parts of which a run's predictions come from networks that were not trained on them.
HELD_OUT = ("test", "oof")


@dataclass(frozen=True, eq=False)
class Member:
    """One run. All paths start from the ensemble's folder, so that they name images alike.

    Attributes:
        name: The run folder's, with as many parents as it takes to tell it from the others.
        run: The run folder.
        info: What its ``model.json`` says.
        environment: Under what it was made.
        samples: Its manifest.
        divisions: The manifest with the ``split`` that each of its networks saw, by what it is
            called: one, or one a fold.
        held_out: What it said of images that it held out, a row each, by path: ``prob_<class>…``
            and the ``threshold`` of the network that judged it. What several networks of the run
            said of one image (repeated folds) is averaged.
        contents: A digest of each image's file as it was when the run began, by path; empty where
            the run has not kept them.
        is_folds: Whether the predictions are pooled over folds. Then the model that the folds were
            joined into has itself seen the images.
    """

    name: str
    run: RunFolder
    info: ModelInfo
    environment: Environment
    samples: Samples
    divisions: tuple[tuple[str, Samples], ...]
    held_out: Any
    contents: dict[str, str]
    is_folds: bool

    @property
    def model(self) -> ModelFolder:
        """Its model folder."""
        return ModelFolder(self.run.model)


def read_members(runs: Sequence[Path | str], output: Path) -> list[Member]:
    """Read runs that can be averaged.

    Args:
        runs: Finished run folders.
        output: The folder that paths shall start from; need not be there.

    Raises:
        UsageError: Fewer than two, or one of them twice.
        ArtifactError: One is no finished run, or differs in what it takes or tells.
    """
    places = [Path(run) for run in runs]
    if len(places) < 2:
        raise UsageError(
            f"an ensemble needs at least two runs, got {len(places)}",
            mend="Name two or more: eosin ensemble RUN RUN -o DIR",
        )
    members = [
        _read(name, RunFolder(place), output)
        for name, place in zip(name_runs(places), places, strict=True)
    ]
    for position, member in enumerate(members):
        for other in members[:position]:
            if other.info.weights_sha256 == member.info.weights_sha256:
                raise UsageError(
                    f"{other.name} and {member.name} are the same model",
                    mend="Name each run once",
                )
        _check_alike(members[0], member)
    return members


def name_runs(places: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell them apart.

    Raises:
        UsageError: One is named twice.
    """
    parts = [place.resolve().parts for place in places]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    twice = next(place for place in places if parts.count(place.resolve().parts) > 1)
    raise UsageError(f"the run {twice} is named twice", mend="Name each run once")


def _read(name: str, run: RunFolder, output: Path) -> Member:
    _check_finished(run)
    with hinting():
        return _gather(name, run, output)


def _gather(name: str, run: RunFolder, output: Path) -> Member:
    check_run_files(run)
    info = read_document(ModelFolder(run.model).info, ModelInfo)
    verify_files(ModelFolder(run.model), info)
    if not run.recipe.exists():
        raise ArtifactError(
            f"{run.root} is an ensemble of chosen runs itself", mend="Name those runs in its place"
        )
    if isinstance(info.preprocessing, Embedding):
        raise ArtifactError(
            f"{run.root} takes features that were computed elsewhere ({info.preprocessing.table})",
            mend="Only runs on images can be averaged",
        )
    environment = read_document(run.environment, Environment)
    noted = read_manifest(run.manifest, allowed=info.class_names, verbatim=True)
    samples = relocated(find_images(run, noted), output)
    is_folds = run.folds.is_dir()
    return Member(
        name=name,
        run=run,
        info=info,
        environment=environment,
        samples=samples,
        divisions=_fold_divisions(name, run, output) if is_folds else ((name, samples),),
        held_out=_held_out(run, info, output, is_folds=is_folds),
        contents=_contents(run, Path(environment.data_root), output),
        is_folds=is_folds,
    )


def _check_finished(run: RunFolder) -> None:
    if not run.root.is_dir():
        raise ArtifactError(f"the run {run.root} does not exist")
    if ModelFolder(run.root).info.exists():
        raise ArtifactError(
            f"{run.root} is a model folder, which knows no images",
            mend="Name the run folder that holds it",
        )
    needed = (run.metrics, run.predictions, run.manifest, run.environment)
    missing = [path for path in (*needed, ModelFolder(run.model).info) if not path.exists()]
    if missing:
        lacks = f"{run.root} is no finished run with a model: it has no {missing[0].name}"
        go_on = f"Go on with: {run.resume_command}"
        raise ArtifactError(lacks, mend=go_on if run.recipe.exists() else None)


def _fold_divisions(name: str, run: RunFolder, output: Path) -> tuple[tuple[str, Samples], ...]:
    folds = [RunFolder(path) for path in sorted(run.folds.iterdir())]
    for fold in folds:
        check_run_files(fold, (fold.manifest,))
    return tuple(
        (
            f"{name}, fold {fold.root.name}",
            relocated(find_images(fold, read_manifest(fold.manifest, verbatim=True)), output),
        )
        for fold in folds
        if fold.manifest.exists()
    )


def _held_out(run: RunFolder, info: ModelInfo, output: Path, *, is_folds: bool) -> Any:
    frame = read_predictions(run.predictions)
    probabilities = [PREFIX + name for name in info.class_names]
    needed = ["split", *probabilities, *(("repeat", "fold") if is_folds else ())]
    missing = [name for name in needed if name not in frame]
    if missing:
        raise damaged(run.predictions, f"it lacks the column {missing[0]!r}")
    frame = frame[frame["split"].isin(HELD_OUT)]
    if moved := find_moved_paths(run):
        frame = frame.assign(path=[moved.get(path, path) for path in frame["path"]])
    frame = relocated(Samples(frame, run.root, info.class_names), output).frame
    frame["threshold"] = float("nan") if info.threshold.value is None else info.threshold.value
    if is_folds:
        # Not the mean of all folds' thresholds: others were chosen where this image stood.
        for (repeat, fold), rows in frame.groupby(["repeat", "fold"]).groups.items():
            own = read_document(ModelFolder(run.fold(repeat, fold).model).info, ModelInfo)
            frame.loc[rows, "threshold"] = own.threshold.value
    return frame.groupby("path")[[*probabilities, "threshold"]].mean()


def _contents(run: RunFolder, data_root: Path, output: Path) -> dict[str, str]:
    if not run.inputs.exists():
        return {}
    table = read_written(run.inputs)
    if not {"path", "content"} <= set(table):
        raise damaged(run.inputs, "it lacks the column 'path' or 'content'")
    frame = relocated(Samples(table.astype(str), data_root, ()), output).frame
    return dict(zip(frame["path"], frame["content"], strict=True))


def _check_alike(first: Member, other: Member) -> None:
    """Refuse a member that tells other classes than the first, or takes other images."""
    for what, tell in _TRAITS.items():
        mine, theirs = tell(first.info), tell(other.info)
        if mine != theirs:
            raise ArtifactError(
                f"{other.name} and {first.name} differ in {what}: {theirs} against {mine}",
                mend="Only runs of one label set and one kind of image can be averaged",
            )


def _tell_planes(preprocessing: Preprocessing) -> str:
    planes = preprocessing.planes
    if planes is None:
        return "none"
    return f"{list(planes.chosen)} of {planes.n_stored}, {planes.bits} bits"


def _tell_stain(preprocessing: Preprocessing) -> str:
    stain = preprocessing.stain
    return "none" if stain is None else f"{stain.method}, each {stain.unit}'s own stain"


#: What must be the same in all members, as words.
_TRAITS: dict[str, Callable[[ModelInfo], str]] = {
    "their classes": lambda info: ", ".join(info.class_names),
    "their positive class": lambda info: str(info.positive),
    "their kind of image": lambda info: info.modality,
    "their channels": lambda info: ", ".join(sorted(info.preprocessing.channels)),
    "the channels of a file": lambda info: _tell_planes(info.preprocessing),
    "their resize rule": lambda info: info.preprocessing.resize,
    "their magnifications": lambda info: ", ".join(info.preprocessing.magnifications) or "none",
    "their test-time views": lambda info: info.test_time,
    "their stain normalisation": lambda info: _tell_stain(info.preprocessing),
}
