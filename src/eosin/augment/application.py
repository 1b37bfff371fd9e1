"""Applying all that was drawn for a batch, on bytes or on floats."""

from __future__ import annotations

import torch

from eosin.augment.drawing import Drawn
from eosin.augment.geometry import apply_affine, warp_bytes
from eosin.augment.photometry import recolour_bytes, recolour_floats
from eosin.core.types import Image


def augment_bytes(images: Image, drawn: Drawn) -> Image:
    """Change a batch where it lies as bytes, on a CPU.

    Args:
        images: uint8, shape (B, H, W, C).
        drawn: For the batch.

    Returns:
        Same shape and type; the images themselves where nothing is drawn.
    """
    if drawn.affine is not None:
        images = warp_bytes(images, drawn.affine)
    if drawn.density is not None or drawn.blur is not None or drawn.tables is not None:
        images = recolour_bytes(images, drawn)
    return images


def augment_floats(images: torch.Tensor, drawn: Drawn) -> torch.Tensor:
    """Do :func:`augment_bytes` on floats, on an accelerator; they differ by a grey level or two.

    Args:
        images: float32, shape (B, C, H, W), 0…255.
        drawn: For the batch.

    Returns:
        Same shape and type, 0…255.
    """
    # Mixed precision is for the network: 8 bits of a mantissa would lose grey levels.
    with torch.autocast(images.device.type, enabled=False):
        if drawn.affine is not None:
            images = apply_affine(images, torch.from_numpy(drawn.affine).to(images.device))
        return recolour_floats(images, drawn)
