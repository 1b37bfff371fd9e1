"""Changes of stains and colours as linear maps of the optical density.

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


#: Projection of red, green and blue on grey, and the quarter turn about the grey axis.
_GREY = np.full((3, 3), 1.0 / 3.0)
_TURN = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / np.sqrt(3.0)


def colour_change(hue: FloatArray, saturation: FloatArray, contrast: FloatArray) -> FloatArray:
    """Combine changes of colour into a matrix of optical density, in which white stays white.

    Args:
        hue: Angle about the grey axis of optical density, in radians, shape (B,).
        saturation: Factor on the difference from grey; 0 gives a grey image, shape (B,).
        contrast: Factor on the density, shape (B,).

    Returns:
        Shape (B, 3, 3).
    """
    cosine, sine, saturation = (
        values[:, None, None] for values in (np.cos(hue), np.sin(hue), saturation)
    )
    coloured = cosine * (np.eye(3) - _GREY) + sine * _TURN
    change: FloatArray = contrast[:, None, None] * (_GREY + saturation * coloured)
    return change


def density_change(
    scale: FloatArray,
    shift: FloatArray,
    brightness: FloatArray,
    colour: FloatArray | None = None,
) -> FloatArray:
    """Combine changes of stain, then of colour, then of light into one of optical density.

    Args:
        scale: Factors on haematoxylin, eosin and the rest, shape (B, 3).
        shift: Added to them after that, shape (B, 3).
        brightness: Factor on the light, above 0, shape (B, 1).
        colour: Of :func:`colour_change`, shape (B, 3, 3).

    Returns:
        (A | b) of ``A · od + b`` for columns of red, green and blue, float32, shape (B, 3, 4).
    """
    linear = np.einsum("ki,bk,jk->bij", _TO_DENSITY, scale, _TO_STAINS)
    start = shift @ _TO_DENSITY
    if colour is not None:
        linear, start = colour @ linear, np.einsum("bij,bj->bi", colour, start)
    change = np.empty((len(scale), 3, 4), dtype=np.float32)
    change[:, :, :3] = linear
    change[:, :, 3] = start - np.log(brightness)
    return change
