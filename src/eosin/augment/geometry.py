"""Applying drawn affine changes to a batch; borders are reflected, not black."""

from __future__ import annotations

import torch
from torch.nn import functional


def apply_affine(images: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Resample every image of a batch by its own matrix.

    Args:
        images: float, shape (B, C, H, W), any range.
        matrices: float, shape (B, 2, 3), from output to input coordinates in −1…1.

    Returns:
        Same shape and type; bilinear, borders reflected.
    """
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
