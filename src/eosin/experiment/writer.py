"""Experiment of one ``train`` command, and the writer of its run folders."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from eosin.artifacts.integrity import write_finished, write_model
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.manifest import write_manifest
from eosin.artifacts.metrics import SplitMetrics
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import write_document
from eosin.augment import POLICIES, Policy
from eosin.core.files import read_file, write_text
from eosin.core.hints import typed_command
from eosin.core.registry import NetworkSpec
from eosin.core.text import duration
from eosin.core.types import DeviceSettings
from eosin.experiment.backends import Backend, Start, find_backend, find_start
from eosin.experiment.copies import count_copies
from eosin.experiment.environment import describe
from eosin.experiment.prepare import Prepared
from eosin.experiment.resume import record_data
from eosin.experiment.split import Division
from eosin.images.bank import ImageBank
from eosin.images.references import write_skipped
from eosin.metrics.catalogue import HEADLINE
from eosin.recipe import recipe_to_toml
from eosin.recipe.schema import Recipe
from eosin.reporting import write_card

_LOG = logging.getLogger(__name__)


@dataclass
class Stopwatch:
    """Wall time of each stage of a run."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage; a stage entered twice adds up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            _LOG.debug(f"{name}: {duration(seconds)}")

    def add(self, other: Stopwatch) -> None:
        """Add the times of another stopwatch, stage by stage."""
        for name, seconds in other.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


@dataclass(frozen=True)
class Experiment:
    """Recipe, data, device and backend of one ``train`` command.

    Attributes:
        bank: Their decoded images; for one split, with the window fitted on its training subset.
    """

    recipe: Recipe
    prepared: Prepared
    bank: ImageBank
    device_settings: DeviceSettings
    watch: Stopwatch
    backend: Backend
    start: Start = field(default_factory=Start)

    @property
    def spec(self) -> NetworkSpec:
        """The recipe's network."""
        return self.backend.find_spec(self.recipe.model.name)

    @property
    def copies(self) -> int | None:
        """Fixed copies of each training image; ``None`` if every epoch draws anew.

        Copies that were made before the split are images of the training.
        """
        augment = self.recipe.augment
        return None if augment.copies_before_split else count_copies(augment) or None

    @property
    def policy(self) -> Policy:
        """Augmentation of the training subset; none of copies that were made before the split."""
        augment = self.recipe.augment
        return POLICIES.get("none" if augment.copies_before_split else augment.policy)


def open_experiment(recipe: Recipe, prepared: Prepared, watch: Stopwatch) -> Experiment:
    """Choose the backend and its device."""
    backend = find_backend(recipe.model)
    device_settings = backend.place(recipe.train)
    start = find_start(recipe.transfer.source)
    return Experiment(recipe, prepared, prepared.bank, device_settings, watch, backend, start)


def begin_run(run: RunFolder, recipe: Recipe, prepared: Prepared) -> None:
    """Write what resuming needs, the recipe first.

    A folder with a recipe can be resumed, whenever the run is killed after that.
    """
    write_recipe(run, recipe)
    if not run.inputs.exists():
        record_data(run, prepared)


def write_recipe(run: RunFolder, recipe: Recipe) -> None:
    """Write ``recipe.toml`` if it is absent or differs, as its paths may after a move."""
    text = recipe_to_toml(recipe)
    if not run.recipe.exists() or read_file(run.recipe) != text.encode():
        write_text(run.recipe, text)


def write_inputs(run: RunFolder, division: Division, prepared: Prepared) -> None:
    """Write a training's inputs: manifest with split, its report and audit, skipped files."""
    write_manifest(run.manifest, division.samples)
    write_document(run.split, division.report)
    write_skipped(run.skipped, prepared.skipped)
    write_document(run.audit, division.audit)


def finish_run(
    run: RunFolder,
    environment: Environment,
    info: ModelInfo,
    splits: dict[str, SplitMetrics],
    measured: Mapping[str, SplitMetrics],
) -> None:
    """Complete the model folder and mark the run as finished.

    Each file is written once: the card from the contents of the others, then ``model.json``,
    ``environment.json`` and, last, ``metrics.json``. Then the checkpoints, of up to four times the
    model's size, are removed: a finished run is not resumed.

    Args:
        run: The run folder, all its other files written.
        environment: But for the files' SHA-256.
        info: All but the headline metrics and the files' SHA-256.
        splits: Measurements by split.
        measured: Those repeated in ``model.json``, by their names there.
    """
    summary = {
        name: {key: split.image[key] for key in HEADLINE} for name, split in measured.items()
    }
    info = info.model_copy(update={"metrics": summary})
    pending = {"metrics": splits, "environment": environment, "model": info}
    write_card(run.root, pending)
    write_model(ModelFolder(run.model), info)
    write_finished(run, environment, splits)
    run.remove_checkpoints()


def describe_training(run: RunFolder, experiment: Experiment) -> Environment:
    """Collect the contents of ``environment.json`` of a training."""
    prepared = experiment.prepared
    return describe(
        command=typed_command() or f"eosin train {run.recipe.name}",
        device=experiment.device_settings.description,
        precision=experiment.device_settings.precision,
        seed=experiment.recipe.seed,
        data_root=str(prepared.samples.root),
        data_fingerprint=prepared.fingerprint,
        dataset=prepared.facts,
        seconds=experiment.watch.seconds,
    )
