"""Reinhard's colour transfer: each colour axis gets the reference's mean and standard deviation.

E. Reinhard et al., Color transfer between images, IEEE Computer Graphics and Applications 21
(2001), equations 10 and 11. What differs: the axes are CIE L*a*b* rather than their lαβ, as usual
for stains. L*, a* and b*, of 8-bit sRGB under the standard's white (D65, 2 degrees), are linear in
the *responses* f(X/Xₙ), f(Y/Yₙ), f(Z/Zₙ), where f is a cube root with a linear part near 0: a
linear change of L*a*b* needs only these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eosin.artifacts.stain import ColourReference, StainReference
from eosin.core.types import FloatArray, Image
from eosin.stain.base import METHODS, Source, StainNormaliser, Transfer
from eosin.stain.sampling import ONE_COLOUR

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
_TO_LAB = np.array([[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]])
_FROM_LAB = np.linalg.inv(_TO_LAB)
_LAB_OFFSET = np.array([-16.0, 0.0, 0.0])

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


#: Smaller values are rounding to bytes: a step of one channel moves b* by 0.2 to 0.5.
_LEAST_SPREAD = 0.3
#: Above so many pixels, mean and standard deviation are of every ``_EVERY``-th.
_ENOUGH, _EVERY = 1 << 14, 3


@dataclass(frozen=True, kw_only=True)
class ColourSpread(Source):
    """Mean and standard deviation of L*, a* and b*, shape (3,) each."""

    lab_mean: FloatArray
    lab_std: FloatArray


@METHODS.register("reinhard")
class Reinhard(StainNormaliser):
    """Reinhard's method; it has no parameters."""

    reference_: ColourReference
    _chunk = 1 << 13  # its tables of indices are larger

    def _measure(self, colours: Image) -> FloatArray:
        return to_response(colours)

    def _estimate(self, measured: FloatArray) -> Source:
        # Means and standard deviations, unlike percentiles, are stable under sampling.
        step = _EVERY if measured.shape[1] > _ENOUGH else 1
        lab = _TO_LAB.astype(np.float32) @ np.ascontiguousarray(measured[:, ::step])
        mean, std = lab.mean(axis=1, dtype=np.float64), lab.std(axis=1, dtype=np.float64)
        if std.min() < _LEAST_SPREAD:
            return Source(reason=ONE_COLOUR)
        return ColourSpread(lab_mean=mean + _LAB_OFFSET, lab_std=std)

    def _summarise(
        self, sources: Sequence[ColourSpread], *, n_images: int, n_units: int
    ) -> StainReference:
        mean = np.median([source.lab_mean for source in sources], axis=0)
        std = np.median([source.lab_std for source in sources], axis=0)
        values: dict[str, Any] = {"lab_mean": mean.tolist(), "lab_std": std.tolist()}
        return ColourReference(n_images=n_images, n_units=n_units, **values)

    def _make_transfer(self, source: ColourSpread) -> Transfer:
        scale = np.array(self.reference_.lab_std) / source.lab_std
        shift = np.array(self.reference_.lab_mean) - scale * source.lab_mean
        # L*a*b* is linear in the response: the transfer is one matrix and a shift.
        matrix = (_FROM_LAB @ (scale[:, None] * _TO_LAB)).astype(np.float32)
        offset = (_FROM_LAB @ (scale * _LAB_OFFSET + shift - _LAB_OFFSET)).astype(np.float32)

        def transfer(measured: FloatArray) -> Image:
            response = matrix @ measured
            response += offset[:, None]
            return to_bytes(response)

        return transfer
