"""Batches as tensors, gathered a whole batch at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from eosin.training.order import BalancedBatches, EpochBatches
from eosin.training.parts import ImagePart

#: images uint8 (B, H, W, C), or features float32 (B, D); targets (B,); index of each image in its
#: part (B,).
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


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
