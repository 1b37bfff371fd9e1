"""Batch samplers, whose order is a pure function of (seed, epoch)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from eosin.core.seeding import generator
from eosin.core.types import IntArray
from eosin.recipe.schema import TrainSection


class EpochBatches:
    """Batch sampler that shuffles the rows anew each epoch.

    Args:
        n_rows: Images in the part.
        batch_size: Images per batch; the last one may be smaller.
        seed: The run's seed; ``None`` keeps the table's order.
    """

    def __init__(self, n_rows: int, batch_size: int, seed: int | None) -> None:
        self._n_rows = n_rows
        self._batch_size = batch_size
        self._seed = seed

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def of(self, epoch: int) -> list[list[int]]:
        """Return the rows of each batch of an epoch."""
        order = self._order(epoch).tolist()
        return [order[start:stop] for start, stop in pairwise(self._bounds())]

    def _order(self, epoch: int) -> IntArray:
        if self._seed is None:
            return np.arange(self._n_rows)
        order: IntArray = generator(self._seed, "order", epoch).permutation(self._n_rows)
        return order

    def _bounds(self) -> list[int]:
        bounds = [*range(0, self._n_rows, self._batch_size), self._n_rows]
        # Batch-norm has no variance over a single image: a last batch of one joins its neighbour.
        if len(bounds) > 2 and bounds[-1] - bounds[-2] == 1:
            del bounds[-2]
        return bounds


class BalancedBatches(EpochBatches):
    """Class-balanced sampler: draws N rows with replacement, each class with equal probability.

    Args:
        targets: Class index of each row, shape (N,).
        batch_size: Images per batch.
        seed: The run's seed.
    """

    def __init__(self, targets: IntArray, batch_size: int, seed: int) -> None:
        super().__init__(len(targets), batch_size, seed)
        self._sorted = np.argsort(targets, kind="stable")
        counts = np.bincount(targets)
        self._sizes = counts[counts > 0]
        self._starts = np.cumsum(self._sizes) - self._sizes

    def _order(self, epoch: int) -> IntArray:
        random = generator(self._seed or 0, "balance", epoch)
        classes = random.integers(len(self._sizes), size=self._n_rows)
        rows: IntArray = self._sorted[self._starts[classes] + random.integers(self._sizes[classes])]
        # A repetition within an epoch gets another index, so that its augmentation differs.
        return rows + self._n_rows * _count_before(rows)


def _count_before(values: IntArray) -> IntArray:
    """Return how often each value occurred before its position, shape (N,)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.searchsorted(ordered, ordered)
    before = np.empty_like(values)
    before[order] = np.arange(len(values)) - starts
    return before


def make_batches(targets: IntArray, section: TrainSection, seed: int) -> EpochBatches:
    """Return the recipe's batch sampler over the training subset, given each row's class (N,)."""
    if section.balance == "sampler":
        return BalancedBatches(targets, section.batch_size, seed)
    return EpochBatches(len(targets), section.batch_size, seed)


def evaluation_steps(n_batches: int, per_epoch: int) -> frozenset[int]:
    """Return after which batches of an epoch, counted from 1, an evaluation follows.

    Evenly spread, the last after the last batch; one a batch if there are fewer batches.
    """
    n_evaluations = min(n_batches, per_epoch)
    return frozenset(
        -(-number * n_batches // n_evaluations) for number in range(1, n_evaluations + 1)
    )
