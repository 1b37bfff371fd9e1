"""Augmentation of a batch of floats on an accelerator.

The result equals that of :func:`eosin.augment.augment_bytes` up to a grey level or two.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from eosin.augment.bytes import LIGHT, REACH
from eosin.augment.drawing import Drawn
from eosin.core.types import FloatArray


def augment_floats(images: torch.Tensor, drawn: Drawn) -> torch.Tensor:
    """Augment as :func:`~eosin.augment.augment_bytes`, but float32 images (B, C, H, W), 0…255."""
    # Mixed precision is for the network: 8 bits of a mantissa would lose grey levels.
    with torch.autocast(images.device.type, enabled=False):
        if drawn.affine is not None:
            images = apply_affine(images, torch.from_numpy(drawn.affine).to(images.device))
        return _recolour(images, drawn)


def apply_affine(images: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Resample every image of a float batch (B, C, H, W) by its own matrix.

    The matrices (B, 2, 3) map output to input coordinates in −1…1. Bilinear, borders reflected.
    """
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def _recolour(images: torch.Tensor, drawn: Drawn) -> torch.Tensor:
    """Apply :func:`~eosin.augment.bytes.recolour_bytes` to floats (B, C, H, W), 0…255."""
    if drawn.density is not None:
        images = _stained(images, torch.from_numpy(drawn.density).to(images.device))
    if drawn.blur is not None and drawn.blur.any():
        images = _blurred(images, drawn.blur)
    if drawn.tables is not None:
        tables = torch.from_numpy(drawn.tables).to(images.device, images.dtype)
        values = images.round().clamp(0, 255).long().flatten(start_dim=2)
        images = tables.gather(2, values).view_as(images)
    return images


def _stained(images: torch.Tensor, density: torch.Tensor) -> torch.Tensor:
    batch, channels, height, width = images.shape
    parts = images.reshape(batch, channels // 3, 3, height, width)
    absorbed = -torch.log((parts + 1.0) / LIGHT)
    absorbed = torch.einsum("bij,bmjhw->bmihw", density[:, :, :3], absorbed)
    absorbed = absorbed + density[:, None, :, 3, None, None]
    stained = (LIGHT * torch.exp(-absorbed) - 1.0).clamp(0.0, 255.0)
    is_there = parts.amax(dim=(2, 3, 4), keepdim=True) > 0
    return torch.where(is_there, stained, parts).flatten(1, 2)


def _blurred(images: torch.Tensor, sigma: FloatArray) -> torch.Tensor:
    batch, channels, height, width = images.shape
    reach = math.ceil(REACH * float(sigma.max()))
    kernels = torch.from_numpy(_gaussians(sigma, reach)).to(images.device, images.dtype)
    # Each channel of each image is a group of its own.
    weights = kernels.repeat_interleave(channels, dim=0)[:, None, :, None]
    planes = images.reshape(1, batch * channels, height, width)
    planes = functional.pad(planes, [reach] * 4, mode="reflect")
    planes = functional.conv2d(planes, weights, groups=batch * channels)
    planes = functional.conv2d(planes, weights.transpose(2, 3), groups=batch * channels)
    return planes.view_as(images)


def _gaussians(sigma: FloatArray, reach: int) -> FloatArray:
    """Return weights that sum to 1, float64, shape (B, 2 · reach + 1)."""
    away = np.abs(np.arange(-reach, reach + 1))
    wide = np.maximum(sigma.astype(np.float64), 1e-3)[:, None]
    weights = np.where(away <= np.ceil(REACH * wide), np.exp(-0.5 * (away / wide) ** 2), 0.0)
    kernels: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return kernels
