"""Training loop of every backend, to be read from top to bottom.

All is counted in evaluations, of which P3 makes twenty an epoch: schedule, patience, best state,
history. The order of the images and their augmentation are pure functions of (seed, epoch), so that
a resumed training ends where an uninterrupted one does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import HISTORY_COLUMNS, write_history
from eosin.core.files import atomic_path
from eosin.core.progress import progress_bar
from eosin.core.text import quantity
from eosin.core.types import FloatArray, IntArray
from eosin.engine import EarlyStopping
from eosin.metrics.catalogue import HISTORY_TRAIN
from eosin.recipe.schema import TrainSection
from eosin.training.data import FitInputs, Probe
from eosin.training.history import BestWeights, Progress, Row, Tally, explain_damage
from eosin.training.loggers import RowLogs
from eosin.training.sampler import evaluation_steps, make_batches

_LOG = logging.getLogger(__name__)

#: Steps of a probe; the first ones allocate memory and choose kernels, and are not timed.
_PROBE_STEPS, _WARM_UP = 8, 2
#: Seconds after which a probe makes no further step, however few there were.
_PROBE_S = 10.0


class Learner(Protocol):
    """A network in training with its optimiser and schedule, in one framework.

    Attributes:
        reads_ahead: True if the next batch is read while a step is computed. On a CPU both would
            wait for the same cores: the light CNN at 224 px lost a tenth of its speed.
    """

    reads_ahead: bool

    @property
    def lr(self) -> float:
        """The learning rate now; the head's, if stages have rates of their own."""

    def begin_epoch(self, epoch: int) -> None:
        """Choose the trainable weights of an epoch."""

    def read(self, rows: list[int], epoch: int) -> Any:
        """Read and augment a batch, in another thread than all else if ``reads_ahead``."""

    def step(self, batch: Any, number: int) -> tuple[FloatArray, IntArray, float]:
        """Train on a batch; ``number`` counts the steps of the training from 0.

        Returns:
            Logits (B, K), class indices (B,), and the minimised loss: the batch's mean, and the L2
            penalty.
        """

    def evaluate(self) -> Tally:
        """Compute losses (no L2 penalty) and logits of the validation subset, never augmented."""

    def step_schedule(self, monitored: float) -> None:
        """Advance the learning-rate schedule by one evaluation."""

    def save_weights(self, path: Path) -> None:
        """Write the weights alone."""

    def load_weights(self, path: Path) -> None:
        """Read what :meth:`save_weights` wrote."""

    def save(self, path: Path, progress: dict[str, Any]) -> None:
        """Write a checkpoint: the whole state and the loop's, as :meth:`Progress.state` has it."""

    def load(self, path: Path) -> dict[str, Any]:
        """Restore the state that :meth:`save` wrote; return the loop's."""


def train(
    learner: Learner,
    section: TrainSection,
    inputs: FitInputs,
    run: RunFolder,
    *,
    on_row: Callable[[Row], None] | None = None,
) -> None:
    """Train to the state of the best evaluation, resuming from ``checkpoints/last.ckpt``.

    Args:
        learner: Fresh.
        section: The recipe's training section.
        inputs: Training inputs.
        run: Destination of history and checkpoints.
        on_row: Called with every history row.

    Raises:
        TrainingError: The loss is not finite.
        ArtifactError: The checkpoint is damaged.
        KeyboardInterrupt: Ctrl-C; the last checkpoint can be resumed.
    """
    progress, best = _resume(learner, section, run)
    if inputs.since is not None:
        progress.since = inputs.since
    batches = make_batches(inputs.train.targets, section, inputs.seed)
    evaluated = evaluation_steps(len(batches), section.evaluations_per_epoch)
    if len(evaluated) < section.evaluations_per_epoch:
        _LOG.warning(
            "the recipe asks for %d evaluations per epoch, but an epoch has %d batches: "
            "%d evaluations per epoch, one after each batch",
            *(section.evaluations_per_epoch, len(batches), len(evaluated)),
        )

    with progress_bar("Training") as advance, RowLogs(section.loggers, run) as logs:
        logs.open(progress.rows)
        clock = _Clock(60 * section.checkpoint_minutes)
        while progress.epoch < section.epochs and not progress.stopping.is_over:
            epoch, n_done = progress.epoch, progress.batch
            learner.begin_epoch(epoch)
            for batch in _read_ahead(learner, batches.of(epoch)[n_done:], epoch):
                progress.add_step(*learner.step(batch, progress.step))
                advance(progress.step, section.epochs * len(batches))
                if progress.batch in evaluated:
                    row = _measure(learner, progress, inputs.positive)
                    write_history(run.history, progress.rows)
                    logs.add(row)
                    if on_row is not None:
                        on_row(row)
                    if _choose(learner, progress, best, row.get(section.monitor)):
                        break
                if progress.batch < len(batches) and clock.is_due():
                    _save(learner, progress, best, run)
                    clock.start()
            progress.end_epoch()
            _save(learner, progress, best, run)
            clock.start()
        logs.finish(progress.rows)
    best.forget_others()
    learner.load_weights(best.path)


def _resume(
    learner: Learner, section: TrainSection, run: RunFolder
) -> tuple[Progress, BestWeights]:
    """Return the progress of the last checkpoint, or that of a training that begins."""
    progress = Progress(EarlyStopping(section.monitor, section.patience))
    if run.last_checkpoint.exists():
        with explain_damage(run.last_checkpoint):
            progress.load(learner.load(run.last_checkpoint))
        if progress.epoch >= section.epochs or progress.stopping.is_over:
            _LOG.info(f"Training was complete after {quantity(progress.epoch, 'epoch')}")
        else:
            done = f", after {quantity(progress.step, 'step')}" if progress.batch else ""
            _LOG.info(f"Resuming in epoch {progress.epoch + 1} of {section.epochs}{done}")
    if run.history.exists():
        # What a killed process wrote after its last checkpoint is going to be repeated.
        write_history(run.history, progress.rows)
    return progress, BestWeights(run, progress.best_step)


def _save(learner: Learner, progress: Progress, best: BestWeights, run: RunFolder) -> None:
    with atomic_path(run.last_checkpoint) as temporary:
        learner.save(temporary, progress.state())
    best.forget_others()


class _Clock:
    """Tells when a checkpoint within an epoch is due."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.start()

    def start(self) -> None:
        self._started = time.monotonic()

    def is_due(self) -> bool:
        return time.monotonic() - self._started >= self._seconds


def _read_ahead(learner: Learner, batches: Sequence[list[int]], epoch: int) -> Iterator[Any]:
    """Yield an epoch's batches, each read while the step before it is computed, or when due."""
    if not learner.reads_ahead:
        yield from (learner.read(rows, epoch) for rows in batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="eosin-batches") as reader:
        ahead: Future[Any] | None = None
        for rows in batches:
            current, ahead = ahead, reader.submit(learner.read, rows, epoch)
            if current is not None:
                yield current.result()
        if ahead is not None:
            yield ahead.result()


def _measure(learner: Learner, progress: Progress, positive: int | None) -> Row:
    """Add a row to the history: training scores since the last one, and validation scores."""
    trained, progress.tally = progress.tally.scores(positive), Tally()
    row: Row = {"step": progress.step, "epoch": progress.epoch, "lr": learner.lr}
    row |= {name: trained.get(name) for name in ("loss", *HISTORY_TRAIN)}
    validated = learner.evaluate()
    progress.check_outputs(validated)
    row |= {f"val_{name}": value for name, value in validated.scores(positive).items()}
    row["seconds"] = round(progress.count_seconds(), 3)
    progress.rows.append({name: row.get(name) for name in HISTORY_COLUMNS})
    return progress.rows[-1]


def _choose(
    learner: Learner, progress: Progress, best: BestWeights, monitored: float | None
) -> bool:
    """Keep the state if it is the best so far, advance the schedule; return True to stop early."""
    if progress.stopping.update(monitored):
        progress.best_step = progress.step
        best.save(progress.step, learner.save_weights)
    learner.step_schedule(progress.stopping.worst if monitored is None else monitored)
    return progress.stopping.is_over


def probe(
    learner: Learner, section: TrainSection, inputs: FitInputs, peak: Callable[[], int | None]
) -> Probe:
    """Time a few training steps and evaluated images, run as in the training itself.

    Args:
        learner: Fresh; its weights are changed.
        section: The recipe's training section.
        inputs: Training inputs; all validation images are evaluated.
        peak: Function that returns the peak memory in bytes.
    """
    learner.begin_epoch(0)
    times, batches = [], make_batches(inputs.train.targets, section, inputs.seed).of(0)
    for number, rows in enumerate(batches[:_PROBE_STEPS]):
        start = time.perf_counter()
        learner.step(learner.read(rows, 0), number)
        times.append(time.perf_counter() - start)
        if sum(times) > _PROBE_S:
            break
    start = time.perf_counter()
    learner.evaluate()
    evaluate_s = (time.perf_counter() - start) / max(len(inputs.val), 1)
    return Probe(float(np.median(times[_WARM_UP:] or times[-1:])), evaluate_s, peak())


def probe_inputs(section: TrainSection, inputs: FitInputs) -> tuple[TrainSection, FitInputs]:
    """Return what a probe trains on: one batch to evaluate, whose statistics are not estimated."""
    val = replace(inputs.val, targets=inputs.val.targets[: section.batch_size])
    return section.model_copy(update={"batch_norm": "running"}), replace(inputs, val=val)
