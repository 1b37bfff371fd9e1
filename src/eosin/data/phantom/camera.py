"""Simulated microscope: stain, focus, scanner, sensor noise and quantisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from eosin.core.seeding import generator
from eosin.core.types import Image
from eosin.data.phantom.fields import Float32, noise_pool

_REFERENCE_PX = 96
_LEAST_BLUR_PX = 0.25
Triple = tuple[float, float, float]
#: Rows haematoxylin and eosin, columns R, G, B.
REFERENCE_VECTORS = np.array([[0.650, 0.704, 0.286], [0.072, 0.975, 0.205]])
_VECTOR_SD = np.array([[0.045, 0.060, 0.075], [0.080, 0.040, 0.095]])
_STRENGTH_LOG_SD = (0.30, 0.32)
_WHITE = 0.93
_WHITE_SD = 0.044
_SECTION_SHARE = 0.15


@dataclass(frozen=True)
class Optics:
    """Focus and noise of a patient's images."""

    blur: float  # standard deviation of the focus blur, in px of a 96 px image
    noise: float  # standard deviation of the noise at full light, in 0..1


@dataclass(frozen=True)
class Scanner:
    """Colour and sharpness of one site's scanner."""

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)  # factors on R, G, B
    gamma: float = 1.0  # exponent on intensities; 1 for none
    saturation: float = 1.0  # factor on the distance from grey; 1 for none
    extra_blur: float = 0.0  # added to the blur, in px of a 96 px image

    def apply(self, light: Float32) -> Float32:
        """Apply the scanner's colours to intensities (H, W, 3), in 0..1."""
        if self == Scanner():
            return light
        grey = light.mean(axis=2, keepdims=True)
        bent = np.clip(grey + (light - grey) * np.float32(self.saturation), 0.0, 1.0)
        bent = bent ** np.float32(self.gamma) * np.array(self.gain, dtype=np.float32)
        coloured: Float32 = bent.astype(np.float32)
        return coloured


def draw_optics(rng: np.random.Generator, amount: float) -> Optics:
    """Draw a patient's optics; ``amount`` is the strength of the fingerprint."""
    blur = 0.55 * np.exp(0.25 * amount * rng.standard_normal())
    noise = 0.014 * np.exp(0.3 * amount * rng.standard_normal())
    return Optics(float(np.clip(blur, 0.3, 1.2)), float(np.clip(noise, 0.005, 0.04)))


def draw_scanner(seed: int, site: int, sites: int) -> Scanner:
    """Draw the scanner of a site; the scanner of a single site changes nothing."""
    if sites == 1:
        return Scanner()
    rng = generator(seed, "phantom", "scanner", site)
    gain = 1.0 - 0.10 * rng.random(3)
    return Scanner(
        (float(gain[0]), float(gain[1]), float(gain[2])),
        float(np.exp(rng.uniform(-0.25, 0.25))),
        float(rng.uniform(0.75, 1.2)),
        float(rng.uniform(0.0, 0.4)),
    )


def expose(light: Float32, optics: Optics, scanner: Scanner, rng: np.random.Generator) -> Image:
    """Take a photograph, uint8, of the light behind the slide: intensities (H, W, 3), in 0..1."""
    scale = light.shape[0] / _REFERENCE_PX
    sigma = (optics.blur + scanner.extra_blur) * np.exp(0.15 * rng.standard_normal()) * scale
    if sigma > _LEAST_BLUR_PX:
        for axis in (0, 1):
            light = ndimage.gaussian_filter1d(light, sigma, axis=axis, mode="nearest", truncate=2.5)
    light = scanner.apply(light) * np.float32(1.0 + 0.02 * rng.standard_normal())
    light += _noise(light.shape, rng) * np.float32(optics.noise) * np.sqrt(light)
    light *= np.float32(255.0)
    light += np.float32(0.5)
    return np.clip(light, 0.0, 255.0).astype(np.uint8)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> Float32:
    pool = noise_pool()
    count = int(np.prod(shape))
    if count >= len(pool):
        return rng.standard_normal(shape, dtype=np.float32)
    # A cut at a random offset costs a tenth of fresh normal numbers and looks no different.
    start = int(rng.integers(len(pool) - count))
    return pool[start : start + count].reshape(shape)


@dataclass(frozen=True)
class Stain:
    """Stain and background of one slide."""

    haematoxylin: Triple  # unit vector of optical density, R, G, B
    eosin: Triple  # unit vector of optical density, R, G, B
    strength: tuple[float, float]  # factors on the two stains' concentrations
    white: Triple  # background intensity, R, G, B, in 0..1

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Stain vectors, shape (2, 3): rows haematoxylin, eosin; columns R, G, B."""
        return np.array([self.haematoxylin, self.eosin])

    def varied(self, rng: np.random.Generator, amount: float) -> Stain:
        """Return the stain of another section, varied by a fraction of ``amount``."""
        return _scatter(self, rng, amount * _SECTION_SHARE)


def draw_stain(rng: np.random.Generator, amount: float) -> Stain:
    """Draw a patient's stain; a fingerprint ``amount`` of 0 gives the reference itself."""
    vectors = _unit(REFERENCE_VECTORS)
    reference = Stain(
        _triple(vectors[0]), _triple(vectors[1]), (1.0, 1.0), (_WHITE, _WHITE, _WHITE)
    )
    return _scatter(reference, rng, amount)


def transmit(concentration: Float32, stain: Stain) -> Float32:
    """Return the light (H, W, 3), in 0..1, behind stain concentrations (H, W, 2), 0 or more."""
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
