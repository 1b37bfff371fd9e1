"""Command ``train``: one experiment from a recipe to a report."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.metrics import SplitMetrics, read_metrics
from eosin.artifacts.tables import is_table
from eosin.commands.evaluate import add_robustness
from eosin.core.display import Shown
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
from eosin.experiment.distillation import check_teachers
from eosin.experiment.environment import default_output
from eosin.experiment.own_table import Given, take_table, with_manifest, write_own_table
from eosin.experiment.plan import Plan, make_plan
from eosin.experiment.prepare import Prepared, log_repair, prepare, resolve_recipe
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
from eosin.images.references import Skipped
from eosin.recipe import Recipe, read_recipe, recipe_from_dict
from eosin.recipe.overrides import Overrides, merge, parse_overrides
from eosin.recipe.shipped import locate_recipe
from eosin.reporting import write_report
from eosin.reporting.terminal import split_facts
from eosin.runs.relocation import note_place
from eosin.training.loggers import check_loggers

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class RunResult(Shown):
    """Result of ``train``.

    Attributes:
        run: The run folder.
        metrics: Measurements by split.
        skipped: ``(path, reason)`` of unreadable images, those of earlier stages included.
        skipped_lists: Files that list them.
    """

    run: Path
    metrics: dict[str, SplitMetrics]
    skipped: Skipped
    skipped_lists: tuple[Path, ...] = ()

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        return {"run": self.run, **split_facts(self.metrics), "skipped": len(self.skipped)}


def train(
    recipe: Given = None,
    *,
    positive: str | None = None,
    preset: str | None = None,
    time_limit: str | None = None,
    overrides: Overrides = (),
    output: Path | str | None = None,
    resume: Path | str | None = None,
    allow_leak: bool = False,
    allow_skipped: bool = False,
) -> RunResult:
    """Run one experiment.

    Args:
        recipe: A recipe, a dict, a TOML file or the name of a shipped recipe; or a folder of images
            or a table, for which a recipe is chosen. May be left out when resuming. The table, and
            ``data.manifest`` of a dict, may be a pandas table, which the run folder then keeps.
        positive: Positive class of a binary task, ``data.positive``.
        preset: Of a folder or table: ``quick``, ``good`` (default) or ``best``.
        time_limit: Of a folder or table: such as ``"10m"``, by an estimate.
        overrides: Values by key, ``{"train.epochs": 5}``, or texts ``section.key=value``.
        output: Run folder; ``runs/<name>-<UTC time>`` by default.
        resume: A run folder to continue.
        allow_leak: Continue if the audit of a strict split finds a leak.
        allow_skipped: Return the result although images cannot be read.

    Raises:
        SkippedFilesError: Images cannot be read; the run is finished, and its ``result`` holds it.
        EosinError: With its cause and hint in one line.
    """
    wanted = _want(recipe, overrides, positive, preset, time_limit)
    run, resolved = _choose_run(wanted, output, resume)
    watch = Stopwatch()
    with watch.stage("read images"):
        prepared = _prepare(wanted.prepared, resolved, is_new=resume is None)
    log_repair(prepared)
    if resume is not None:
        check_same_data(run, prepared)
    unread = {run.skipped: prepared.skipped}
    if resume is not None and run.metrics.exists():
        note_stage_places(run, resolved)
        note_place(run, resolved, prepared.samples)
        _LOG.info(f"{run.root} is complete")
        metrics = read_metrics(run.metrics)
    else:
        with watch.stage("split and audit"):
            division = divide(resolved, prepared)
            check_teachers(resolved, prepared, division)
            stages, leaks = prepare_stages(resolved, prepared, division)
        unread |= {
            run.stage(stage.number, stage.section.name).skipped: stage.prepared.skipped
            for stage in stages
        }
        division = division.with_leaks(leaks)
        stop_at_leak(resolved, division.audit, allow_leak)
        if resume is None and not run.table.exists():
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
        if resolved.evaluate.robustness and not run.robustness.exists():
            _LOG.info("Measuring robustness")
            add_robustness(run.root)
        _LOG.info("Writing the report")
        write_report(run.root)
    lists = tuple(path for path, files in unread.items() if files)
    result = RunResult(run.root, metrics, list(chain.from_iterable(unread.values())), lists)
    return end_with(result, len(result.skipped), lists, allowed=allow_skipped)


@contextmanager
def _resumable(run: RunFolder) -> Iterator[None]:
    """Log how to resume if the user or a full disk stops the work."""
    go_on = run.resume_command
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"interrupted; what was finished is kept in {run.root}", hint=f"To resume: {go_on}"
        ) from error
    except OutputError as error:
        if error.hint is None or not run.recipe.exists():
            raise
        # Nothing is lost: another folder would start anew.
        hint = re.split(r"(?:, or|:) choose another", error.hint)[0]
        raise OutputError(error.message, hint=f"{hint}. Then resume: {go_on}") from error


def plan(
    recipe: Given = None,
    *,
    positive: str | None = None,
    preset: str | None = None,
    time_limit: str | None = None,
    overrides: Overrides = (),
    resume: Path | str | None = None,
    allow_leak: bool = False,
) -> tuple[Plan, AuditReport]:
    """Return the dry run of a training and its leak audit; only the image cache is written.

    Args:
        recipe: As for :func:`train`, like the next four; may be left out if a run is named.
        positive: Positive class.
        preset: Preset.
        time_limit: Time limit.
        overrides: Changes of the recipe.
        resume: A run folder: the plan covers the whole run, however far it is.
        allow_leak: True if the training would continue despite leakage.
    """
    if resume is not None:
        find_run(Path(resume))
    wanted = _want(recipe, overrides, positive, preset, time_limit)
    with tempfile.TemporaryDirectory() as folder:
        resolved = _resolve_with_table(wanted, resume, RunFolder(Path(folder)).table)
        prepared = _prepare(wanted.prepared, resolved, is_new=resume is None)
    found, audit = _plan(resolved, prepared)
    try:
        stop_at_leak(resolved, audit, allow_leak)
    except LeakError as error:
        _LOG.info(f"The training would stop: {error}")
    return found, audit


def _plan(resolved: Recipe, prepared: Prepared) -> tuple[Plan, AuditReport]:
    division = divide(resolved, prepared)
    check_teachers(resolved, prepared, division)
    stages, leaks = prepare_stages(resolved, prepared, division)
    experiment = open_experiment(resolved, prepared, Stopwatch())
    if stages:
        experiment = replace(experiment, start=Start(stage=stages[-1].section.name))
    samples = next(iter(division.folds.values()), division).samples
    found = make_plan(experiment, samples, division.report, max(1, len(division.folds)))
    before = tuple((stage.section.name, plan_stage(stage)) for stage in stages)
    return replace(found, stages=before), division.with_leaks(leaks).audit


@dataclass(frozen=True)
class _Wanted:
    """Request of a training; attributes as the arguments of :func:`train`.

    Attributes:
        overrides: The overrides, and the positive class as the last of them.
        table: A pandas table that the recipe names, or stands in its place.
        prepared: The images that were read for an estimate, by what they were read for.
    """

    recipe: Recipe | Mapping[str, Any] | Path | str | None
    overrides: Mapping[str, Any]
    preset: str | None
    time_limit: str | None
    table: pd.DataFrame | None
    prepared: dict[str, Prepared] = field(default_factory=dict)


def _want(
    recipe: Given,
    overrides: Overrides,
    positive: str | None,
    preset: str | None,
    time_limit: str | None,
) -> _Wanted:
    changes: Mapping[str, Any] = parse_overrides(overrides)
    if positive is not None:
        changes = merge(changes, {"data": {"positive": positive}})
    recipe, changes, table = take_table(recipe, changes)
    return _Wanted(recipe, changes, preset, time_limit, table)


def _resolve_with_table(wanted: _Wanted, resume: Path | str | None, path: Path) -> Recipe:
    """Resolve a recipe; its pandas table, if it has one, is written to a file."""
    if wanted.table is None:
        return _resolve(wanted, resume)
    write_own_table(path, wanted.table, wanted.overrides, wanted.recipe)
    if wanted.recipe is None and resume is None:
        return _resolve(replace(wanted, recipe=path), None)
    return with_manifest(_resolve(wanted, resume), path)


def _resolve(wanted: _Wanted, resume: Path | str | None) -> Recipe:
    """Read the recipe and make its paths absolute, so that the run can be repeated."""
    recipe, overrides = wanted.recipe, wanted.overrides
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
            estimate=partial(_estimate_seconds, wanted.prepared),
        )
        return resolve_recipe(resolved)
    if wanted.preset is not None or wanted.time_limit is not None:
        raise UsageError(
            "a preset or a time limit belongs to a folder or table, but a recipe is given",
            hint="Name the folder or table of your images in its place, or leave them out",
        )
    if isinstance(recipe, Recipe):
        resolved = recipe_from_dict(recipe.model_dump(), overrides=overrides)
    elif isinstance(recipe, Mapping):
        resolved = recipe_from_dict(recipe, overrides=overrides)
    else:
        resolved = read_recipe(locate_recipe(recipe), overrides)
    check_loggers(resolved.train.loggers)
    return resolve_recipe(resolved)


def _is_own_data(path: Path) -> bool:
    """Return True for a folder of images or a table."""
    if path.suffix == ".toml":
        return False
    if not os.path.isdir(path):  # noqa: PTH112 -- Path.is_dir raises for a name that is too long
        return is_table(path)
    if RunFolder(path).recipe.exists():
        raise UsageError(
            f"{path} is a run folder", hint=f"Resume it: {RunFolder(path).resume_command}"
        )
    return True


def _estimate_seconds(before: dict[str, Prepared], recipe: Recipe) -> float:
    resolved = resolve_recipe(recipe)
    return _plan(resolved, _prepare(before, resolved, is_new=True))[0].seconds


def _prepare(before: dict[str, Prepared], recipe: Recipe, *, is_new: bool) -> Prepared:
    """Read the images, unless they were read the same way for the latest estimate."""
    copies = recipe.augment if recipe.augment.copies_before_split else None
    key = repr((recipe.data, recipe.seed, recipe.model, recipe.stain, copies))
    if key not in before:
        before.clear()
        before[key] = prepare(recipe, is_new=is_new)
    return before[key]


def _choose_run(
    wanted: _Wanted, output: Path | str | None, resume: Path | str | None
) -> tuple[RunFolder, Recipe]:
    """Choose and check the run folder, before any image is read."""
    if resume is None:
        if output is not None:
            _check_new(RunFolder(Path(output)))  # a recipe of own data is chosen by its images
        # Only a table alone takes its recipe from its images, and so needs a place first.
        is_alone = wanted.recipe is None and wanted.table is not None
        resolved = None if is_alone else _resolve(wanted, None)
        name = RunFolder(Path()).table.stem if resolved is None else resolved.name
        run = RunFolder(Path(output or default_output(name)))
        _check_new(run)
        if resolved is None or wanted.table is not None:
            resolved = _resolve_with_table(wanted, None, run.table)
        return run, resolved
    if output is not None:
        raise UsageError(
            "-o and --resume cannot be combined",
            hint=f"A run is resumed in its own folder: {RunFolder(Path(resume)).resume_command}",
        )
    run = find_run(Path(resume))
    resolved = _resolve_with_table(wanted, resume, run.table)
    if run.table.exists() and not Path(str(resolved.data.manifest)).exists():
        resolved = with_manifest(resolved, run.table)  # of a run that was moved
    check_same_recipe(run, resolved)
    check_writable(run.root)
    return run, resolved


def _check_new(run: RunFolder) -> None:
    """Check that a folder is usable for a new run."""
    clean_unbegun(run.root)
    resumed = f", or resume the run in it: {run.resume_command}"
    check_output(run.root, or_else=resumed if run.recipe.exists() else "")
