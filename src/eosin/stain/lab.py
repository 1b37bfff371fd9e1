"""Conversion between 8-bit sRGB and CIE L*a*b* under the standard's white (D65, 2 degrees).

L*, a* and b* are linear in the *responses* f(X/Xₙ), f(Y/Yₙ), f(Z/Zₙ), where f is a cube root with a
linear part near 0. A linear change of L*a*b* needs only the responses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eosin.core.types import FloatArray, Image

_WHITE = np.array([0.95047, 1.0, 1.08883])
_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
#: From linear light to X/Xₙ, Y/Yₙ, Z/Zₙ, and back.
_FROM_LIGHT = _XYZ / _WHITE[:, None]
_TO_LIGHT = np.linalg.inv(_FROM_LIGHT)
_FROM_LIGHT_32, _TO_LIGHT_32 = _FROM_LIGHT.astype(np.float32), _TO_LIGHT.astype(np.float32)

#: L*, a*, b* are this matrix times the responses, plus the offset.
TO_LAB = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
FROM_LAB = np.linalg.inv(TO_LAB)
LAB_OFFSET = np.array([-16.0, 0.0, 0.0])

_FOOT, _SLOPE, _LIFT = 0.2068966, 7.787, 16.0 / 116.0

_encoded = np.arange(256) / 255.0
_LIGHT = np.where(_encoded > 0.04045, ((_encoded + 0.055) / 1.055) ** 2.4, _encoded / 12.92).astype(
    np.float32
)

#: Steps of the tables below: less than half a grey level each.
_STEPS = 1 << 14
_levels = np.arange(_STEPS + 1) / _STEPS
_RESPONSES = np.where(_levels > 0.008856, np.cbrt(_levels), _SLOPE * _levels + _LIFT).astype(
    np.float32
)
_BYTES = (
    255.0 * np.where(_levels > 0.0031308, 1.055 * _levels ** (1 / 2.4) - 0.055, 12.92 * _levels)
    + 0.5
).astype(np.uint8)


def to_response(colours: Image) -> FloatArray:
    """Return responses, float32, of colours, uint8; both of shape (3, N)."""
    response: FloatArray = _read(_RESPONSES, _FROM_LIGHT_32 @ _LIGHT.take(colours))
    return response


def to_bytes(response: FloatArray) -> Image:
    """Return colours, uint8, of responses, float32; both of shape (3, N)."""
    root = np.maximum(response, np.float32(_FOOT))
    share = root * root
    share *= root
    # The linear part is the cube's tangent.
    share += (response - root) * np.float32(1 / _SLOPE)
    colours: Image = _read(_BYTES, _TO_LIGHT_32 @ share)
    return colours


def _read(table: Any, levels: FloatArray) -> Any:
    """Look up levels in 0…1, clipped, in a table; overwrites the levels."""
    levels *= _STEPS
    levels += 0.5
    np.clip(levels, 0, _STEPS, out=levels)
    return table.take(levels.astype(np.int32))
