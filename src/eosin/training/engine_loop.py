"""One training in the NumPy engine: the same parts, order, history and best state as in PyTorch.

Nothing of it needs PyTorch. A training that is interrupted begins anew, and comes to the same: it
is a matter of seconds to minutes. Folds that are done stay done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.model import Preprocessing
from eosin.artifacts.predictions import HISTORY_COLUMNS, write_history
from eosin.augment import augment_bytes
from eosin.core.progress import Advance, progress_bar
from eosin.core.types import FloatArray, Image, IntArray
from eosin.engine import SGD, Adam, Network, Optimiser, Plan, Schedule, cross_entropy
from eosin.images.preprocess import channel_affine
from eosin.metrics.catalogue import HISTORY_TRAIN
from eosin.recipe.schema import ScheduleSection, TrainSection
from eosin.training.loggers import RowLogs
from eosin.training.material import FitInputs, class_weights, shown_counts
from eosin.training.order import BalancedBatches, EpochBatches
from eosin.training.parts import ImagePart
from eosin.training.scores import score

_NO_MONITOR = "none"


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from the initial rate to the least, over all evaluations.

    Attributes:
        total: Evaluations of the whole training.
        min_lr: The least rate.
    """

    total: int = 1
    min_lr: float = 0.0

    def rate(self, initial: float, evaluations: int) -> float:
        """Return the learning rate after so many evaluations."""
        share = (1 + math.cos(math.pi * evaluations / self.total)) / 2
        return self.min_lr + (initial - self.min_lr) * share


def fit_engine(
    network: Network,
    section: TrainSection,
    inputs: FitInputs,
    run: RunFolder,
    *,
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> Network:
    """Train a network of the engine.

    Args:
        network: Fresh, seeded.
        section: The recipe's training section.
        inputs: Images and everything else.
        run: Where the history goes.
        on_row: Told of every evaluation.

    Returns:
        The same network in the state of its best evaluation.

    Raises:
        TrainingError: The loss is not finite.
        KeyboardInterrupt: Ctrl-C.
    """
    batches = _order(inputs, section)
    per_epoch = min(section.evaluations_per_epoch, len(batches))
    counts = np.bincount(inputs.train.targets, minlength=inputs.n_classes)
    weights = class_weights(shown_counts(counts, section.balance), section.class_weights)
    plan = Plan(
        epochs=section.epochs,
        steps=len(batches),
        evaluations=per_epoch,
        schedule=make_schedule(section.schedule, section.epochs * per_epoch),
        patience=section.patience,
        monitor=section.monitor,
        class_weights=weights.astype(np.float32),
        l2=section.l2,
    )
    history: list[dict[str, Any]] = []
    with progress_bar("Training") as advance, RowLogs(section.loggers, run) as logs:
        logs.open([])

        def note(row: Mapping[str, float]) -> None:
            history.append({name: _told(row.get(name)) for name in HISTORY_COLUMNS})
            write_history(run.history, history)
            logs.add(history[-1])
            if on_row is not None:
                on_row(history[-1])

        tally = _Tally(inputs, section, weights, advance)
        network.fit(
            lambda epoch: _epoch(inputs, batches, epoch),
            make_optimiser(section),
            plan,
            evaluate=tally.evaluate,
            on_row=note,
            on_step=tally.add,
        )
        logs.finish(history)
    return network


def _order(inputs: FitInputs, section: TrainSection) -> EpochBatches:
    if section.balance == "sampler":
        return BalancedBatches(inputs.train.targets, section.batch_size, inputs.seed)
    return EpochBatches(len(inputs.train), section.batch_size, inputs.seed)


def _epoch(
    inputs: FitInputs, batches: EpochBatches, epoch: int
) -> Iterator[tuple[FloatArray, IntArray]]:
    """Yield the batches of an epoch, augmented as PyTorch would see them."""
    batches.set_epoch(epoch)
    for rows in batches:
        index = np.asarray(rows)
        chosen = index % len(inputs.train)
        images = inputs.train.images[chosen]
        if not inputs.policy.changes_nothing:
            place = (inputs.seed, epoch)
            drawn = inputs.policy.draw(*place, index.tolist(), channels=images.shape[-1])
            images = augment_bytes(images, drawn)
        yield to_channels_last(images, inputs.preprocessing), inputs.train.targets[chosen]


def to_channels_last(images: Image | FloatArray, preprocessing: Preprocessing) -> FloatArray:
    """Do :func:`~eosin.images.preprocess.to_input`, the channels last as the engine has them.

    Args:
        images: uint8, shape (B, H, W, C).
        preprocessing: Channels, scale, mean, deviation.

    Returns:
        float32, shape (B, H, W, C).
    """
    order, factor, offset = channel_affine(preprocessing)
    values = images[..., order].astype(np.float32)
    values *= factor
    values += offset
    return values


def make_optimiser(section: TrainSection) -> Optimiser:
    """Build the recipe's optimiser."""
    if section.optimizer == "sgd":
        return SGD(section.lr, momentum=section.momentum)
    return Adam(section.lr, betas=section.betas)


def make_schedule(section: ScheduleSection, evaluations: int) -> Schedule:
    """Build the recipe's schedule.

    Args:
        section: Name and numbers.
        evaluations: How many the whole training has.
    """
    if section.name == "step":
        return Schedule(section.factor, section.every)
    if section.name == "cosine":
        return Cosine(total=evaluations, min_lr=section.min_lr)
    return Schedule()


class _Tally:
    """What the network said of the training batches since the last evaluation.

    Args:
        inputs: Images and everything else.
        section: The recipe's training section.
        weights: Of each class in the loss, shape (K,).
        advance: Told how many steps are done.
    """

    def __init__(
        self, inputs: FitInputs, section: TrainSection, weights: FloatArray, advance: Advance
    ) -> None:
        self._inputs, self._section, self._weights = inputs, section, weights
        self._advance = advance
        self._logits: list[FloatArray] = []
        self._targets: list[IntArray] = []
        self._steps = self._evaluations = 0

    def add(self, logits: FloatArray, targets: IntArray) -> None:
        """Count one batch."""
        self._logits.append(logits)
        self._targets.append(targets)
        self._steps += 1
        per_epoch = -(-len(self._inputs.train) // self._section.batch_size)
        self._advance(self._steps, self._section.epochs * per_epoch)

    def evaluate(self, network: Network) -> dict[str, float]:
        """Score the training batches and the validation part, and start anew."""
        trained = self._score(np.concatenate(self._logits), np.concatenate(self._targets))
        self._logits, self._targets = [], []
        val = self._inputs.val
        judged = self._score(_judge(network, val, self._inputs, self._section), val.targets)
        row = {name: trained[name] for name in ("loss", *HISTORY_TRAIN)}
        row |= {f"val_{name}": value for name, value in judged.items()}
        self._evaluations += 1
        # Where nothing is monitored, the latest state is the best.
        return row | {_NO_MONITOR: float(self._evaluations)}

    def _score(self, logits: FloatArray, targets: IntArray) -> dict[str, float]:
        loss, _ = cross_entropy(logits, targets, self._weights.astype(logits.dtype))
        found = score(logits, targets, loss, self._inputs.positive)
        return {name: math.nan if value is None else value for name, value in found.items()}


def _judge(
    network: Network, part: ImagePart, inputs: FitInputs, section: TrainSection
) -> FloatArray:
    """Return the logits of a part, (N, K)."""
    logits = []
    for start in range(0, len(part), section.batch_size):
        images = part.images[start : start + section.batch_size]
        logits.append(network.forward(to_channels_last(images, inputs.preprocessing)))
    return np.concatenate(logits)


def _told(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
