"""Base class of stain separation: two stains, their concentrations, and new vectors.

Optical density is P2's equation 1, OD = −ln(I / I₀). What differs: −ln((I + 1) / I₀), so that black
has a density too; the inverse is exact, so that each byte is recovered. The 256 densities of a byte
are in a table.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from eosin.artifacts.stain import SeparationReference, StainReference
from eosin.core.types import FloatArray, Image
from eosin.stain.base import Source, StainNormaliser
from eosin.stain.sampling import ONE_STAIN, TOO_LITTLE

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


#: Least 99th percentile of a stain that is present; scaling a weaker one would amplify noise.
_LEAST_CONCENTRATION = 0.05
#: Cosine of the least angle between two distinguishable stains, 3 degrees.
_NEAREST = np.cos(np.deg2rad(3.0))
#: Least number of pixels that absorb light in every channel, for an estimate of angles.
_LEAST_PIXELS = 64
PERCENTILE = 99.0
#: Step of the sample that locates a percentile.
_EVERY = 64
#: Median distance from the plane of two stains, in optical density, caused by rounding to bytes:
#: 0.001 to 0.003 on normalised images; other real tiles are at 0.008 to 0.4.
_IN_PLANE = 0.004
#: Largest factor between two strengths of stain that clipping at white causes.
_SAME_STRENGTH = 1.1


@dataclass(frozen=True, kw_only=True)
class Separation(Source):
    """Stain vectors and concentrations of a source.

    Attributes:
        stain_matrix: Unit vectors of optical density, rows haematoxylin and eosin, shape (2, 3).
        max_concentrations: The 99th percentile of each stain's concentration, shape (2,).
    """

    stain_matrix: FloatArray
    max_concentrations: FloatArray


class SeparationNormaliser(StainNormaliser):
    """A method that separates two stains.

    Args:
        i0: Grey level of light that passed no tissue.
        beta: Optical density below which a pixel is background.
    """

    method: Literal["macenko", "vahadane"]
    reference_: SeparationReference

    def __init__(self, *, i0: float, beta: float) -> None:
        self.i0 = i0
        self.beta = beta

    def _measure(self, colours: Image) -> FloatArray:
        return to_density(colours, self.i0)

    def _estimate(self, measured: FloatArray) -> Source:
        tissue = np.compress(measured.min(axis=0) >= self.beta, measured, axis=1)
        if tissue.shape[1] < _LEAST_PIXELS:
            return Source(reason=TOO_LITTLE)
        done = self._recognise(tissue, measured)
        if done is not None:
            return done
        vectors = self._find_vectors(tissue)
        if vectors is None or vectors[0] @ vectors[1] > _NEAREST:
            return Source(reason=ONE_STAIN)
        most = self._find_most(measured, vectors)
        if most.min() < _LEAST_CONCENTRATION:
            return Source(reason=ONE_STAIN)
        return Separation(stain_matrix=vectors, max_concentrations=most)

    def _recognise(self, tissue: FloatArray, density: FloatArray) -> Separation | None:
        """Return the reference's own numbers for an image that was already normalised to it.

        A normalised image lies in the plane of the reference's two vectors, within rounding to
        bytes; real tissue lies several times as far from it. A new estimate would differ a little,
        since the background of the new colours is another.
        """
        if not hasattr(self, "reference_"):
            return None
        vectors = np.array(self.reference_.stain_matrix)
        most = np.array(self.reference_.max_concentrations)
        normal = np.cross(*vectors)
        far = np.count_nonzero(
            np.abs(normal.astype(np.float32) @ np.ascontiguousarray(tissue[:, ::_EVERY]))
            > _IN_PLANE * np.linalg.norm(normal)
        )
        if 2 * _EVERY * far > tissue.shape[1]:
            return None
        ratio = self._find_most(density, vectors) / most
        if ratio.max() > _SAME_STRENGTH or ratio.min() * _SAME_STRENGTH < 1:
            return None
        return Separation(stain_matrix=vectors, max_concentrations=most)

    def _find_most(self, density: FloatArray, vectors: FloatArray) -> FloatArray:
        amounts = self._find_concentrations(density, vectors)
        return np.array([find_percentile(row, PERCENTILE) for row in amounts])

    def _summarise(
        self, sources: Sequence[Separation], *, n_images: int, n_units: int
    ) -> StainReference:
        matrix = np.median([source.stain_matrix for source in sources], axis=0)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        most = np.median([source.max_concentrations for source in sources], axis=0)
        knobs = {name: getattr(self, name) for name in self._knobs}
        values: dict[str, Any] = {
            "stain_matrix": matrix.tolist(),
            "max_concentrations": most.tolist(),
            "n_images": n_images,
            "n_units": n_units,
        }
        return SeparationReference(method=self.method, **values, **knobs)

    def _target(self, source: Separation) -> FloatArray:
        """Return the density of one unit of each of the source's stains after transfer, (2, 3)."""
        scale = np.array(self.reference_.max_concentrations) / source.max_concentrations
        target: FloatArray = scale[:, None] * np.array(self.reference_.stain_matrix)
        return target

    @abstractmethod
    def _find_vectors(self, tissue: FloatArray) -> FloatArray | None:
        """Return unit vectors, float64, shape (2, 3), of densities (3, N); None if not found."""

    @abstractmethod
    def _find_concentrations(self, density: FloatArray, vectors: FloatArray) -> FloatArray:
        """Return both stains' concentrations, shape (2, N), of densities (3, N)."""


def haematoxylin_first(vectors: FloatArray) -> FloatArray:
    """Return the vectors with haematoxylin, which absorbs more red light, before eosin."""
    return vectors if vectors[0, 0] > vectors[1, 0] else vectors[::-1]


def find_percentile(values: FloatArray, percent: float) -> float:
    """Return a percentile of values, shape (N,), interpolated linearly as in NumPy.

    Near an end it takes a twentieth of NumPy's time: a sample shows which values can matter.
    """
    sign = 1 if percent >= 50.0 else -1
    place = max(percent, 100.0 - percent) / 100.0 * (len(values) - 1)
    n_above = len(values) - 1 - int(place)  # greater than the lower neighbour, by rank
    sample = np.sort(sign * values[::_EVERY])
    bound = sign * sample[max(len(sample) - 1 - 3 * (n_above // _EVERY + 1), 0)]
    upper = sign * np.compress(values >= bound if sign > 0 else values <= bound, values)
    if len(upper) <= n_above:
        upper = sign * values
    first = len(upper) - 1 - n_above
    ordered = np.partition(upper, first)[first:]
    low = float(ordered[0])
    high = float(ordered[1:].min()) if n_above else low
    return sign * (low + (place - int(place)) * (high - low))
