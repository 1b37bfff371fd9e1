"""Small grey pictures of images: what copies are looked for in.

A section's colours become grey. Of fluorescence, whatever its depth, each channel is stretched from
its least to its largest count and their mean is the grey: a copy whose window differs is found, a
channel that one of the two lacks is not missed. A picture is 32 pixels wide and high, whatever
shape the image has; it takes one KiB, so that 100,000 of them fit in memory.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from scipy import ndimage

from eosin.core.types import FloatArray, Image, Pixels

SKETCH_PX = 32
#: Side of the cells that texture is looked for in, and grey levels that tell texture from paper.
_CELL_PX, _LEAST_DETAIL = 4, 4.0
#: Detail is what lies between these two widths of a Gaussian, in pixels of a sketch: the finer is
#: noise, and lost in a small copy; the coarser is light and shade, which other images share.
_FINE_PX, _COARSE_PX = 1.0, 3.0
_CHUNK = 4096
#: Values of an image that become floats together.
_STRIP_VALUES = 4 << 20


def sketch(image: Pixels) -> Image:
    """Return the small grey picture of an image.

    Args:
        image: uint8 or uint16, shape (H, W, C); three channels of uint8 are RGB.

    Returns:
        uint8, shape (32, 32).
    """
    small = to_grey(image).resize((SKETCH_PX, SKETCH_PX), PillowImage.Resampling.BILINEAR)
    return np.asarray(small)


def to_grey(image: Pixels) -> PillowImage.Image:
    """Return an image in grey; see the module."""
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return PillowImage.fromarray(np.asarray(image, dtype=np.uint8)).convert("L")
    low = image.min(axis=(0, 1))
    spread = np.maximum(image.max(axis=(0, 1)) - low, 1).astype(np.float32)
    grey = np.empty(image.shape[:2], dtype=np.uint8)
    step = max(1, _STRIP_VALUES // max(1, image[0].size))
    for start in range(0, len(image), step):
        strip = slice(start, start + step)
        share = ((image[strip].astype(np.float32) - low) / spread).mean(axis=2)
        grey[strip] = np.rint(255 * share)
    return PillowImage.fromarray(grey)


def find_detail(pictures: npt.NDArray[np.generic]) -> FloatArray:
    """Return what is neither noise nor shade, float32, shape (N, H, W)."""
    values = np.asarray(pictures, dtype=np.float32)
    fine = ndimage.gaussian_filter(values, (0, _FINE_PX, _FINE_PX))
    found: FloatArray = fine - ndimage.gaussian_filter(values, (0, _COARSE_PX, _COARSE_PX))
    return found


def measure_texture(pictures: Image) -> FloatArray:
    """Return the share of each picture that has texture, 0–1, shape (N,)."""
    shares = []
    for start in range(0, len(pictures), _CHUNK):
        detail = find_detail(pictures[start : start + _CHUNK])
        cells = detail.reshape(len(detail), SKETCH_PX // _CELL_PX, _CELL_PX, -1, _CELL_PX)
        strength = np.sqrt((cells * cells).mean(axis=(2, 4)))
        shares.append((strength > _LEAST_DETAIL).mean(axis=(1, 2)))
    return np.concatenate([np.zeros(0), *shares])
