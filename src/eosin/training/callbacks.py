"""Callbacks of the training loop: after each step, evaluation and epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import HISTORY_COLUMNS, write_history
from eosin.core.files import atomic_path
from eosin.core.progress import Advance
from eosin.core.seeding import generator
from eosin.engine import EarlyStopping
from eosin.runtime.door import import_companion
from eosin.training.checkpoints import BestWeights, random_state, restore_random_state
from eosin.training.data import RECALIBRATED, ImagePart
from eosin.training.loader import Batch, make_loader
from eosin.training.loggers import Row, RowLogs
from eosin.training.module import ClassifierModule
from eosin.training.sampler import EpochBatches

lightning = import_companion("lightning.pytorch")


class EvaluationLog(lightning.Callback):  # type: ignore[misc,name-defined]
    """History, schedule, best state and early stopping, updated at every evaluation.

    Everything is counted in evaluations, of which P3 makes twenty per epoch.

    Args:
        run: Destination of history and best state.
        monitor: Validation score that selects the best state; with ``none`` the latest is the best.
        patience: Evaluations without gain before training stops; ``None`` never stops early.
        on_row: Called with every new history row.
        logs: Loggers beside the history.
    """

    def __init__(
        self,
        run: RunFolder,
        monitor: str,
        patience: int | None,
        on_row: Callable[[Row], None] | None = None,
        logs: RowLogs | None = None,
    ) -> None:
        self._run = run
        self._monitor = monitor
        self.stopping = EarlyStopping(monitor, patience)
        self._on_row = on_row
        self._logs = logs or RowLogs((), run)
        self.rows: list[Row] = []
        self.weights = BestWeights(run)

    def on_train_start(self, trainer: Any, _module: Any) -> None:
        """Keep a run stopped that had stopped early and was killed after that."""
        trainer.should_stop = self.stopping.is_over
        # What a killed run wrote after its last checkpoint is going to be repeated.
        self.weights.forget_others()
        if self._run.history.exists():
            write_history(self._run.history, self.rows)
        self._logs.open(self.rows)

    def on_validation_epoch_end(self, trainer: Any, module: ClassifierModule) -> None:
        """Finish one evaluation."""
        if trainer.sanity_checking:
            return
        scores = module.take_scores()
        row: Row = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            # The head's, if stages have learning rates of their own.
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            **scores,
        }
        self.rows.append({name: row.get(name) for name in HISTORY_COLUMNS})
        write_history(self._run.history, self.rows)
        self._logs.add(self.rows[-1])
        if self._on_row is not None:
            self._on_row(self.rows[-1])
        value = scores.get(self._monitor)
        if self.stopping.update(value):
            self.weights.save(trainer.global_step, module.network)
        module.step_schedule(self.stopping.worst if value is None else value)
        if self.stopping.is_over:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {
            "rows": self.rows,
            "best": self.stopping.best,
            "waited": self.stopping.waited,
            "best_step": self.weights.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.rows = state["rows"]
        self.stopping.best, self.stopping.waited = state["best"], state["waited"]
        self.weights.restore(state["best_step"])


class LastCheckpoint(lightning.Callback):  # type: ignore[misc,name-defined]
    """Atomic checkpoint ``checkpoints/last.ckpt``.

    Written at the end of every epoch, and within one whenever enough time has passed. Lightning
    counts batches and epochs; the position in the epoch and the random state are kept here.

    Args:
        log: Names the best weights in the checkpoint.
        run: Destination.
        batches: Sampler of the training part, which a resumed run enters mid-epoch.
        every: Steps between two evaluations; each epoch counts anew.
        minutes: Time between two checkpoints within an epoch.
    """

    def __init__(
        self, log: EvaluationLog, run: RunFolder, batches: EpochBatches, every: int, minutes: float
    ) -> None:
        self._log = log
        self._path = run.last_checkpoint
        self._batches = batches
        self._every = every
        self._seconds = 60.0 * minutes
        self._written = 0.0
        self._place = (0, 0)
        self._random: dict[str, Any] | None = None

    def on_train_start(self, _trainer: Any, _module: Any) -> None:
        """Restore the random state that dropout draws from."""
        self._written = time.monotonic()
        if self._random is not None:
            restore_random_state(self._random)
            self._random = None

    def on_train_batch_end(
        self, trainer: Any, _module: Any, _outputs: Any, _batch: Any, number: int
    ) -> None:
        """Write a checkpoint between two evaluations."""
        self._place = (trainer.current_epoch, number + 1)
        # An evaluation or an epoch's end that is due comes first: Lightning would take a due
        # evaluation as done.
        if self._place[1] % self._every and self._place[1] < len(self._batches) and self._is_due():
            self._write(trainer)

    def on_validation_end(self, trainer: Any, _module: Any) -> None:
        """Write a checkpoint after an evaluation within the epoch."""
        if not trainer.sanity_checking and self._place[1] < len(self._batches) and self._is_due():
            self._write(trainer)

    def on_train_epoch_end(self, trainer: Any, _module: Any) -> None:
        """Write a checkpoint at the end of an epoch."""
        self._place = (trainer.current_epoch + 1, 0)
        self._write(trainer)

    def _is_due(self) -> bool:
        return time.monotonic() - self._written >= self._seconds

    def _write(self, trainer: Any) -> None:
        with atomic_path(self._path) as temporary:
            trainer.save_checkpoint(temporary)
        self._log.weights.forget_others()
        self._written = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the epoch and the random state."""
        epoch, batch = self._place
        return {"epoch": epoch, "batch": batch, "random": random_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self._place = state["epoch"], state["batch"]
        self._batches.resume(*self._place)
        self._random = state["random"]


class StepProgress(lightning.Callback):  # type: ignore[misc,name-defined]
    """Progress bar of training steps.

    Args:
        advance: Called with the number of steps done.
        total: Steps of the whole training.
    """

    def __init__(self, advance: Advance, total: int) -> None:
        self._advance = advance
        self._total = total

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Count one step."""
        self._advance(trainer.global_step, self._total)


class PreciseBatchNorm(lightning.Callback):  # type: ignore[misc,name-defined]
    """Precise batch-norm statistics: mean and variance over training images in evaluation mode.

    Estimated before each evaluation, without dropout and augmentation. The images are the same each
    time, a pure function of the seed, so that a resumed run estimates the same.

    Source: X. Li et al., "Understanding the Disharmony between Dropout and Batch Normalization by
    Variance Shift", CVPR 2019, section 5. If dropout precedes batch-norm (P1's CancerVisionNet),
    running statistics are those of noisy inputs; without the noise mean and variance differ, and a
    network that trains well predicts badly. Augmentation shifts them: an interpolated image is
    smoother.

    Args:
        part: The training part, each image once: augmented copies and repetitions would bias the
            estimate.
        batch_size: Images per batch.
        seed: The run's seed.
    """

    def __init__(self, part: ImagePart, batch_size: int, seed: int) -> None:
        rows = generator(seed, "batch-norm").permutation(len(part))[:RECALIBRATED]
        self._loader: DataLoader[Batch] = make_loader(part.at(rows), batch_size, None)

    def on_validation_start(self, trainer: Any, module: ClassifierModule) -> None:
        """Estimate the statistics anew; the network is already in evaluation mode."""
        n_seen = 0
        with (
            estimating(module.network) as layers,
            trainer.precision_plugin.val_step_context(),
        ):
            for images, _, _ in self._loader:
                n_seen += len(images)
                for layer in layers:
                    # An average over images: a last batch of two must not count as a full one.
                    layer.momentum = len(images) / n_seen
                module.network(module.prepare(images.to(module.device)))


@contextmanager
def estimating(network: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Reset batch-norm layers and let them estimate their statistics from what passes.

    Everything else keeps its mode; frozen batch-norm keeps its statistics.

    Yields:
        These layers; each batch is weighted by their ``momentum``.
    """
    layers = [
        layer
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.weight.requires_grad
    ]
    before = [(layer.momentum, layer.training) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    try:
        yield layers
    finally:
        for layer, (momentum, training) in zip(layers, before, strict=True):
            layer.momentum = momentum
            layer.train(training)
