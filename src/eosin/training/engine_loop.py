"""Training loop of the NumPy engine: the same data, order, history and best state as in PyTorch.

Needs no PyTorch. An interrupted training starts anew and gives the same result, in seconds to
minutes. Finished folds are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.model import Preprocessing
from eosin.artifacts.predictions import HISTORY_COLUMNS, write_history
from eosin.augment import augment_bytes
from eosin.core.progress import progress_bar
from eosin.core.types import FloatArray, Image, IntArray
from eosin.engine import SGD, Adam, Network, Optimiser, Plan, Schedule, cross_entropy
from eosin.images.preprocess import channel_affine
from eosin.metrics.catalogue import HISTORY_TRAIN
from eosin.recipe.schema import ScheduleSection, TrainSection
from eosin.training.data import FitInputs
from eosin.training.history import Tally
from eosin.training.loggers import RowLogs
from eosin.training.sampler import BalancedBatches, EpochBatches


@dataclass(frozen=True)
class Cosine(Schedule):
    """Cosine schedule from the initial to the least learning rate, over all evaluations.

    Attributes:
        total: Evaluations of the whole training.
        min_lr: The least rate.
    """

    total: int = 1
    min_lr: float = 0.0

    def rate(self, initial: float, evaluations: int) -> float:
        """Return the learning rate after a number of evaluations."""
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
    """Train a network of the NumPy engine.

    Args:
        network: Fresh, seeded.
        section: The recipe's training section.
        inputs: Training inputs.
        run: Destination of the history.
        on_row: Called with every history row.

    Returns:
        The same network in the state of its best evaluation.

    Raises:
        TrainingError: The loss is not finite.
        KeyboardInterrupt: Ctrl-C.
    """
    batches = _order(inputs, section)
    per_epoch = min(section.evaluations_per_epoch, len(batches))
    weights = inputs.class_weights(section)
    plan = Plan(
        epochs=section.epochs,
        steps=len(batches),
        evaluations=per_epoch,
        schedule=make_schedule(section.schedule, section.epochs * per_epoch),
        patience=section.patience,
        monitor=None if section.monitor == "none" else section.monitor,
        class_weights=weights.astype(np.float32),
        l2=section.l2,
    )
    history: list[dict[str, Any]] = []
    with progress_bar("Training") as advance, RowLogs(section.loggers, run) as logs:
        logs.open([])

        def note(row: Mapping[str, float]) -> None:
            history.append({name: _shown(row.get(name)) for name in HISTORY_COLUMNS})
            write_history(run.history, history)
            logs.add(history[-1])
            if on_row is not None:
                on_row(history[-1])

        tally, total = Tally(), section.epochs * -(-len(inputs.train) // section.batch_size)
        done = count(1)

        def loss(logits: FloatArray, targets: IntArray) -> float:
            return cross_entropy(logits, targets, weights.astype(logits.dtype))[0]

        def add(logits: FloatArray, targets: IntArray) -> None:
            tally.add(logits, targets)
            advance(next(done), total)

        def evaluate(network: Network) -> dict[str, float]:
            nonlocal tally
            trained, tally = tally.scores(inputs.positive, loss), Tally()
            evaluated = _validate(network, inputs, section.batch_size).scores(inputs.positive, loss)
            row = {name: trained[name] for name in ("loss", *HISTORY_TRAIN)}
            row |= {f"val_{name}": value for name, value in evaluated.items()}
            return {name: math.nan if value is None else value for name, value in row.items()}

        network.fit(
            lambda epoch: _epoch(inputs, batches, epoch),
            make_optimiser(section),
            plan,
            evaluate=evaluate,
            on_row=note,
            on_step=add,
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
    """Yield the batches of an epoch, augmented as in PyTorch."""
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
    """Do :func:`~eosin.images.preprocess.to_input` with channels last, the engine's layout.

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
    """Build the recipe's schedule for a number of evaluations."""
    if section.name == "step":
        return Schedule(section.factor, section.every)
    if section.name == "cosine":
        return Cosine(total=evaluations, min_lr=section.min_lr)
    return Schedule()


def _validate(network: Network, inputs: FitInputs, batch_size: int) -> Tally:
    """Return the network's logits of the validation part."""
    part, tally = inputs.val, Tally()
    for start in range(0, len(part), batch_size):
        some = slice(start, start + batch_size)
        images = to_channels_last(part.images[some], inputs.preprocessing)
        tally.add(network.forward(images), part.targets[some])
    return tally


def _shown(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
