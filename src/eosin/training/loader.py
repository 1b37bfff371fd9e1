"""Data loader, and the conversion of a batch from bytes to the network's input."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from eosin.artifacts.model import Preprocessing
from eosin.augment import Policy, augment_bytes
from eosin.augment.floats import augment_floats
from eosin.images.preprocess import channel_affine
from eosin.training.data import ImagePart
from eosin.training.sampler import BalancedBatches, EpochBatches

#: images uint8 (B, H, W, C), or features float32 (B, D); targets (B,); index of each image in its
#: part (B,).
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class BatchDataset(Dataset[Batch]):
    """Data set indexed by a list of rows: one call gathers a whole batch.

    A row beyond the last is a repetition under an index of its own: see :class:`BalancedBatches`.

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
    """Return a data loader over a part held in memory.

    Args:
        part: The images.
        batch_size: Images per batch.
        seed: As in :class:`EpochBatches`.
        balanced: True to draw classes as :class:`BalancedBatches` does; needs a seed.
    """
    batches = EpochBatches(len(part), batch_size, seed)
    if balanced and seed is not None:
        batches = BalancedBatches(part.targets, batch_size, seed)
    return DataLoader(
        BatchDataset(part),
        sampler=batches,
        batch_size=None,
        # Every iterator draws a seed for workers; from torch's global generator it would shift
        # dropout, as a resumed run makes its iterators at another moment.
        generator=torch.Generator(),
    )


class InputScaling(nn.Module):
    """Order, factor and offset of each channel, as in :func:`~eosin.images.preprocess.to_input`.

    Args:
        preprocessing: Conversion of 8-bit images to the network's input.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        order, factor, offset = channel_affine(preprocessing)
        self._is_reordered = order != sorted(order)
        self._is_reversed = order == [2, 1, 0]
        self._has_factor = bool((factor != 1.0).any())
        self._has_offset = bool(offset.any())
        self._order: torch.Tensor
        self._factor: torch.Tensor
        self._offset: torch.Tensor
        self.register_buffer("_order", torch.tensor(order), persistent=False)
        self.register_buffer("_factor", torch.tensor(factor), persistent=False)
        self.register_buffer("_offset", torch.tensor(offset), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scale a batch.

        Args:
            images: uint8, or floats of that range, which may be changed; shape (B, H, W, C).

        Returns:
            float32, shape (B, C, H, W), with the channels last in memory.
        """
        batch, height, width, channels = images.shape
        if self._is_reordered:
            images = self._reorder(images)
        # Rows of repeated factors keep the innermost loop long: with three channels it took
        # four times as long.
        rows = images.reshape(batch, height, width * channels).float()
        if self._has_factor:
            rows.mul_(self._factor.repeat(width))
        if self._has_offset:
            rows.add_(self._offset.repeat(width))
        return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def _reorder(self, images: torch.Tensor) -> torch.Tensor:
        # While still 8-bit: indexing the floats took thirty times as long.
        if self._is_reversed and images.device.type == "cpu":
            tall = images.numpy().reshape(-1, *images.shape[2:])
            return torch.from_numpy(cv2.cvtColor(tall, cv2.COLOR_RGB2BGR)).view_as(images)
        return images.index_select(-1, self._order)


def augmented_input(
    images: torch.Tensor,
    scale: nn.Module,
    policy: Policy,
    place: tuple[int, int],
    index: torch.Tensor,
) -> torch.Tensor:
    """Augment a batch and turn it into the network's input.

    Args:
        images: uint8, shape (B, H, W, C).
        scale: Module that scales bytes to the input.
        policy: Augmentation policy.
        place: The run's seed and the epoch.
        index: Index of each image in the training part, shape (B,).

    Returns:
        float32, shape (B, C, H, W).
    """
    if not policy.changes_nothing:
        drawn = policy.draw(*place, index.tolist(), channels=images.shape[-1])
        if images.device.type == "cpu":
            images = torch.from_numpy(augment_bytes(images.numpy(), drawn))
        else:
            changed = augment_floats(images.permute(0, 3, 1, 2).float(), drawn)
            images = changed.permute(0, 2, 3, 1)
    inputs: torch.Tensor = scale(images)
    return inputs
