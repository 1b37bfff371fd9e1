"""What one invocation of ``train`` holds in hand, and what every run folder starts with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from eosin.artifacts.audit import Finding
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import write_manifest
from eosin.artifacts.run import SplitReport
from eosin.artifacts.versioned import write_document
from eosin.core.files import write_text
from eosin.core.types import Samples
from eosin.experiment.backends import find_backend
from eosin.experiment.environment import describe_run
from eosin.experiment.model_info import Start
from eosin.experiment.prepare import Prepared, Say
from eosin.images.bank import ImageBank
from eosin.images.references import write_skipped
from eosin.recipe import recipe_to_toml
from eosin.recipe.schema import Recipe
from eosin.runtime.placement import Placement


@dataclass
class Stopwatch:
    """Wall time of each stage of a run.

    Attributes:
        seconds: By stage.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage; a stage entered twice adds up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def add(self, other: Stopwatch) -> None:
        """Add what another watch has measured, stage by stage."""
        for name, seconds in other.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


@dataclass(frozen=True)
class Session:
    """What one invocation of ``train`` holds in hand.

    Attributes:
        recipe: Resolved.
        prepared: Readable samples.
        bank: Their decoded images; of one split, with the window that its training part fits.
        placement: Device and precision.
        say: Told what is being done.
        watch: Wall times.
        start: Where the network's backbone comes from.
        leaks: What the audit found between earlier trainings and what is judged.
    """

    recipe: Recipe
    prepared: Prepared
    bank: ImageBank
    placement: Placement
    say: Say
    watch: Stopwatch
    start: Start = field(default_factory=Start)
    leaks: tuple[Finding, ...] = ()


def open_session(recipe: Recipe, prepared: Prepared, say: Say, watch: Stopwatch) -> Session:
    """Choose the device."""
    placement = find_backend(recipe.model).place(recipe.train)
    start = Start(recipe.transfer.source)
    return Session(recipe, prepared, prepared.bank, placement, say, watch, start)


def write_inputs(
    run: RunFolder, recipe: Recipe, samples: Samples, report: SplitReport, prepared: Prepared
) -> None:
    """Write what a run starts from: recipe, manifest with split, split report, skipped files."""
    write_text(run.recipe, recipe_to_toml(recipe))
    write_manifest(run.manifest, samples)
    write_document(run.split, report)
    write_skipped(run.skipped, prepared.skipped)


def write_environment(run: RunFolder, session: Session) -> None:
    """Write (or refresh) ``environment.json``."""
    environment = describe_run(
        session.recipe,
        session.prepared,
        command=f"eosin train {run.recipe.name}",
        device=session.placement.description,
        precision=session.placement.precision,
        seconds=session.watch.seconds,
    )
    write_document(run.environment, environment)
