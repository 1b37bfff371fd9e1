"""Training with the NumPy engine: steps, evaluations and checkpoints, without PyTorch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.model import Preprocessing
from eosin.artifacts.weights import read_arrays, write_arrays
from eosin.augment import augment_bytes
from eosin.core.errors import ArtifactError, TrainingError
from eosin.core.npz import read_npz
from eosin.core.seeding import generator
from eosin.core.types import FloatArray, Image, IntArray
from eosin.engine import SGD, Adam, Dropout, Network, Optimiser, Schedule, cross_entropy
from eosin.images.preprocess import channel_affine
from eosin.recipe.schema import ScheduleSection, TrainSection
from eosin.training import loop
from eosin.training.data import FitInputs, Probe, read_peak_bytes
from eosin.training.history import Row, Tally, foreign_checkpoint
from eosin.training.sampler import EpochBatches, evaluation_steps, make_batches

#: Format of ``last.ckpt``.
_FORMAT = 1


def fit(
    network: Network,
    section: TrainSection,
    inputs: FitInputs,
    run: RunFolder,
    *,
    on_row: Callable[[Row], None] | None = None,
) -> Network:
    """Train a network of the NumPy engine, resuming from ``checkpoints/last.ckpt`` if it exists.

    Args:
        network: Fresh, seeded.
        section: The recipe's training section.
        inputs: Training inputs.
        run: Destination of history and checkpoints.
        on_row: Called with every history row.

    Returns:
        The same network in the state of its best evaluation.

    Raises:
        TrainingError: The loss is not finite, or memory ran out.
        ArtifactError: The checkpoint is damaged.
        KeyboardInterrupt: Ctrl-C; the last checkpoint can be resumed.
    """
    try:
        loop.train(EngineLearner(network, section, inputs), section, inputs, run, on_row=on_row)
    except MemoryError as error:
        raise TrainingError("memory ran out", hint="Lower train.batch_size") from error
    return network


def probe(network: Network, section: TrainSection, inputs: FitInputs) -> Probe:
    """Time a few training steps and evaluated images; the network's weights are changed."""
    section, some = loop.probe_inputs(section, inputs)
    return loop.probe(EngineLearner(network, section, some), section, some, read_peak_bytes)


class EngineLearner:
    """A network of the NumPy engine in training; a :class:`~eosin.training.loop.Learner`.

    Args:
        network: Fresh, seeded.
        section: The recipe's training section.
        inputs: Training inputs.
    """

    def __init__(self, network: Network, section: TrainSection, inputs: FitInputs) -> None:
        self.reads_ahead = False
        self._network, self._section, self._inputs = network, section, inputs
        self._optimiser = make_optimiser(section)
        self._class_weights = inputs.class_weights(section).astype(np.float32)
        n_batches = len(make_batches(inputs.train.targets, section, inputs.seed))
        n_evaluations = len(evaluation_steps(n_batches, section.evaluations_per_epoch))
        self._schedule = make_schedule(section.schedule, section.epochs * n_evaluations)
        self._evaluations = 0

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._optimiser.lr

    def begin_epoch(self, epoch: int) -> None:
        """Do nothing: all weights are trained in every epoch."""

    def read(self, rows: list[int], epoch: int) -> tuple[FloatArray, IntArray]:
        """Read and augment a batch; a row beyond the last is a repetition."""
        index, train, policy = np.asarray(rows), self._inputs.train, self._inputs.policy
        chosen = index % len(train)
        images = train.images[chosen]
        if not policy.changes_nothing:
            drawn = policy.draw(self._inputs.seed, epoch, index.tolist(), channels=images.shape[-1])
            images = augment_bytes(images, drawn)
        return to_channels_last(images, self._inputs.preprocessing), train.targets[chosen]

    def step(
        self, batch: tuple[FloatArray, IntArray], number: int
    ) -> tuple[FloatArray, IntArray, float]:
        """Train on a batch; dropout is a pure function of (seed, number)."""
        images, targets = batch
        random = generator(self._inputs.seed, "dropout", number)
        for layer in self._network.layers.values():
            if isinstance(layer, Dropout):
                layer.random = random
        loss, logits = self._network.step(
            images,
            targets,
            self._optimiser,
            class_weights=self._class_weights,
            l2=self._section.l2,
        )
        return logits, targets, loss

    def evaluate(self) -> Tally:
        """Compute losses and logits of the validation subset, never augmented."""
        part, tally = self._inputs.val, Tally()
        for rows in EpochBatches(len(part), self._section.batch_size, None).of(0):
            images = to_channels_last(part.images[np.asarray(rows)], self._inputs.preprocessing)
            logits, targets = self._network.forward(images), part.targets[rows]
            tally.add(logits, targets, cross_entropy(logits, targets, self._class_weights)[0])
        return tally

    def step_schedule(self, monitored: float) -> None:
        """Advance the learning-rate schedule by one evaluation."""
        del monitored  # the engine has no schedule that follows a score
        self._evaluations += 1
        self._optimiser.lr = self._schedule.rate(self._section.lr, self._evaluations)

    def save_weights(self, path: Path) -> None:
        """Write weights and buffers as safetensors, in the engine's layout."""
        write_arrays(path, self._network.state)

    def load_weights(self, path: Path) -> None:
        """Read what :meth:`save_weights` wrote."""
        self._network.load_state(cast(dict[str, FloatArray], read_arrays(path)))

    def save(self, path: Path, progress: dict[str, Any]) -> None:
        """Write a checkpoint: arrays, and one text of JSON for all else."""
        tally = {name: v for name, v in progress["tally"].items() if isinstance(v, np.ndarray)}
        plain = {
            "format": _FORMAT,
            "progress": progress | {"tally": {"loss": progress["tally"]["loss"]}},
            "steps": self._optimiser.steps,
            "evaluations": self._evaluations,
        }
        arrays: dict[str, Any] = {
            **{f"network/{name}": array for name, array in self._network.state.items()},
            **{f"optimiser/{name}": array for name, array in self._optimiser.state.items()},
            **{f"tally/{name}": array for name, array in tally.items()},
        }
        with path.open("wb") as file:
            np.savez(file, plain=np.array(json.dumps(plain)), **arrays)

    def load(self, path: Path) -> dict[str, Any]:
        """Restore the state that :meth:`save` wrote; return the loop's."""
        arrays = read_npz(path)
        plain = json.loads(str(arrays.pop("plain")))
        if plain.get("format") != _FORMAT:
            raise foreign_checkpoint(path)
        try:
            self._network.load_state(_under("network/", arrays))
        except ArtifactError as error:
            raise foreign_checkpoint(path) from error
        self._optimiser.load_state(_under("optimiser/", arrays), self._network.parameters)
        self._optimiser.steps, self._evaluations = plain["steps"], plain["evaluations"]
        self._optimiser.lr = self._schedule.rate(self._section.lr, self._evaluations)
        progress: dict[str, Any] = plain["progress"]
        progress["tally"] |= _under("tally/", arrays)
        return progress


def _under(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


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
