"""Cheap random textures in physical coordinates.

A smooth field is a sum of plane waves (a random-Fourier-feature Gaussian field), separable into one
small matrix product on a grid. Fibres are sampled from one shared periodic texture, rotated,
stretched and bent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from eosin.core.seeding import generator

Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

_TILE_PX = 256
_TILE_ALONG_PX = 9.0
_TILE_ACROSS_PX = 0.9


@dataclass(frozen=True)
class Grid:
    """Square pixel grid of a field."""

    field_um: float  # side of the field
    size_px: int  # pixels per side

    @property
    def mpp(self) -> float:
        """Pixel spacing in µm."""
        return self.field_um / self.size_px

    @property
    def axis_um(self) -> Float32:
        """Centres of the pixels along either axis, shape (S,)."""
        return ((np.arange(self.size_px) + 0.5) * self.mpp).astype(np.float32)

    @property
    def softness_um(self) -> float:
        """Width of an edge: one pixel, or 1 µm if pixels are finer."""
        return max(self.mpp, 1.0)


@dataclass(frozen=True)
class SmoothField:
    """Smooth random function of the plane, with zero mean and unit variance."""

    wave: Floats  # angular frequencies in rad per µm, shape (K, 2), as (x, y)
    phase: Floats  # phases in rad, shape (K,)

    @classmethod
    def draw(
        cls, rng: np.random.Generator, length_um: float, waves: int = 16, stretch: float = 1.0
    ) -> SmoothField:
        """Draw a field with ``waves`` plane waves and correlation length ``length_um``.

        ``stretch`` is the ratio of the correlation lengths along a random axis and across it.
        """
        wave = rng.standard_normal((waves, 2)) / length_um
        angle = rng.uniform(0.0, np.pi)
        wave[:, 0] /= stretch
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return cls(wave @ turn, rng.uniform(0.0, 2 * np.pi, waves))

    def on(self, grid: Grid) -> Float32:
        """Evaluate on a grid: shape (S, S), row = y."""
        axis_um = grid.axis_um
        wave = self.wave.astype(np.float32)
        across = axis_um[:, None] * wave[:, 0] + self.phase.astype(np.float32)
        down = axis_um[:, None] * wave[:, 1]
        # cos(a + b) = cos a cos b − sin a sin b turns S² cosines into one matrix product.
        left = np.concatenate([np.cos(down), -np.sin(down)], axis=1)
        right = np.concatenate([np.cos(across), np.sin(across)], axis=1)
        product: Float32 = left @ right.T
        product *= np.float32(np.sqrt(2 / len(self.phase)))
        return product

    def at(self, x_um: Floats, y_um: Floats) -> Floats:
        """Evaluate at points (N,): shape (N,)."""
        angle = np.outer(x_um, self.wave[:, 0]) + np.outer(y_um, self.wave[:, 1]) + self.phase
        total: Floats = np.cos(angle).sum(axis=1) * np.sqrt(2 / len(self.phase))
        return total


@lru_cache(maxsize=1)
def fibre_tile() -> Float32:
    """Return the shared periodic fibre texture (256, 256), unit variance, fibres along x."""
    noise = generator(0, "phantom", "fibres").standard_normal((_TILE_PX, _TILE_PX))
    fine = ndimage.gaussian_filter(noise, (_TILE_ACROSS_PX, _TILE_ALONG_PX), mode="wrap")
    rough = ndimage.gaussian_filter(
        noise[::-1], (4 * _TILE_ACROSS_PX, 2 * _TILE_ALONG_PX), mode="wrap"
    )
    tile: Float32 = (fine / fine.std() + 0.7 * rough / rough.std()).astype(np.float32)
    tile /= tile.std()
    tile.setflags(write=False)
    return tile


@lru_cache(maxsize=1)
def chromatin_tile() -> Float32:
    """Return the shared periodic chromatin texture (128, 128), unit variance, 0.5 µm per px."""
    noise = generator(0, "phantom", "chromatin").standard_normal((128, 128))
    clumps = ndimage.gaussian_filter(noise, 1.5, mode="wrap")
    tile: Float32 = (clumps / clumps.std()).astype(np.float32)
    tile.setflags(write=False)
    return tile


@lru_cache(maxsize=1)
def noise_pool() -> Float32:
    """Return 2¹⁹ standard normal numbers that the camera's noise is cut from."""
    pool = generator(0, "phantom", "camera").standard_normal(1 << 19, dtype=np.float32)
    pool.setflags(write=False)
    return pool


def sample_fibres(along_px: Float32, across_px: Float32) -> Float32:
    """Sample the fibre texture at any coordinates in px, (H, W), bilinear and periodic."""
    tile = fibre_tile().ravel()
    left, top = np.floor(along_px), np.floor(across_px)
    right_share, low_share = along_px - left, across_px - top
    mask = _TILE_PX - 1
    column = left.astype(np.int32) & mask
    row = (top.astype(np.int32) & mask) * _TILE_PX
    next_column = (column + 1) & mask
    next_row = (row + _TILE_PX) & (_TILE_PX * _TILE_PX - 1)
    upper = tile[row + column] * (1 - right_share) + tile[row + next_column] * right_share
    lower = tile[next_row + column] * (1 - right_share) + tile[next_row + next_column] * right_share
    value: Float32 = upper + (lower - upper) * low_share
    return value


def lattice(
    rng: np.random.Generator, field_um: float, spacing_um: float, jitter: float, margin_um: float
) -> tuple[Floats, Floats]:
    """Draw a hexagonal lattice over the field and a margin: x and y in µm, each (N,).

    ``jitter`` is the standard deviation of the positions as a share of the spacing.
    """
    low, high = -margin_um, field_um + margin_um
    columns = np.arange(low, high, spacing_um) + rng.uniform(0, spacing_um)
    rows = np.arange(low, high, spacing_um * 0.866) + rng.uniform(0, spacing_um)
    x = columns[None, :] + 0.5 * spacing_um * (np.arange(len(rows)) % 2)[:, None]
    y = np.broadcast_to(rows[:, None], x.shape)
    shake = rng.standard_normal((2, x.size)) * jitter * spacing_um
    return x.ravel() + shake[0], y.ravel() + shake[1]
