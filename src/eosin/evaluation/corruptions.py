"""Common corruptions: seven changes of an image that a microscope, a stain or a file may make.

After Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (2019), with five severities each; stain, gamma and elastic deformation as in THUNDER
(Marza et al., 2025). NumPy, SciPy and Pillow only.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter, map_coordinates

from eosin.core.types import FloatArray, Image
from eosin.stain.density import density_change

SEVERITIES = (1, 2, 3, 4, 5)
#: Light that is seen without tissue: values run from 1 to 256, as in the augmentation.
_LIGHT = 256.0
_JPEG_QUALITY = (70, 50, 30, 20, 10)
_NOISE = (4.0, 8.0, 12.0, 18.0, 25.0)
#: Smoothness of a deformation, relative to the side.
_ELASTIC_WIDTH = 1 / 28

#: From an image, uint8 (H, W, 3), a severity and its random numbers to the changed image.
Change = Callable[[Image, int, np.random.Generator], Image]


@dataclass(frozen=True)
class Corruption:
    """A change of images.

    Attributes:
        title: Its name for people.
        settings: What it does at the five severities.
        change: The function.
    """

    title: str
    settings: str
    change: Change


def _stain(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Scale the optical densities of haematoxylin and eosin, each up or down by chance."""
    scale = np.ones((1, 3))
    scale[0, :2] += 0.1 * severity * random.choice([-1.0, 1.0], size=2)
    change = density_change(scale, np.zeros((1, 3)), np.ones((1, 1)))[0]
    density = -np.log((image.astype(np.float32) + 1.0) / _LIGHT)
    return _to_bytes(_LIGHT * np.exp(-(density @ change[:, :3].T + change[:, 3])) - 1.0)


def _blur(image: Image, severity: int, random: np.random.Generator) -> Image:
    sigma = 0.5 * severity
    return _to_bytes(gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="mirror"))


def _jpeg(image: Image, severity: int, random: np.random.Generator) -> Image:
    stream = io.BytesIO()
    PillowImage.fromarray(image).save(stream, "JPEG", quality=_JPEG_QUALITY[severity - 1])
    return np.asarray(PillowImage.open(stream).convert("RGB"))


def _noise(image: Image, severity: int, random: np.random.Generator) -> Image:
    return _to_bytes(image + _NOISE[severity - 1] * random.standard_normal(image.shape))


def _scale(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Magnify or reduce about the centre; at the edge of a reduced image the tissue is mirrored."""
    factor = 1.0 + 0.04 * severity * random.choice([-1.0, 1.0])
    rows, columns = _grid(image)
    centre = (np.array(image.shape[:2]) - 1) / 2
    return _sample(
        image, (rows - centre[0]) / factor + centre[0], (columns - centre[1]) / factor + centre[1]
    )


def _gamma(image: Image, severity: int, random: np.random.Generator) -> Image:
    exponent = (1.0 + 0.1 * severity) ** random.choice([-1.0, 1.0])
    table = _to_bytes(255.0 * (np.arange(256) / 255.0) ** exponent)
    return np.asarray(table[image])


def _elastic(image: Image, severity: int, random: np.random.Generator) -> Image:
    """Shift each place by a smooth random field (Simard et al., 2003)."""
    rows, columns = _grid(image)
    moved = []
    for axis in (rows, columns):
        field = gaussian_filter(
            random.uniform(-1.0, 1.0, image.shape[:2]), _ELASTIC_WIDTH * image.shape[0]
        )
        field *= 0.002 * severity * image.shape[0] / max(float(field.std()), 1e-12)
        moved.append(axis + field)
    return _sample(image, *moved)


def _grid(image: Image) -> FloatArray:
    """Return the rows and columns of all places, shape (2, H, W)."""
    return np.indices(image.shape[:2]).astype(np.float64)


def _sample(image: Image, rows: FloatArray, columns: FloatArray) -> Image:
    """Return the image at other places, bilinear, mirrored beyond its edges."""
    planes = [
        map_coordinates(image[..., c].astype(np.float32), [rows, columns], order=1, mode="mirror")
        for c in range(image.shape[2])
    ]
    return _to_bytes(np.stack(planes, axis=-1))


def _to_bytes(values: FloatArray) -> Image:
    found: Image = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return found


CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        "stain": Corruption(
            "stain shift",
            "haematoxylin and eosin 10, 20, 30, 40, 50 % stronger or weaker, each by chance",
            _stain,
        ),
        "blur": Corruption("blur", "Gaussian of 0.5, 1, 1.5, 2, 2.5 pixels of the input", _blur),
        "jpeg": Corruption("JPEG", "quality 70, 50, 30, 20, 10", _jpeg),
        "noise": Corruption("noise", "Gaussian of 4, 8, 12, 18, 25 of 255", _noise),
        "scale": Corruption("scale", "4, 8, 12, 16, 20 % larger or smaller, by chance", _scale),
        "gamma": Corruption(
            "gamma", "exponent 1.1, 1.2, 1.3, 1.4, 1.5 or its reciprocal, by chance", _gamma
        ),
        "elastic": Corruption(
            "deformation",
            "places move by 0.2, 0.4, 0.6, 0.8, 1.0 % of the side (standard deviation)",
            _elastic,
        ),
    }
)
