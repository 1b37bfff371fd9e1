"""Command ``train``: one experiment from a recipe to a report."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.metrics import SplitMetrics, read_metrics
from eosin.artifacts.tables import is_table
from eosin.core.errors import (
    InterruptedRunError,
    LeakError,
    OutputError,
    RecipeError,
    UsageError,
    end_with,
)
from eosin.core.files import check_output, check_writable, clean_partial, prepare_output
from eosin.experiment.backends import Start
from eosin.experiment.crossval import fit_folds
from eosin.experiment.default_recipe import make_default_recipe
from eosin.experiment.environment import default_output
from eosin.experiment.plan import Plan, make_plan
from eosin.experiment.prepare import log_repair, prepare, resolve_recipe
from eosin.experiment.resume import (
    check_same_data,
    check_same_recipe,
    clean_unbegun,
    find_run,
    work_alone,
)
from eosin.experiment.run import fit_split
from eosin.experiment.split import divide, stop_at_leak
from eosin.experiment.transfer import note_stage_places, plan_stage, prepare_stages, run_stages
from eosin.experiment.writer import Stopwatch, begin_run, open_experiment
from eosin.recipe import Recipe, read_recipe, recipe_from_dict
from eosin.recipe.overrides import override
from eosin.recipe.shipped import locate_recipe
from eosin.reporting import write_report
from eosin.runs.relocation import note_place
from eosin.training.loggers import check_loggers

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """Result of ``train``.

    Attributes:
        run: The run folder.
        metrics: Measurements by split.
        n_skipped: Unreadable images, those of earlier stages included.
        skipped: Files that list them.
    """

    run: Path
    metrics: dict[str, SplitMetrics]
    n_skipped: int
    skipped: tuple[Path, ...] = ()


def train(
    recipe: Recipe | Mapping[str, Any] | Path | str | None = None,
    *,
    positive: str | None = None,
    preset: str | None = None,
    time_limit: str | None = None,
    overrides: Iterable[str] = (),
    output: Path | str | None = None,
    resume: Path | str | None = None,
    allow_leak: bool = False,
    allow_skipped: bool = False,
) -> RunResult:
    """Run one experiment.

    Args:
        recipe: A recipe, a dict, a TOML file or the name of a shipped recipe; or a folder of images
            or a table, for which a recipe is chosen. May be left out when resuming.
        positive: Positive class of a binary task, ``data.positive``.
        preset: Of a folder or table: ``quick``, ``good`` (default) or ``best``.
        time_limit: Of a folder or table: such as ``"10m"``, by an estimate.
        overrides: ``section.key=value`` each.
        output: Run folder; ``runs/<name>-<UTC time>`` by default.
        resume: A run folder to continue.
        allow_leak: Continue if the audit of a strict split finds a leak.
        allow_skipped: Return the result although images cannot be read.

    Raises:
        SkippedFilesError: Images cannot be read; the run is finished, and its ``result`` holds it.
        EosinError: With its cause and hint in one line.
    """
    wanted = _Wanted(recipe, tuple(overrides), positive, preset, time_limit)
    run, resolved = _choose_run(wanted, output, resume)
    watch = Stopwatch()
    with watch.stage("read images"):
        prepared = prepare(resolved, is_new=resume is None)
    log_repair(prepared)
    if resume is not None:
        check_same_data(run, prepared)
    unread = {run.skipped: len(prepared.skipped)}
    if resume is not None and run.metrics.exists():
        note_stage_places(run, resolved)
        note_place(run, resolved, prepared.samples)
        _LOG.info(f"{run.root} is complete")
        metrics = read_metrics(run.metrics)
    else:
        with watch.stage("split and audit"):
            division = divide(resolved, prepared)
            stages, leaks = prepare_stages(resolved, prepared, division)
        unread |= {
            run.stage(stage.number, stage.section.name).skipped: len(stage.prepared.skipped)
            for stage in stages
        }
        division = division.with_leaks(leaks)
        stop_at_leak(resolved, division.audit, allow_leak)
        if resume is None:
            prepare_output(run.root)
        with work_alone(run):
            if resume is not None:
                note_place(run, resolved, prepared.samples)
                clean_partial(run.root)
            begin_run(run, resolved, prepared)
            with _resumable(run):
                experiment = open_experiment(resolved, prepared, watch)
                if stages:
                    with watch.stage("earlier stages"):
                        start = run_stages(run, resolved, stages, allow_leak=allow_leak)
                    experiment = replace(experiment, start=start)
                fit = fit_folds if division.folds else fit_split
                metrics = fit(experiment, division, run)
    with _resumable(run):
        _LOG.info("Writing the report")
        write_report(run.root)
    lists = tuple(path for path, n_files in unread.items() if n_files)
    result = RunResult(run.root, metrics, sum(unread.values()), lists)
    return end_with(result, result.n_skipped, lists, allowed=allow_skipped)


@contextmanager
def _resumable(run: RunFolder) -> Iterator[None]:
    """Log how to resume if the user or a full disk stops the work."""
    go_on = run.resume_command
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"interrupted; what was finished is kept in {run.root}", hint=f"Go on with: {go_on}"
        ) from error
    except OutputError as error:
        if error.hint is None or not run.recipe.exists():
            raise
        # Nothing is lost: another folder would start anew.
        hint = error.hint.partition(", or choose another folder")[0]
        raise OutputError(error.message, hint=f"{hint}. Then go on with: {go_on}") from error


def plan(
    recipe: Recipe | Mapping[str, Any] | Path | str | None = None,
    *,
    positive: str | None = None,
    preset: str | None = None,
    time_limit: str | None = None,
    overrides: Iterable[str] = (),
    resume: Path | str | None = None,
    allow_leak: bool = False,
) -> tuple[Plan, AuditReport]:
    """Return the dry run of a training and its leak audit; only the image cache is written.

    Args:
        recipe: As for :func:`train`, like the next four; may be left out if a run is named.
        positive: Positive class.
        preset: Preset.
        time_limit: Time limit.
        overrides: ``section.key=value`` each.
        resume: A run folder: the plan covers the whole run, however far it is.
        allow_leak: True if the training would continue despite leakage.
    """
    if resume is not None:
        find_run(Path(resume))
    wanted = _Wanted(recipe, tuple(overrides), positive, preset, time_limit)
    resolved = _resolve(wanted, resume)
    prepared = prepare(resolved, is_new=resume is None)
    division = divide(resolved, prepared)
    stages, leaks = prepare_stages(resolved, prepared, division)
    experiment = open_experiment(resolved, prepared, Stopwatch())
    if stages:
        experiment = replace(experiment, start=Start(stage=stages[-1].section.name))
    samples = next(iter(division.folds.values()), division).samples
    found = make_plan(experiment, samples, division.report, max(1, len(division.folds)))
    before = tuple((stage.section.name, plan_stage(stage)) for stage in stages)
    audit = division.with_leaks(leaks).audit
    try:
        stop_at_leak(resolved, audit, allow_leak)
    except LeakError as error:
        _LOG.info(f"The training would stop: {error}")
    return replace(found, stages=before), audit


@dataclass(frozen=True)
class _Wanted:
    """What to train, as the user said it; attributes as the arguments of :func:`train`."""

    recipe: Recipe | Mapping[str, Any] | Path | str | None
    overrides: tuple[str, ...]
    positive: str | None = None
    preset: str | None = None
    time_limit: str | None = None

    def all_overrides(self) -> tuple[str, ...]:
        """Return the overrides, and the positive class as the last of them."""
        if self.positive is None:
            return self.overrides
        return (*self.overrides, f"data.positive={json.dumps(self.positive)}")


def _resolve(wanted: _Wanted, resume: Path | str | None) -> Recipe:
    """Read the recipe and make its paths absolute, so that the run can be repeated."""
    recipe, overrides = wanted.recipe, wanted.all_overrides()
    if recipe is None:
        if resume is None:
            raise RecipeError(
                "no recipe was given",
                hint="Name one: eosin train RECIPE or eosin train --resume RUN",
            )
        recipe = RunFolder(Path(resume)).recipe
    if isinstance(recipe, Path | str) and resume is None and _is_own_data(Path(recipe)):
        resolved = make_default_recipe(
            Path(recipe),
            overrides,
            preset=wanted.preset,
            time_limit=wanted.time_limit,
            estimate=_estimate_seconds,
        )
        return resolve_recipe(resolved)
    if wanted.preset is not None or wanted.time_limit is not None:
        raise UsageError(
            "a preset or a time limit belongs to a folder or table, but a recipe is given",
            hint="Name the folder or table of your images in its place, or leave them out",
        )
    if isinstance(recipe, Recipe):
        resolved = recipe_from_dict(override(recipe.model_dump(), overrides))
    elif isinstance(recipe, Mapping):
        resolved = recipe_from_dict(override(recipe, overrides))
    else:
        resolved = read_recipe(locate_recipe(recipe), overrides)
    check_loggers(resolved.train.loggers)
    return resolve_recipe(resolved)


def _is_own_data(path: Path) -> bool:
    """Return True for a folder of images or a table."""
    if not path.is_dir():
        return is_table(path)
    if RunFolder(path).recipe.exists():
        raise UsageError(
            f"{path} is a run folder", hint=f"Resume it: {RunFolder(path).resume_command}"
        )
    return True


def _estimate_seconds(recipe: Recipe) -> float:
    return plan(recipe, allow_leak=True)[0].seconds


def _choose_run(
    wanted: _Wanted, output: Path | str | None, resume: Path | str | None
) -> tuple[RunFolder, Recipe]:
    """Choose and check the run folder, before any image is read."""
    if resume is None:
        resolved = _resolve(wanted, None)
        run = RunFolder(Path(output or default_output(resolved.name)))
        clean_unbegun(run.root)
        resumed = f", or resume the run in it: {run.resume_command}"
        check_output(run.root, or_else=resumed if run.recipe.exists() else "")
        return run, resolved
    if output is not None:
        raise UsageError(
            "-o and --resume exclude each other",
            hint=f"A resumed run stays in place: {RunFolder(Path(resume)).resume_command}",
        )
    run = find_run(Path(resume))
    resolved = _resolve(wanted, resume)
    check_same_recipe(run, resolved)
    check_writable(run.root)
    return run, resolved
