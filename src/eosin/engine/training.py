"""Training plan: batches, evaluations inside an epoch, step schedule, early stopping.

As in P3, all is counted in evaluations, of which it makes twenty an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from eosin.core.seeding import generator
from eosin.core.types import FloatArray, IntArray

#: The batches of an epoch: examples (B, *shape) and class indices (B,).
Batches = Callable[[int], Iterable[tuple[FloatArray, IntArray]]]
#: One evaluation: ``step``, ``epoch``, ``lr``, and scores by name.
Row = dict[str, float]
#: Scores of which less is better.
_LOWER_IS_BETTER = ("loss", "val_loss")


@dataclass(frozen=True)
class Schedule:
    """Step schedule: multiply the learning rate by a factor every so many evaluations.

    Attributes:
        factor: At most 1; 1 keeps the rate.
        every: Evaluations between two drops.
    """

    factor: float = 1.0
    every: int = 5

    def rate(self, initial: float, evaluations: int) -> float:
        """Return the learning rate after so many evaluations."""
        return initial * self.factor ** (evaluations // self.every)


@dataclass(frozen=True)
class Plan:
    """Settings of a training.

    Attributes:
        epochs: Most passes over the data.
        steps: Batches in an epoch.
        evaluations: Evaluations in an epoch, evenly spread, at most one a step.
        schedule: Of the learning rate.
        patience: Evaluations without improvement before training stops; ``None`` never stops early.
        monitor: The score that chooses the best state and stops early; with ``None`` the latest
            state is the best.
        class_weights: Weight of each class in the loss, (K,).
        l2: λ of the penalty; see :meth:`Network.step`.
    """

    epochs: int
    steps: int
    evaluations: int = 1
    schedule: Schedule = field(default_factory=Schedule)
    patience: int | None = None
    monitor: str | None = "val_loss"
    class_weights: FloatArray | None = None
    l2: float = 0.0

    def walk(self, batches: Batches) -> Iterator[tuple[int, bool, FloatArray, IntArray]]:
        """Yield epoch, True if an evaluation is due, inputs and targets of every step."""
        for epoch in range(self.epochs):
            done = 0
            for number, (inputs, targets) in enumerate(batches(epoch), start=1):
                before, done = done, number * self.evaluations // self.steps
                yield epoch, done > before, inputs, targets


class EarlyStopping:
    """Early stopping on a score: the best so far, and how many evaluations ago it was.

    Args:
        monitor: Name of the score.
        patience: Evaluations without improvement before training stops; ``None`` for any number.
    """

    def __init__(self, monitor: str | None, patience: int | None) -> None:
        self._sign = -1.0 if monitor in _LOWER_IS_BETTER else 1.0
        self._patience = patience
        self.best: float | None = None
        self.waited = 0

    @property
    def is_over(self) -> bool:
        """True if patience has run out."""
        return self._patience is not None and self.waited >= self._patience

    @property
    def worst(self) -> float:
        """Score that stands for an undefined one."""
        return -self._sign * float("inf")

    def update(self, value: float | None) -> bool:
        """Take the score of one evaluation; return whether its state is the best there is.

        An undefined score is no gain. Until one is defined, the latest state is the best.
        """
        if value is None or np.isnan(value):
            gains = False
        else:
            gains = self.best is None or self._sign * value > self._sign * self.best
        if gains:
            self.best, self.waited = value, 0
            return True
        self.waited += 1
        return self.best is None


def score(seen: Sequence[tuple[float, int, int]]) -> Row:
    """Return loss and accuracy of batches, given each one's mean loss, hits and examples."""
    losses, hits, counts = np.array(seen).T
    n = counts.sum()
    return {"loss": float(losses @ counts / n), "accuracy": float(hits.sum() / n)}


def shuffled(inputs: FloatArray, targets: IntArray, batch_size: int, seed: int) -> Batches:
    """Return shuffled batches of inputs (N, *shape) and targets (N,), the last one maybe smaller.

    The order is a function of (seed, epoch).
    """

    def epoch_batches(epoch: int) -> Iterable[tuple[FloatArray, IntArray]]:
        order = generator(seed, "order", epoch).permutation(len(targets))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield inputs[rows], targets[rows]

    return epoch_batches
