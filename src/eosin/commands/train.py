"""The verb ``train``: one experiment from a recipe to a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.metrics import SplitMetrics, read_metrics
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.errors import (
    InterruptedRunError,
    LeakError,
    OutputError,
    RecipeError,
    UsageError,
)
from eosin.core.files import (
    check_output,
    check_writable,
    clean_partial,
    prepare_output,
    write_text,
)
from eosin.experiment.crossval import fit_folds
from eosin.experiment.environment import default_output
from eosin.experiment.plan import Plan, make_plan
from eosin.experiment.prepare import (
    Prepared,
    Say,
    check_names,
    prepare,
    resolve_manifest,
    resolve_root,
    silent,
    tell_repair,
)
from eosin.experiment.resume import (
    check_same_data,
    check_same_recipe,
    clean_unbegun,
    find_run,
    record_data,
    work_alone,
)
from eosin.experiment.run import fit_split
from eosin.experiment.split import Division, divide, stop_at_leak
from eosin.experiment.transfer import note_stage_places, plan_stage, prepare_stages, run_stages
from eosin.experiment.writer import Session, Stopwatch, open_session, write_inputs
from eosin.recipe import Recipe, read_recipe, recipe_from_dict, recipe_to_toml
from eosin.recipe.data import DataSection
from eosin.recipe.overrides import override
from eosin.recipe.schema import EMBEDDING
from eosin.reporting import write_report
from eosin.runs.relocation import note_place
from eosin.training.loggers import check_loggers


@dataclass(frozen=True)
class RunResult:
    """What ``train`` made.

    Attributes:
        run: The run folder.
        metrics: Measurements by split.
        n_skipped: Images that could not be read, those of earlier stages included.
        skipped: The lists that name them.
    """

    run: Path
    metrics: dict[str, SplitMetrics]
    n_skipped: int
    skipped: tuple[Path, ...] = ()


def train(
    recipe: Recipe | Path | str | None = None,
    *,
    overrides: Iterable[str] = (),
    output: Path | None = None,
    resume: Path | None = None,
    allow_leak: bool = False,
    allow_skipped: bool = False,
    say: Say = silent,
) -> RunResult:
    """Run one experiment.

    Args:
        recipe: A recipe or its TOML file; may be left out when resuming.
        overrides: ``section.key=value`` each.
        output: Run folder; ``runs/<name>-<UTC time>`` by default.
        resume: A run folder to go on with.
        allow_leak: Go on where the audit of a strict split finds a leak.
        allow_skipped: Whether unreadable images are accepted; the caller's to act upon.
        say: Told, in a sentence, what is being done.

    Raises:
        EosinError: With its cause and mend in one line.
    """
    del allow_skipped  # the run is the same; the command's exit status is not
    run, resolved = _choose_run(recipe, overrides, output, resume, say)
    watch = Stopwatch(_seconds_before(run))
    with watch.stage("read images"):
        prepared = prepare(resolved, say, is_new=resume is None)
    tell_repair(prepared, say)
    if resume is not None:
        check_same_data(run, prepared)
    unread = {run.skipped: len(prepared.skipped)}
    if resume is not None and run.metrics.exists():
        note_stage_places(run, resolved, say)
        note_place(run, resolved, prepared.samples)
        say(f"{run.root} is complete")
        metrics = read_metrics(run.metrics)
    else:
        with watch.stage("split and audit"):
            division = divide(resolved, prepared)
            stages, leaks = prepare_stages(resolved, prepared, division, say)
        unread |= {
            run.stage(stage.number, stage.section.name).skipped: len(stage.prepared.skipped)
            for stage in stages
        }
        stop_at_leak(resolved, division.audit.joined(leaks), allow_leak, say)
        if resume is None:
            prepare_output(run.root)
        with work_alone(run):
            _open_run(run, resolved, prepared, resuming=resume is not None)
            with _resumable(run):
                session = open_session(resolved, prepared, say, watch)
                if stages:
                    with watch.stage("earlier stages"):
                        start = run_stages(run, resolved, stages, allow_leak=allow_leak, say=say)
                    session = replace(session, start=start, leaks=tuple(leaks))
                metrics = _fit(session, division, run)
    with _resumable(run):
        say("Writing the report")
        write_report(run.root)
    lists = tuple(path for path, n_files in unread.items() if n_files)
    return RunResult(run.root, metrics, sum(unread.values()), lists)


def _seconds_before(run: RunFolder) -> dict[str, float]:
    """Return what the stages of a resumed run took so far; nothing for a new one."""
    if not run.environment.exists():
        return {}
    return dict(read_document(run.environment, Environment).seconds)


@contextmanager
def _resumable(run: RunFolder) -> Iterator[None]:
    """Say how to go on where the user or a full disk stops the work."""
    go_on = run.resume_command
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"interrupted; what was finished is kept in {run.root}", mend=f"Go on with: {go_on}"
        ) from error
    except OutputError as error:
        if error.mend is None or not run.recipe.exists():
            raise
        # Nothing is lost: another folder would begin anew.
        mend = error.mend.partition(", or choose another folder")[0]
        raise OutputError(error.message, mend=f"{mend}. Then go on with: {go_on}") from error


def plan(
    recipe: Recipe | Path | str | None = None,
    *,
    overrides: Iterable[str] = (),
    resume: Path | None = None,
    allow_leak: bool = False,
    say: Say = silent,
) -> tuple[Plan, AuditReport]:
    """Say what ``train`` would do, need and take; only the image cache is written.

    Args:
        recipe: A recipe or its TOML file; may be left out where a run is named.
        overrides: ``section.key=value`` each.
        resume: A run folder: what all of that run takes, however far it is.
        allow_leak: Whether the training would continue despite leakage.
        say: Called with what is being done, and with why the training would stop.
    """
    if resume is not None:
        find_run(Path(resume))
    resolved = _resolve(recipe, overrides, resume, say)
    prepared = prepare(resolved, say, is_new=resume is None)
    division = divide(resolved, prepared)
    stages, leaks = prepare_stages(resolved, prepared, division, say)
    session = open_session(resolved, prepared, say, Stopwatch())
    samples = division.folds[0].samples if division.folds else division.samples
    found = make_plan(session, samples, division.report, max(1, len(division.folds)))
    before = tuple((stage.section.name, plan_stage(stage, say)) for stage in stages)
    audit = division.audit.joined(leaks)
    try:
        stop_at_leak(resolved, audit, allow_leak, silent)
    except LeakError as error:
        say(f"The training would stop: {error}")
    return replace(found, stages=before), audit


def _resolve(
    recipe: Recipe | Path | str | None,
    overrides: Iterable[str],
    resume: Path | None,
    say: Say = silent,
) -> Recipe:
    """Read the recipe with its paths made absolute, so that the run folder can be re-run."""
    if recipe is None:
        if resume is None:
            raise RecipeError(
                "no recipe was given",
                mend="Name one: eosin train RECIPE or eosin train --resume RUN",
            )
        recipe = RunFolder(Path(resume)).recipe
    if isinstance(recipe, Recipe):
        resolved = recipe_from_dict(override(recipe.model_dump(), overrides, say))
    else:
        resolved = read_recipe(Path(recipe), overrides, say)
    check_names(resolved)
    check_loggers(resolved.train.loggers)
    transfer = resolved.transfer
    stages = tuple(
        stage.model_copy(update={"data": _resolve_data(stage.data, resolved.seed)})
        for stage in transfer.stage
    )
    stain = resolved.stain
    if stain.file is not None:
        stain = stain.model_copy(update={"reference": str(resolve_manifest(stain.file))})
    model = resolved.model
    if model.table is not None:
        name = f"{EMBEDDING}:{resolve_manifest(model.table)}"
        model = model.model_copy(update={"name": name})
    return resolved.model_copy(
        update={
            "data": _resolve_data(resolved.data, resolved.seed),
            "stain": stain,
            "model": model,
            "transfer": transfer.model_copy(update={"stage": stages}),
        }
    )


def _resolve_data(data: DataSection, seed: int) -> DataSection:
    if data.manifest is not None:
        return data.model_copy(update={"manifest": str(resolve_manifest(data.manifest))})
    return data.model_copy(update={"root": str(resolve_root(data, seed))})


def _choose_run(
    recipe: Recipe | Path | str | None,
    overrides: Iterable[str],
    output: Path | None,
    resume: Path | None,
    say: Say,
) -> tuple[RunFolder, Recipe]:
    """Settle where the run goes and what it does, before any image is read.

    Raises:
        UsageError: Both a new and an old folder are named.
        ArtifactError: There is no run to go on with.
        RecipeError: The run was started from another recipe.
        OutputError: The folder cannot take the run.
    """
    if resume is None:
        resolved = _resolve(recipe, overrides, None, say)
        run = RunFolder(Path(output or default_output(resolved.name)))
        clean_unbegun(run.root)
        resumed = f", or resume the run in it: {run.resume_command}"
        check_output(run.root, or_else=resumed if run.recipe.exists() else "")
        return run, resolved
    if output is not None:
        raise UsageError(
            "-o and --resume exclude each other",
            mend=f"A resumed run stays in place: {RunFolder(Path(resume)).resume_command}",
        )
    run = find_run(Path(resume))
    resolved = _resolve(recipe, overrides, resume, say)
    check_same_recipe(run, resolved)
    check_writable(run.root)
    return run, resolved


def _open_run(run: RunFolder, recipe: Recipe, prepared: Prepared, *, resuming: bool) -> None:
    if resuming:
        note_place(run, recipe, prepared.samples)
        clean_partial(run.root)
    else:
        # First: a folder with a recipe can be resumed, whenever it is killed after this.
        write_text(run.recipe, recipe_to_toml(recipe))
    if not run.environment.exists():
        record_data(run, prepared)


def _fit(session: Session, division: Division, run: RunFolder) -> dict[str, SplitMetrics]:
    if not division.folds:
        return fit_split(session, division.samples, division.report, run)
    write_inputs(run, session.recipe, division.samples, division.report, session.prepared)
    write_document(run.audit, division.audit.joined(session.leaks))
    return fit_folds(session, division.folds, run)
