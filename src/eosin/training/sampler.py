"""Batch samplers, whose order is a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from eosin.core.seeding import generator
from eosin.core.types import IntArray


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
        self._resumed = (0, 0)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this before each."""
        self.epoch = epoch

    def resume(self, epoch: int, batch: int) -> None:
        """Begin one epoch at its ``batch``-th batch; every other epoch is complete."""
        self.epoch, self._resumed = epoch, (epoch, batch)

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order().tolist()
        epoch, done = self._resumed
        for start, stop in pairwise(self._bounds()[done if epoch == self.epoch else 0 :]):
            yield order[start:stop]

    def _order(self) -> IntArray:
        if self._seed is None:
            return np.arange(self._n_rows)
        order: IntArray = generator(self._seed, "order", self.epoch).permutation(self._n_rows)
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

    def _order(self) -> IntArray:
        random = generator(self._seed or 0, "balance", self.epoch)
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


def evaluation_interval(n_batches: int, per_epoch: int) -> int:
    """Return the number of steps between evaluations; each epoch counts anew.

    Args:
        n_batches: Batches of an epoch.
        per_epoch: Desired evaluations, met as nearly as whole steps allow.
    """
    return max(1, round(n_batches / per_epoch))
