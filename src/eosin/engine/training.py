"""The training loop: evaluations inside an epoch, the step schedule, early stopping, history.

As in P3, everything is counted in evaluations, of which it makes twenty an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from eosin.core.errors import RecipeError
from eosin.core.seeding import generator
from eosin.core.types import FloatArray, IntArray
from eosin.engine.losses import cross_entropy
from eosin.engine.network import Network, check_examples
from eosin.engine.optimisers import Optimiser

#: The batches of an epoch: examples (B, *shape) and class indices (B,).
Batches = Callable[[int], Iterable[tuple[FloatArray, IntArray]]]
#: One evaluation: ``step``, ``epoch``, ``lr``, and scores by name.
Row = dict[str, float]
#: Which way is up: of these scores, less is better.
_LOWER_IS_BETTER = ("loss", "val_loss")


@dataclass(frozen=True)
class Schedule:
    """Multiply the learning rate by a factor every so many evaluations.

    Attributes:
        factor: At most 1; 1 leaves it as it is.
        every: Evaluations between two drops.
    """

    factor: float = 1.0
    every: int = 5

    def rate(self, initial: float, evaluations: int) -> float:
        """Return the learning rate after so many evaluations."""
        return initial * self.factor ** (evaluations // self.every)


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    Attributes:
        epochs: At most so many passes.
        steps: Batches in an epoch.
        evaluations: Evaluations in an epoch, evenly spread.
        schedule: Of the learning rate.
        patience: Evaluations without gain before training stops; ``None`` never stops early.
        monitor: The score that chooses the best state and stops early.
        class_weights: Weight of each class in the loss, (K,).
        l2: λ of the penalty; see :meth:`Network.step`.
    """

    epochs: int
    steps: int
    evaluations: int = 1
    schedule: Schedule = field(default_factory=Schedule)
    patience: int | None = None
    monitor: str = "val_loss"
    class_weights: FloatArray | None = None
    l2: float = 0.0

    @property
    def every(self) -> int:
        """Steps between two evaluations."""
        return max(1, self.steps // self.evaluations)


class Watch:
    """The best state so far, and how long ago it was.

    Args:
        monitor: Name of the score.
        patience: Evaluations without gain that are borne; ``None`` for any number.
    """

    def __init__(self, monitor: str, patience: int | None) -> None:
        self._sign = -1.0 if monitor in _LOWER_IS_BETTER else 1.0
        self._monitor, self._patience = monitor, patience
        self.best: float | None = None
        self.waited = 0
        self.state: dict[str, FloatArray] = {}

    def look(self, row: Row, network: Network) -> None:
        """Keep the network's state if its score is the best yet."""
        if self._monitor not in row:
            raise RecipeError(f"no evaluation tells {self._monitor!r}, only {', '.join(row)}")
        value = self._sign * row[self._monitor]
        if self.best is None or value > self.best:
            self.best, self.waited = value, 0
            self.state = {name: array.copy() for name, array in network.state.items()}
        else:
            self.waited += 1

    @property
    def is_over(self) -> bool:
        """Whether training should stop."""
        return self._patience is not None and self.waited >= self._patience


def fit(
    network: Network,
    batches: Batches,
    optimiser: Optimiser,
    plan: Plan,
    *,
    evaluate: Callable[[Network], Row],
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Train a network and leave it in the state of its best evaluation.

    Args:
        network: Fresh, or trained before.
        batches: The batches of an epoch, counted from 0.
        optimiser: Its learning rate is the initial one.
        plan: Epochs, evaluations, schedule, stopping.
        evaluate: Scores on images that are not trained on, ``val_…`` each.
        on_row: Told of every evaluation.

    Returns:
        One row an evaluation: ``step``, ``epoch``, ``lr``, ``loss`` and ``accuracy`` of the
        training batches since the last one, and what ``evaluate`` returned.

    Raises:
        TrainingError: The loss is no number.
    """
    initial, rows, watch = optimiser.lr, list[Row](), Watch(plan.monitor, plan.patience)
    for epoch in range(plan.epochs):
        tally = _Tally()
        for number, (inputs, targets) in enumerate(batches(epoch), start=1):
            loss, logits = network.step(
                inputs, targets, optimiser, class_weights=plan.class_weights, l2=plan.l2
            )
            tally.add(loss, logits, targets)
            if number % plan.every:
                continue
            row = {"step": optimiser.steps, "epoch": epoch, "lr": optimiser.lr, **tally.scores()}
            rows.append(row | evaluate(network))
            tally = _Tally()
            if on_row is not None:
                on_row(rows[-1])
            watch.look(rows[-1], network)
            optimiser.lr = plan.schedule.rate(initial, len(rows))
            if watch.is_over:
                break
        if watch.is_over:
            break
    if watch.state:
        network.load_state(watch.state)
    return rows


class _Tally:
    """Loss and hits of the training batches since the last evaluation."""

    def __init__(self) -> None:
        self._loss, self._hits, self._seen = 0.0, 0, 0

    def add(self, loss: float, logits: FloatArray, targets: IntArray) -> None:
        self._loss += loss * len(targets)
        self._hits += int((logits.argmax(axis=1) == targets).sum())
        self._seen += len(targets)

    def scores(self) -> Row:
        return {"loss": self._loss / self._seen, "accuracy": self._hits / self._seen}


def shuffled(inputs: FloatArray, targets: IntArray, batch_size: int, seed: int) -> Batches:
    """Return batches of arrays in memory, in an order that is a function of (seed, epoch).

    Args:
        inputs: Shape (N, *shape).
        targets: Class index of each, (N,).
        batch_size: Examples a batch; the last one may be smaller.
        seed: Of the order.
    """

    def epoch_batches(epoch: int) -> Iterable[tuple[FloatArray, IntArray]]:
        order = generator(seed, "order", epoch).permutation(len(targets))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield inputs[rows], targets[rows]

    return epoch_batches


def judge(network: Network, inputs: FloatArray, targets: IntArray, *, batch_size: int = 256) -> Row:
    """Return ``val_loss`` and ``val_accuracy`` on examples that are not trained on."""
    check_examples(inputs, targets, network.shape)
    loss, hits = 0.0, 0
    for start in range(0, len(targets), batch_size):
        wanted = targets[start : start + batch_size]
        logits = network.forward(inputs[start : start + batch_size])
        loss += cross_entropy(logits, wanted)[0] * len(wanted)
        hits += int((np.argmax(logits, axis=1) == wanted).sum())
    return {"val_loss": loss / len(targets), "val_accuracy": hits / len(targets)}
