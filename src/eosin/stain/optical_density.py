"""Optical density, P2's equation 1, OD = −ln(I / I₀), and its inverse.

What differs: −ln((I + 1) / I₀), so that black has a density too; the inverse is exact, so that each
byte is recovered. The 256 densities of a byte are in a table.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from eosin.core.types import FloatArray, Image

#: Range of ln(I + 1) of a byte.
_DARKEST, _BRIGHTEST = 0.0, math.log(256.0)


@cache
def _densities(i0: float) -> FloatArray:
    table: FloatArray = -np.log((np.arange(256) + 1.0) / i0).astype(np.float32)
    table.flags.writeable = False
    return table


def to_density(values: Image, i0: float) -> FloatArray:
    """Return optical density, float32, of uint8 values; below 0 where brighter than ``i0`` − 1.

    ``i0`` is the grey level of light that passed no tissue.
    """
    # Bytes are never out of range: "clip" skips the check.
    density: FloatArray = np.take(_densities(i0), values, mode="clip")
    return density


def to_grey(density: FloatArray, i0: float) -> Image:
    """Return grey levels, uint8, of optical density, float32, which is overwritten."""
    np.subtract(math.log(i0), density, out=density)
    # Clipped before the exponential, which then cannot overflow.
    np.clip(density, _DARKEST, _BRIGHTEST, out=density)
    np.exp(density, out=density)
    # I + 1, to be rounded by truncation.
    density -= 0.5
    return density.astype(np.uint8)
