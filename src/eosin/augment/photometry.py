"""Applying drawn changes of colour, light and focus to a batch.

Two ways to the same picture, up to a grey level or two of rounding: bytes by OpenCV on a CPU,
floats by torch on an accelerator.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch.nn import functional

from eosin.augment.drawing import Drawn
from eosin.augment.threads import share_out
from eosin.core.types import FloatArray, Image

#: Brightest value and one: optical density is −ln((value + 1) / this), 0 for white, never infinite.
_LIGHT = 256.0
#: ln(value + 1) of every 8-bit value.
_LOGARITHMS = np.log(np.arange(1, 257)).astype(np.float32)
_ONES = (1.0, 1.0, 1.0, 0.0)
#: Standard deviations of a Gaussian after which it is cut off.
_REACH = 3.0


def recolour_bytes(images: Image, drawn: Drawn) -> Image:
    """Change optical density, focus and tones of 8-bit images, rounded to whole values.

    The result is the same for any number of threads and in any company of other images.

    Args:
        images: uint8, shape (B, H, W, C). Where optical density is drawn, C is 3 for each image of
            a bundle; all of them are changed alike, and one that is all black, since it is missing,
            stays black.
        drawn: For the batch.

    Returns:
        Same shape and type.
    """
    logarithms = None if drawn.density is None else _of_logarithms(drawn.density)
    changed = np.empty_like(images)

    def recolour(row: int) -> None:
        image = images[row]
        if logarithms is not None:
            image = _stained(image, logarithms[row])
        if drawn.blur is not None and drawn.blur[row] > 0:
            image = _blurred(image, float(drawn.blur[row]))
        if drawn.tables is not None:
            table = np.ascontiguousarray(drawn.tables[row].T)[None]
            image = cv2.LUT(image, table).reshape(image.shape)
        changed[row] = image

    share_out(recolour, len(images), images.nbytes)
    return changed


def _of_logarithms(density: FloatArray) -> FloatArray:
    """Turn changes of −ln((value + 1) / 256) into those of ln(value + 1): (B, 3, 4) likewise."""
    linear, start = density[:, :, :3].astype(np.float64), density[:, :, 3].astype(np.float64)
    start = math.log(_LIGHT) * (1.0 - linear.sum(axis=2)) - start
    return np.concatenate([linear, start[:, :, None]], axis=2).astype(np.float32)


def _stained(image: Image, change: FloatArray) -> Image:
    stained = np.zeros_like(image)
    for first in range(0, image.shape[2], 3):
        planes = np.ascontiguousarray(image[..., first : first + 3])
        if not planes.any():
            continue
        values = cv2.transform(cv2.LUT(planes, _LOGARITHMS), change)
        values = cv2.exp(values, dst=values)
        # Rounded and clipped to 8 bits in the same pass; OpenCV's stubs know no scalars.
        values = cv2.subtract(values, _ONES, dtype=cv2.CV_8U)  # type: ignore[call-overload]
        stained[..., first : first + 3] = values
    return stained


def _blurred(image: Image, sigma: float) -> Image:
    side = 2 * math.ceil(_REACH * sigma) + 1
    blurred = cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.uint8).reshape(image.shape)


def recolour_floats(images: torch.Tensor, drawn: Drawn) -> torch.Tensor:
    """Do :func:`recolour_bytes` on floats.

    Args:
        images: float32, shape (B, C, H, W), 0…255.
        drawn: For the batch.

    Returns:
        Same shape and type, 0…255.
    """
    if drawn.density is not None:
        images = _stained_floats(images, torch.from_numpy(drawn.density).to(images.device))
    if drawn.blur is not None and drawn.blur.any():
        images = _blurred_floats(images, drawn.blur)
    if drawn.tables is not None:
        tables = torch.from_numpy(drawn.tables).to(images.device, images.dtype)
        values = images.round().clamp(0, 255).long().flatten(start_dim=2)
        images = tables.gather(2, values).view_as(images)
    return images


def _stained_floats(images: torch.Tensor, density: torch.Tensor) -> torch.Tensor:
    batch, channels, height, width = images.shape
    parts = images.reshape(batch, channels // 3, 3, height, width)
    absorbed = -torch.log((parts + 1.0) / _LIGHT)
    absorbed = torch.einsum("bij,bmjhw->bmihw", density[:, :, :3], absorbed)
    absorbed = absorbed + density[:, None, :, 3, None, None]
    stained = (_LIGHT * torch.exp(-absorbed) - 1.0).clamp(0.0, 255.0)
    is_there = parts.amax(dim=(2, 3, 4), keepdim=True) > 0
    return torch.where(is_there, stained, parts).flatten(1, 2)


def _blurred_floats(images: torch.Tensor, sigma: FloatArray) -> torch.Tensor:
    batch, channels, height, width = images.shape
    reach = math.ceil(_REACH * float(sigma.max()))
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
    weights = np.where(away <= np.ceil(_REACH * wide), np.exp(-0.5 * (away / wide) ** 2), 0.0)
    kernels: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return kernels
