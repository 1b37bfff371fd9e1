"""Simulated haematoxylin and eosin: I = I₀ · exp(−C · S), after Beer and Lambert.

The stain vectors scatter around those of Ruifrok & Johnston (2001), as unit vectors of optical
density (natural logarithm) in red, green and blue. What differs: eosin takes a little more blue,
because theirs renders collagen magenta rather than pink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eosin.data.phantom.fields import Float32

Triple = tuple[float, float, float]

#: Rows haematoxylin and eosin, columns R, G, B.
REFERENCE_VECTORS = np.array([[0.650, 0.704, 0.286], [0.072, 0.975, 0.205]])

_VECTOR_SD = np.array([[0.045, 0.060, 0.075], [0.080, 0.040, 0.095]])
_STRENGTH_LOG_SD = (0.30, 0.32)
_WHITE = 0.93
_WHITE_SD = 0.044
_SECTION_SHARE = 0.15


@dataclass(frozen=True)
class Stain:
    """How one slide took the stains and what its background looks like.

    Attributes:
        haematoxylin: Unit vector of optical density, R, G, B.
        eosin: Likewise.
        strength: Factors on the two stains' concentrations.
        white: Background intensity, R, G, B, in 0..1.
    """

    haematoxylin: Triple
    eosin: Triple
    strength: tuple[float, float]
    white: Triple

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Stain vectors, shape (2, 3): rows haematoxylin, eosin; columns R, G, B."""
        return np.array([self.haematoxylin, self.eosin])

    def varied(self, rng: np.random.Generator, amount: float) -> Stain:
        """Return this stain as another section took it.

        Args:
            rng: Source of randomness.
            amount: The strength of the fingerprint; a section moves by a fraction of it.
        """
        return _scatter(self, rng, amount * _SECTION_SHARE)


def draw_stain(rng: np.random.Generator, amount: float) -> Stain:
    """Draw a patient's stain.

    Args:
        rng: Source of randomness.
        amount: Strength of the fingerprint; 0 gives the reference itself.
    """
    vectors = _unit(REFERENCE_VECTORS)
    reference = Stain(
        _triple(vectors[0]), _triple(vectors[1]), (1.0, 1.0), (_WHITE, _WHITE, _WHITE)
    )
    return _scatter(reference, rng, amount)


def transmit(concentration: Float32, stain: Stain) -> Float32:
    """Shine white light through stained tissue.

    Args:
        concentration: Amounts of haematoxylin and eosin, shape (H, W, 2), 0 or more.
        stain: The slide's stain.

    Returns:
        Intensities (H, W, 3), in 0..1.
    """
    vectors = (-stain.matrix * np.array(stain.strength)[:, None]).astype(np.float32)
    light: Float32 = np.exp(concentration.reshape(-1, 2) @ vectors)
    light *= np.array(stain.white, dtype=np.float32)
    return light.reshape(*concentration.shape[:2], 3)


def _scatter(stain: Stain, rng: np.random.Generator, amount: float) -> Stain:
    vectors = stain.matrix + amount * _VECTOR_SD * rng.standard_normal((2, 3))
    vectors = _unit(np.clip(vectors, 0.02, None))
    strength = np.array(stain.strength) * np.exp(
        amount * np.array(_STRENGTH_LOG_SD) * np.clip(rng.standard_normal(2), -2, 2)
    )
    white = np.array(stain.white) + amount * _WHITE_SD * rng.standard_normal(3)
    return Stain(
        _triple(vectors[0]),
        _triple(vectors[1]),
        (float(strength[0]), float(strength[1])),
        _triple(np.clip(white, 0.75, 0.99)),
    )


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _triple(values: npt.NDArray[np.float64]) -> Triple:
    return (float(values[0]), float(values[1]), float(values[2]))
