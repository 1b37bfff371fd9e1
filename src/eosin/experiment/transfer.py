"""Stages of transfer: trainings on other data before a recipe's own, each a run folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from eosin.artifacts.audit import Finding
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.core.files import clean_partial, prepare_output
from eosin.data.audit import audit_stage, find_near_duplicates
from eosin.experiment.backends import RANDOM, Start, find_start
from eosin.experiment.plan import Plan, make_plan
from eosin.experiment.prepare import Prepared, log_repair, prepare
from eosin.experiment.resume import check_same_data, check_same_recipe, record_data
from eosin.experiment.run import fit_split
from eosin.experiment.split import Division, divide, may_share_groups, stop_at_leak
from eosin.experiment.stage_store import fingerprint_stage, keep_stage, take_stage
from eosin.experiment.writer import Stopwatch, begin_run, open_experiment
from eosin.recipe import Recipe, read_recipe
from eosin.recipe.schema import TransferSection, TransferStage
from eosin.reporting import write_report
from eosin.runs.relocation import note_place

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """One stage of transfer.

    Attributes:
        recipe: The training by itself; its initial weights are set when it runs.
    """

    number: int
    section: TransferStage
    recipe: Recipe
    prepared: Prepared
    division: Division


def prepare_stages(
    recipe: Recipe, prepared: Prepared, division: Division
) -> tuple[list[Stage], list[Finding]]:
    """Prepare every stage, and search the evaluated images for its images.

    Returns:
        The stages; the leaks between one of them and a test subset.
    """
    stages: list[Stage] = []
    leaks: list[Finding] = []
    for number, section in enumerate(recipe.transfer.stage, start=1):
        one = stage_recipe(recipe, section, recipe.transfer.source if number == 1 else RANDOM)
        _LOG.info(f"Stage {section.name}:")
        mine = prepare(one)
        log_repair(mine)
        stages.append(Stage(number, section, one, mine, divide(one, mine)))
        leaks += audit_stage(
            section.name,
            (mine.samples, mine.hashes),
            (division.evaluated, prepared.hashes),
            is_same_source=may_share_groups(section.data, recipe.data),
            near_duplicates=find_near_duplicates(
                mine.image_index.joined(prepared.image_index), len(mine.image_index)
            ),
            distinct=recipe.data.alike_names == "distinct",
        )
    return stages, leaks


def stage_recipe(recipe: Recipe, section: TransferStage, source: str = RANDOM) -> Recipe:
    """Return the recipe of one stage by itself."""
    # Teachers know the recipe's own classes.
    train = {"epochs": section.epochs, "lr": section.lr or recipe.train.lr, "teachers": ()}
    policy = section.augment or recipe.augment.policy
    return recipe.model_copy(
        update={
            "name": f"{recipe.name[:60]}-{section.name}"[:80],
            "description": f"Stage {section.name} of {recipe.name}",
            "data": section.data,
            # The scale that the recipe states is that of its own images.
            "model": recipe.model.model_copy(update={"mpp": None}),
            # Copies before the split are those of the recipe's own images.
            "augment": recipe.augment.model_copy(
                update={"policy": policy, "copies_before_split": False}
            ),
            "transfer": TransferSection(source=source, freeze=section.freeze),
            "train": recipe.train.model_copy(update=train),
        }
    )


def plan_stage(stage: Stage) -> Plan:
    """Return the dry run of one stage."""
    experiment = open_experiment(stage.recipe, stage.prepared, Stopwatch())
    return make_plan(experiment, stage.division.samples, stage.division.report, 1)


def run_stages(run: RunFolder, recipe: Recipe, stages: list[Stage], *, allow_leak: bool) -> Start:
    """Train every unfinished stage; returns the initial weights of the recipe's own training."""
    start = find_start(recipe.transfer.source)
    for stage in stages:
        place = run.stage(stage.number, stage.section.name)
        _run_stage(place, stage, start, allow_leak=allow_leak)
        weights = str(ModelFolder(place.model).weights)
        start = find_start(weights, stage.section.name, stage.section.freeze)
    return start


def note_stage_places(run: RunFolder, recipe: Recipe) -> None:
    """Update the paths of images in the stages of a finished run.

    A stage's images are read only if the recipe names another path than the stage does: a
    finished run does not need them.

    Raises:
        ArtifactError: Other images are at the new path.
    """
    for number, section in enumerate(recipe.transfer.stage, start=1):
        place = run.stage(number, section.name)
        if not place.recipe.exists() or read_recipe(place.recipe).data == section.data:
            continue
        one = _started_there(stage_recipe(recipe, section), place)
        _LOG.info(f"Stage {section.name}:")
        prepared = prepare(one)
        check_same_data(place, prepared)
        note_place(place, one, prepared.samples)


def _started_there(recipe: Recipe, place: RunFolder) -> Recipe:
    """Return the recipe with the recorded initial weights: the whole run may have been moved."""
    shown = {"source": read_recipe(place.recipe).transfer.source}
    return recipe.model_copy(update={"transfer": recipe.transfer.model_copy(update=shown)})


def _run_stage(place: RunFolder, stage: Stage, start: Start, *, allow_leak: bool) -> None:
    label = f"stage {stage.number}, {stage.section.name}: "
    transfer = stage.recipe.transfer.model_copy(update={"source": start.source})
    recipe = stage.recipe.model_copy(update={"transfer": transfer})
    if place.recipe.exists():
        check_same_recipe(place, _started_there(recipe, place) if stage.number > 1 else recipe)
        check_same_data(place, stage.prepared)
        note_place(place, _started_there(recipe, place), stage.prepared.samples)
        clean_partial(place.root)
    fingerprint = fingerprint_stage(recipe, stage.prepared, stage.division, start.stain)
    if place.metrics.exists():
        _LOG.info(f"{label}already done")
    elif not place.root.exists() and take_stage(fingerprint, place, recipe):
        _LOG.info(f"{label}reused from the cache: the same stage was trained before")
        record_data(place, stage.prepared)
    else:
        stop_at_leak(recipe, stage.division.audit, allow_leak)
        if not place.recipe.exists():
            prepare_output(place.root)
        begin_run(place, recipe, stage.prepared)
        experiment = replace(open_experiment(recipe, stage.prepared, Stopwatch()), start=start)
        fit_split(experiment, stage.division, place, label=label)
        if recipe.data.cache:
            keep_stage(fingerprint, place)
    if not place.report.exists():
        write_report(place.root)
