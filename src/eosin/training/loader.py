"""Batches of a part, their augmentation, and their conversion to the network's input."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import nn

from eosin.artifacts.model import Preprocessing
from eosin.augment import Policy, augment_bytes
from eosin.augment.drawing import uniform
from eosin.augment.floats import augment_floats
from eosin.core.seeding import derive_seed
from eosin.images.preprocess import channel_affine
from eosin.training.data import ImagePart

#: images uint8 (B, H, W, C), or features float32 (B, D); targets (B,); index of each image in its
#: part (B,).
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def read_part(part: ImagePart, rows: list[int]) -> Batch:
    """Read a batch of a part.

    A row beyond the last is a repetition under an index of its own: see
    :class:`~eosin.training.sampler.BalancedBatches`.
    """
    index = np.asarray(rows)
    chosen = index % len(part)
    images = torch.from_numpy(part.images[chosen])
    return images, torch.from_numpy(part.targets[chosen]), torch.from_numpy(index)


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

    def forward(self, images: torch.Tensor, memory: torch.Tensor | None = None) -> torch.Tensor:
        """Scale a batch.

        Args:
            images: uint8, or floats of that range, which may be changed; shape (B, H, W, C).
            memory: float32 of as many numbers or more, which the result overwrites: memory that is
                allocated anew for every batch costs more than the scaling.

        Returns:
            float32, shape (B, C, H, W), with the channels last in memory.
        """
        batch, height, width, channels = images.shape
        if self._is_reordered:
            images = self._reorder(images)
        # Rows of repeated factors keep the innermost loop long: with three channels it took
        # four times as long.
        rows = images.reshape(batch, height, width * channels)
        if memory is None:
            rows = rows.float()
        else:
            rows = memory[: rows.numel()].view(rows.shape).copy_(rows)
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


def crop_randomly(
    images: torch.Tensor, crop_px: int | None, place: tuple[int, int], index: torch.Tensor
) -> torch.Tensor:
    """Cut a random square out of every image, a pure function of (seed, epoch, index).

    Args:
        images: (B, H, W, C).
        crop_px: Side of the squares; ``None`` keeps the images whole.
        place: The run's seed and the epoch.
        index: Index of each image in the training subset, shape (B,).
    """
    if crop_px is None:
        return images
    seed, epoch = place
    drawn = uniform(derive_seed(seed, "crop", epoch), index.numpy(), 2)
    room = np.array(images.shape[1:3]) - crop_px + 1
    starts = (drawn * room).astype(np.int64).tolist()
    return torch.stack(
        [
            image[top : top + crop_px, left : left + crop_px]
            for image, (top, left) in zip(images, starts, strict=True)
        ]
    )


def augment(
    images: torch.Tensor, policy: Policy, place: tuple[int, int], index: torch.Tensor
) -> torch.Tensor:
    """Augment a batch, on the device where it is.

    Args:
        images: uint8, shape (B, H, W, C).
        policy: Augmentation policy.
        place: The run's seed and the epoch.
        index: Index of each image in the training subset, shape (B,).

    Returns:
        The same shape; uint8 on a CPU, elsewhere floats of that range.
    """
    if policy.changes_nothing:
        return images
    drawn = policy.draw(*place, index.tolist(), channels=images.shape[-1])
    if images.device.type == "cpu" or drawn.calls is not None:
        # A user's own function takes arrays.
        changed_bytes = torch.from_numpy(augment_bytes(images.cpu().numpy(), drawn))
        return changed_bytes.to(images.device)
    changed = augment_floats(images.permute(0, 3, 1, 2).float(), drawn)
    return changed.permute(0, 2, 3, 1)
