"""The verb ``train``: one experiment from a recipe to a report."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.metrics import SplitMetrics, read_metrics
from eosin.artifacts.run import Environment, SplitReport
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
from eosin.core.types import Samples
from eosin.datasets.audit import audit_samples, merge_audits
from eosin.datasets.splits import Fold, fold_samples, pool_reports, split_samples
from eosin.pipeline.fitting import Session, Stopwatch, fit_split, open_session, write_inputs
from eosin.pipeline.folds import fit_folds
from eosin.pipeline.planning import Plan, make_plan
from eosin.pipeline.preparation import (
    Prepared,
    Say,
    check_names,
    prepare,
    resolve_manifest,
    resolve_root,
    silent,
)
from eosin.pipeline.record import default_output
from eosin.pipeline.resuming import (
    check_same_data,
    check_same_recipe,
    clean_unbegun,
    find_run,
    record_data,
    work_alone,
)
from eosin.recipe import Recipe, parse_overrides, read_recipe, recipe_from_dict, recipe_to_toml
from eosin.recipe.reading import merge
from eosin.reporting import write_report
from eosin.training.loggers import check_loggers


@dataclass(frozen=True)
class RunResult:
    """What ``train`` made.

    Attributes:
        run: The run folder.
        metrics: Measurements by split.
        n_skipped: Images that could not be read.
    """

    run: Path
    metrics: dict[str, SplitMetrics]
    n_skipped: int


@dataclass(frozen=True)
class Division:
    """Samples divided as the recipe asks: one split, or folds.

    Attributes:
        folds: Empty for a single split.
        samples: With a ``split`` column; for folds, the samples as they came.
        report: What the split wanted and got.
        audit: What the leak audit found.
    """

    samples: Samples
    report: SplitReport
    audit: AuditReport
    folds: tuple[Fold, ...] = ()


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
    run, resolved = _choose_run(recipe, overrides, output, resume)
    watch = Stopwatch(_seconds_before(run))
    with watch.stage("read images"):
        prepared = prepare(resolved, say)
    if resume is not None and run.metrics.exists():
        check_same_data(run, prepared)
        say(f"{run.root} is complete")
        metrics = read_metrics(run.metrics)
    else:
        with watch.stage("split and audit"):
            division = divide(resolved, prepared)
        _stop_at_leak(resolved, division.audit, allow_leak, say)
        if resume is None:
            prepare_output(run.root)
        with work_alone(run):
            _open_run(run, resolved, prepared, resuming=resume is not None)
            with _resumable(run):
                session = open_session(resolved, prepared, say, watch)
                metrics = _fit(session, division, run)
    with _resumable(run):
        say("Writing the report")
        write_report(run.root)
    return RunResult(run.root, metrics, len(prepared.skipped))


def _seconds_before(run: RunFolder) -> dict[str, float]:
    """Return what the stages of a resumed run took so far; nothing for a new one."""
    if not run.environment.exists():
        return {}
    return dict(read_document(run.environment, Environment).seconds)


@contextmanager
def _resumable(run: RunFolder) -> Iterator[None]:
    """Say how to go on where the user or a full disk stops the work."""
    go_on = f"eosin train --resume {shlex.quote(str(run.root))}"
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
    say: Say = silent,
) -> tuple[Plan, AuditReport]:
    """Say what ``train`` would do, need and take; only the image cache is written.

    Args:
        recipe: A recipe or its TOML file; may be left out where a run is named.
        overrides: ``section.key=value`` each.
        resume: A run folder: what all of that run takes, however far it is.
        say: Told what is being done.
    """
    if resume is not None:
        find_run(Path(resume))
    resolved = _resolve(recipe, overrides, resume)
    prepared = prepare(resolved, say)
    division = divide(resolved, prepared)
    session = open_session(resolved, prepared, say, Stopwatch())
    samples = division.folds[0].samples if division.folds else division.samples
    trainings = max(1, len(division.folds))
    return make_plan(session, samples, division.report, trainings), division.audit


def divide(recipe: Recipe, prepared: Prepared) -> Division:
    """Split the samples and audit the split.

    Raises:
        SplitError: The groups do not allow the split.
    """
    section, samples = recipe.data.split, prepared.samples
    if section.protocol != "folds":
        divided, report = split_samples(samples, section, recipe.seed)
        return Division(divided, report, audit_samples(divided, hashes=prepared.hashes))
    folds = tuple(fold_samples(samples, section, recipe.seed))
    audits = [audit_samples(fold.samples, hashes=prepared.hashes) for fold in folds]
    names = [f"{fold.repeat}-{fold.fold}" for fold in folds]
    return Division(samples, pool_reports(folds), merge_audits(audits, names), folds)


def _resolve(
    recipe: Recipe | Path | str | None, overrides: Iterable[str], resume: Path | None
) -> Recipe:
    """Read the recipe with its paths made absolute, so that the run folder can be re-run."""
    if recipe is None:
        if resume is None:
            raise RecipeError("no recipe was given", mend="eosin train RECIPE, or --resume RUN")
        recipe = RunFolder(Path(resume)).recipe
    if isinstance(recipe, Recipe):
        resolved = recipe_from_dict(merge(recipe.model_dump(), parse_overrides(overrides)))
    else:
        resolved = read_recipe(Path(recipe), overrides)
    check_names(resolved)
    check_loggers(resolved.train.loggers)
    data = resolved.data
    if data.manifest is not None:
        data = data.model_copy(update={"manifest": str(resolve_manifest(data.manifest))})
    else:
        root = resolve_root(data, resolved.seed)
        data = data.model_copy(update={"root": str(root)})
    return resolved.model_copy(update={"data": data})


def _stop_at_leak(recipe: Recipe, audit: AuditReport, allow_leak: bool, say: Say) -> None:
    if not audit.leaks:
        say("Audit: no leak found")
        return
    first = audit.leaks[0].message
    if recipe.data.split.is_strict and not allow_leak:
        raise LeakError(
            f"the split leaks: {first}",
            mend="Mend the groups (`eosin data audit` lists every pair), or pass --allow-leak",
        )
    say(f"Audit: this split leaks, its result will flatter: {first}")


def _choose_run(
    recipe: Recipe | Path | str | None,
    overrides: Iterable[str],
    output: Path | None,
    resume: Path | None,
) -> tuple[RunFolder, Recipe]:
    """Settle where the run goes and what it does, before any image is read.

    Raises:
        UsageError: Both a new and an old folder are named.
        ArtifactError: There is no run to go on with.
        RecipeError: The run was started from another recipe.
        OutputError: The folder cannot take the run.
    """
    if resume is None:
        resolved = _resolve(recipe, overrides, None)
        run = RunFolder(Path(output or default_output(resolved.name)))
        clean_unbegun(run.root)
        check_output(run.root)
        return run, resolved
    if output is not None:
        raise UsageError("-o and --resume exclude each other", mend="A resumed run stays in place")
    run = find_run(Path(resume))
    resolved = _resolve(recipe, overrides, resume)
    check_same_recipe(run, resolved)
    check_writable(run.root)
    return run, resolved


def _open_run(run: RunFolder, recipe: Recipe, prepared: Prepared, *, resuming: bool) -> None:
    if resuming:
        check_same_data(run, prepared)
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
    write_document(run.audit, division.audit)
    return fit_folds(session, division.folds, run)
