"""Members of an ensemble: finished runs that can be averaged, and the images that all held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from eosin.artifacts.integrity import check_run_files, damaged, hinting, verify_files
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import Embedding, ModelInfo, Preprocessing
from eosin.core.errors import ArtifactError
from eosin.runs.finished import FinishedRun
from eosin.runs.matching import SharedImages, check_distinct, find_shared, name_runs


def read_members(runs: Sequence[Path | str], output: Path) -> list[FinishedRun]:
    """Read runs that can be averaged.

    Raises:
        UsageError: Fewer than two, or one of them twice.
        ArtifactError: One is no finished run, or differs in its images or its classes.
    """
    places = name_runs(runs, "an ensemble", "ensemble")
    members = [FinishedRun(place, name, output) for place, name in places]
    for member in members:
        _check_finished(member.folder)
        with hinting():
            _check_member(member)
    for position, member in enumerate(members):
        for other in members[:position]:
            check_distinct(other, member)
        _check_alike(members[0], member)
    for member in members:
        with hinting():
            _read_tables(member)
    return members


def _check_member(run: FinishedRun) -> None:
    check_run_files(run.folder)
    verify_files(run.model_folder, run.info)
    if run.recipe is None:
        raise ArtifactError(
            f"{run.root} is itself an ensemble of runs", hint="Name its member runs instead"
        )
    if isinstance(run.info.preprocessing, Embedding):
        raise ArtifactError(
            f"{run.root} takes features that were computed elsewhere "
            f"({run.info.preprocessing.table})",
            hint="Only runs on images can be averaged",
        )
    for fold in run.folds:
        check_run_files(fold.folder, (fold.folder.manifest,))


def _read_tables(run: FinishedRun) -> None:
    """Read the evaluated tables, so that damage is found before anything is computed."""
    frame, _ = run.rows, (run.environment, run.divisions, run.contents)
    needed = ("split", *(("repeat", "fold") if run.has_folds else ()))
    missing = [name for name in needed if name not in frame]
    if missing:
        raise damaged(run.folder.predictions, f"it lacks the column {missing[0]!r}")


def _check_finished(run: RunFolder) -> None:
    if not run.root.is_dir():
        raise ArtifactError(f"the run {run.root} does not exist")
    if ModelFolder(run.root).info.exists():
        raise ArtifactError(
            f"{run.root} is a model folder, which contains no images",
            hint="Name the run folder that contains it",
        )
    needed = (run.metrics, run.predictions, run.manifest, run.environment)
    missing = [path for path in (*needed, ModelFolder(run.model).info) if not path.exists()]
    if missing:
        lacks = f"{run.root} is not a finished run with a model: it has no {missing[0].name}"
        go_on = f"To resume: {run.resume_command}"
        raise ArtifactError(lacks, hint=go_on if run.recipe.exists() else None)


def find_held_out(members: Sequence[FinishedRun]) -> SharedImages:
    """Match the images that the members held out, by file.

    Raises:
        ArtifactError: There is none, or one is another image or has another label in another run.
    """
    shared = find_shared(members, "Train both on the same table of labels")
    for member in members[1:]:
        _check_same_files(members[0], member, shared.paths)
    if not shared.paths:
        raise ArtifactError(
            f"this ensemble could not be evaluated: {format_held_out(shared)}",
            hint="Train the runs on the same data with the same split and seed, or with folds",
        )
    return shared


def format_held_out(shared: SharedImages) -> str:
    """Format how many images are evaluated and why others are not."""
    every = [set(rows["path"]) for rows in shared.rows]
    some, has = set().union(*every), [set(run.samples.frame["path"]) for run in shared.runs]
    # In a member's table but not held out there: it was trained or validated on.
    seen = set().union(*(h - e for h, e in zip(has, every, strict=True))) & some
    reasons = (
        (len(seen), "another run trained or validated on"),
        (len(some - seen) - len(shared.paths), "another run does not have"),
    )
    left = [f"{count:,} that {why}" for count, why in reasons if count]
    out = f"; left out: {', '.join(left)}" if left else ""
    n = len(shared.paths)
    images = "no image is" if n == 0 else "1 image is" if n == 1 else f"{n:,} images are"
    return f"{images} held out in every run{out}"


def _check_same_files(one: FinishedRun, other: FinishedRun, paths: Sequence[str]) -> None:
    for path in paths:
        if len({c[path] for c in (one.contents, other.contents) if path in c}) > 1:
            raise ArtifactError(
                f"{path} is another image in {other.short_name} than in {one.short_name}: the file "
                "was changed between the trainings",
                hint="Train both on the same version of the data",
            )


def _check_alike(first: FinishedRun, other: FinishedRun) -> None:
    """Check that a member has the classes of the first and reads the same kind of images."""
    for what, tell in _TRAITS.items():
        mine, theirs = tell(first.info), tell(other.info)
        if mine != theirs:
            raise ArtifactError(
                f"{other.short_name} and {first.short_name} differ in {what}: {theirs} against "
                f"{mine}",
                hint="Only runs with the same classes and the same kind of images can be averaged",
            )


def _format_planes(preprocessing: Preprocessing) -> str:
    planes = preprocessing.planes
    if planes is None:
        return "none"
    return f"{list(planes.chosen)} of {planes.n_stored}, {planes.bits} bits"


def _format_stain(preprocessing: Preprocessing) -> str:
    stain = preprocessing.stain
    return "none" if stain is None else f"{stain.method}, each {stain.unit}'s own stain"


#: Properties that must be the same in all members, as text.
_TRAITS: dict[str, Callable[[ModelInfo], str]] = {
    "their classes": lambda info: ", ".join(info.class_names),
    "their positive class": lambda info: str(info.positive),
    "their kind of image": lambda info: info.modality,
    "their channels": lambda info: ", ".join(sorted(info.preprocessing.channels)),
    "the channels of a file": lambda info: _format_planes(info.preprocessing),
    "their resize rule": lambda info: info.preprocessing.resize,
    "their magnifications": lambda info: ", ".join(info.preprocessing.magnifications) or "none",
    "their test-time views": lambda info: info.test_time,
    "their stain normalisation": lambda info: _format_stain(info.preprocessing),
}
