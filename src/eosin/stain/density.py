"""Changes of haematoxylin and eosin as linear maps of the optical density.

Stain vectors: A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
deconvolution" (2001).
"""

from __future__ import annotations

import numpy as np

from eosin.core.types import FloatArray

#: Optical density of red, green and blue for one unit of haematoxylin and of eosin.
_HAEMATOXYLIN = (0.65, 0.70, 0.29)
_EOSIN = (0.07, 0.99, 0.11)


def _stain_space() -> FloatArray:
    """Return unit vectors as rows: haematoxylin, eosin, and the residual."""
    dyes = np.array([_HAEMATOXYLIN, _EOSIN])
    vectors = np.vstack([dyes, np.cross(dyes[0], dyes[1])])
    unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


_TO_DENSITY = _stain_space()
_TO_STAINS = np.linalg.inv(_TO_DENSITY)


def density_change(scale: FloatArray, shift: FloatArray, brightness: FloatArray) -> FloatArray:
    """Combine changes of stain and light into one of optical density.

    Args:
        scale: Factors on haematoxylin, eosin and the rest, shape (B, 3).
        shift: Added to them after that, shape (B, 3).
        brightness: Factor on the light, above 0, shape (B, 1).

    Returns:
        (A | b) of ``A · od + b`` for columns of red, green and blue, float32, shape (B, 3, 4).
    """
    change = np.empty((len(scale), 3, 4), dtype=np.float32)
    change[:, :, :3] = np.einsum("ki,bk,jk->bij", _TO_DENSITY, scale, _TO_STAINS)
    change[:, :, 3] = shift @ _TO_DENSITY - np.log(brightness)
    return change
