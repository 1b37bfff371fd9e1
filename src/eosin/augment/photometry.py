"""Applying drawn changes of colour, light and focus to the bytes of a batch, by OpenCV."""

from __future__ import annotations

import math

import cv2
import numpy as np

from eosin.augment.drawing import Drawn
from eosin.augment.threads import share_out
from eosin.core.types import FloatArray, Image

#: Brightest value and one: optical density is −ln((value + 1) / this), 0 for white, never infinite.
LIGHT = 256.0
#: ln(value + 1) of every 8-bit value.
_LOGARITHMS = np.log(np.arange(1, 257)).astype(np.float32)
_ONES = (1.0, 1.0, 1.0, 0.0)
#: Standard deviations of a Gaussian after which it is cut off.
REACH = 3.0


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
    start = math.log(LIGHT) * (1.0 - linear.sum(axis=2)) - start
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
    side = 2 * math.ceil(REACH * sigma) + 1
    blurred = cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.uint8).reshape(image.shape)
