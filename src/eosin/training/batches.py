"""Batches in an order that is a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from eosin.core.seeding import generator
from eosin.core.types import FloatArray, ImageSource, IntArray

#: images uint8 (B, H, W, C), or features float32 (B, D); targets (B,); index of each image in its
#: part (B,).
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class ImagePart:
    """The decoded images of one split, or their features.

    Attributes:
        images: uint8, shape (N, H, W, C); features float32, shape (N, D).
        targets: Class index of each, shape (N,).
    """

    images: ImageSource | FloatArray
    targets: IntArray

    def __len__(self) -> int:
        return len(self.targets)

    def at(self, rows: IntArray) -> ImagePart:
        """Return a part of some of the rows, which may repeat; no image is read or copied."""
        return ImagePart(ChosenRows(self.images, rows), self.targets[rows])


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Some rows of an image source, gathered when they are asked for.

    Attributes:
        images: N images, or their features.
        rows: Which of them, in which order, shape (M,); a row may stand there more than once.
    """

    images: Any
    rows: IntArray

    @property
    def shape(self) -> tuple[int, ...]:
        """M, and an image's own shape."""
        return (len(self.rows), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | IntArray) -> Any:
        """Return the images of some rows."""
        return self.images[self.rows[chosen]]


class BatchDataset(Dataset[Batch]):
    """Indexed by a list of rows: one call gathers a whole batch.

    A row beyond the last is one that comes again, under an index of its own: see
    :class:`BalancedBatches`.

    Args:
        part: The images.
    """

    def __init__(self, part: ImagePart) -> None:
        self._images = part.images
        self._targets = torch.from_numpy(part.targets)

    def __getitem__(self, rows: list[int]) -> Batch:
        index = np.asarray(rows)
        chosen = index % len(self)
        images = torch.from_numpy(self._images[chosen])
        return images, self._targets[chosen], torch.from_numpy(index)

    def __len__(self) -> int:
        return len(self._targets)


class EpochBatches(Sampler[list[int]]):
    """Yields the rows of each batch, shuffled anew each epoch.

    Args:
        n_rows: Images in the part.
        batch_size: Images a batch; the last one may be smaller.
        seed: The run's seed; ``None`` keeps the table's order.
    """

    def __init__(self, n_rows: int, batch_size: int, seed: int | None) -> None:
        self._n_rows = n_rows
        self._batch_size = batch_size
        self._seed = seed
        self._resumed = (0, 0)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each."""
        self.epoch = epoch

    def resume(self, epoch: int, batch: int) -> None:
        """Begin one epoch at its ``batch``-th batch; every other epoch is whole."""
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
    """Draws as many rows as there are, with replacement, each class with equal probability.

    Args:
        targets: Class index of each row, shape (N,).
        batch_size: Images a batch.
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
        # An image that comes again in one epoch is augmented otherwise: it gets another index.
        return rows + self._n_rows * _count_before(rows)


def _count_before(values: IntArray) -> IntArray:
    """Count for each value how often it stood before it, shape (N,)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.searchsorted(ordered, ordered)
    before = np.empty_like(values)
    before[order] = np.arange(len(values)) - starts
    return before


def make_loader(
    part: ImagePart, batch_size: int, seed: int | None, *, balanced: bool = False
) -> DataLoader[Batch]:
    """Return a loader over a part held in memory.

    Args:
        part: The images.
        batch_size: Images a batch.
        seed: As in :class:`EpochBatches`.
        balanced: Whether classes are drawn as :class:`BalancedBatches` does; needs a seed.
    """
    batches = EpochBatches(len(part), batch_size, seed)
    if balanced and seed is not None:
        batches = BalancedBatches(part.targets, batch_size, seed)
    return DataLoader(
        BatchDataset(part),
        sampler=batches,
        batch_size=None,
        # Every iterator draws a seed for workers: from torch's global generator it would shift
        # dropout, and a resumed run makes its iterators at another moment.
        generator=torch.Generator(),
    )
