"""Batches in an order that is a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

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


class BatchDataset(Dataset[Batch]):
    """Indexed by a list of rows: one call gathers a whole batch.

    Args:
        part: The images.
    """

    def __init__(self, part: ImagePart) -> None:
        self._images = part.images
        self._targets = torch.from_numpy(part.targets)

    def __getitem__(self, rows: list[int]) -> Batch:
        chosen = np.asarray(rows)
        index = torch.from_numpy(chosen)
        return torch.from_numpy(self._images[chosen]), self._targets[index], index

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
        order = list(range(self._n_rows))
        if self._seed is not None:
            order = generator(self._seed, "order", self.epoch).permutation(self._n_rows).tolist()
        epoch, done = self._resumed
        for start, stop in pairwise(self._bounds()[done if epoch == self.epoch else 0 :]):
            yield order[start:stop]

    def _bounds(self) -> list[int]:
        bounds = [*range(0, self._n_rows, self._batch_size), self._n_rows]
        # Batch-norm has no variance over a single image: a last batch of one joins its neighbour.
        if len(bounds) > 2 and bounds[-1] - bounds[-2] == 1:
            del bounds[-2]
        return bounds


def make_loader(part: ImagePart, batch_size: int, seed: int | None) -> DataLoader[Batch]:
    """Return a loader over a part held in memory; ``seed`` as in :class:`EpochBatches`."""
    return DataLoader(
        BatchDataset(part),
        sampler=EpochBatches(len(part), batch_size, seed),
        batch_size=None,
        # Every iterator draws a seed for workers: from torch's global generator it would shift
        # dropout, and a resumed run makes its iterators at another moment.
        generator=torch.Generator(),
    )
