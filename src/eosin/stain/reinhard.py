"""Reinhard's colour transfer: each colour axis gets the reference's mean and standard deviation.

E. Reinhard et al., Color transfer between images, IEEE Computer Graphics and Applications 21
(2001), equations 10 and 11. What differs: the axes are CIE L*a*b* rather than their lαβ, as usual
for stains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eosin.artifacts.stain import ColourReference, StainReference
from eosin.core.types import FloatArray, Image
from eosin.stain.base import METHODS, Source, StainNormaliser, Transfer
from eosin.stain.lab import FROM_LAB, LAB_OFFSET, TO_LAB, to_bytes, to_response
from eosin.stain.sampling import ONE_COLOUR

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
        lab = TO_LAB.astype(np.float32) @ np.ascontiguousarray(measured[:, ::step])
        mean, std = lab.mean(axis=1, dtype=np.float64), lab.std(axis=1, dtype=np.float64)
        if std.min() < _LEAST_SPREAD:
            return Source(reason=ONE_COLOUR)
        return ColourSpread(lab_mean=mean + LAB_OFFSET, lab_std=std)

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
        matrix = (FROM_LAB @ (scale[:, None] * TO_LAB)).astype(np.float32)
        offset = (FROM_LAB @ (scale * LAB_OFFSET + shift - LAB_OFFSET)).astype(np.float32)

        def transfer(measured: FloatArray) -> Image:
            response = matrix @ measured
            response += offset[:, None]
            return to_bytes(response)

        return transfer
