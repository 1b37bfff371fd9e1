"""Simulated glands: rings of epithelium around a lumen, as masks and as places for nuclei."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eosin.data.phantom.fields import Float32, Floats, Grid, SmoothField, lattice
from eosin.data.phantom.morphology import Morphology

_HARMONICS = 4
_LOBULE_UM = 40.0


@dataclass(frozen=True)
class Glands:
    """Stretched, bumpy discs with a hole; shapes (N,) unless said otherwise.

    Attributes:
        x: Centre in µm.
        y: Centre in µm.
        radius: Mean outer radius in µm.
        lumen: Radius of the lumen as a share of the outer one.
        stretch: Square root of the ratio of the axes.
        angle: Direction of the long axis in rad.
        bumps: Complex amplitudes of the outline's harmonics 2, 3, …, shape (N, 3).
        filling: Eosin in the lumen (secretion), mostly none.
    """

    x: Floats
    y: Floats
    radius: Floats
    lumen: Floats
    stretch: Floats
    angle: Floats
    bumps: npt.NDArray[np.complex128]
    filling: Floats

    def __len__(self) -> int:
        return len(self.x)

    def outline(self, which: npt.NDArray[np.intp], theta: Floats) -> Floats:
        """Return the outline's relative radius of glands ``which`` (M,) at ``theta`` (M,)."""
        turns = np.exp(1j * theta[:, None] * np.arange(2, 2 + self.bumps.shape[1]))
        relative: Floats = 1 + (self.bumps[which] * turns).real.sum(axis=1)
        return relative

    def place(
        self, which: npt.NDArray[np.intp], theta: Floats, share: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return x, y in µm and the outward direction in rad of points on the glands.

        Args:
            which: Gland of every point, shape (M,).
            theta: Polar angle in the gland's own frame, shape (M,).
            share: Distance from the centre as a share of the outline, shape (M,).
        """
        reach = self.radius[which] * self.outline(which, theta) * share
        along = reach * np.cos(theta) * self.stretch[which]
        across = reach * np.sin(theta) / self.stretch[which]
        cosine, sine = np.cos(self.angle[which]), np.sin(self.angle[which])
        # The normal of an ellipse leans towards its short axis.
        outward = np.arctan2(
            np.sin(theta) * self.stretch[which], np.cos(theta) / self.stretch[which]
        )
        return (
            self.x[which] + along * cosine - across * sine,
            self.y[which] + along * sine + across * cosine,
            outward + self.angle[which],
        )


def draw_glands(
    rng: np.random.Generator, tissue: Morphology, field_um: float, richness: float
) -> Glands:
    """Draw the glands of a field.

    Args:
        rng: Source of randomness.
        tissue: What they look like.
        field_um: Side of the field.
        richness: Factor on the share of the field that lobules take, about 1.
    """
    spacing = 100.0 / np.sqrt(max(tissue.glands, 0.2) * 0.866)
    spacing = max(spacing, 2.05 * tissue.gland_radius)
    x, y = lattice(rng, field_um, spacing, tissue.disorder, tissue.gland_radius)
    wanted = tissue.glands * 1e-4 * spacing**2 * 0.866  # chance that a lattice point is a gland
    lobule = SmoothField.draw(rng, _LOBULE_UM)
    keep = lobule.at(x, y) + 0.5 * rng.standard_normal(len(x)) < 2.2 * richness * wanted - 1.2
    x, y = x[keep], y[keep]
    count = len(x)
    orders = np.arange(2, 2 + _HARMONICS - 1)
    bumps = rng.standard_normal((2, count, _HARMONICS - 1)) * tissue.raggedness * (2 / orders)
    stretch = 1 + (tissue.elongation - 1) * rng.gamma(4.0, 0.25, count)
    return Glands(
        x,
        y,
        tissue.gland_radius * np.exp(0.16 * rng.standard_normal(count)),
        np.clip(tissue.lumen * np.exp(0.3 * rng.standard_normal(count)), 0.03, 0.75),
        np.sqrt(stretch),
        rng.uniform(0, np.pi, count),
        bumps[0] + 1j * bumps[1],
        np.where(rng.random(count) < 0.12, rng.uniform(0.3, 0.8, count), 0.0),
    )


def paint_glands(glands: Glands, grid: Grid) -> tuple[Float32, Float32, Float32]:
    """Return coverage by epithelium and by lumen in 0..1 and the lumens' eosin, (S, S) each."""
    size_px, mpp = grid.size_px, grid.mpp
    epithelium = np.zeros((size_px, size_px), dtype=np.float32)
    lumen = np.zeros_like(epithelium)
    filling = np.zeros_like(epithelium)
    for index in range(len(glands)):
        window = _window(glands, index, size_px, mpp)
        if window is None:
            continue
        rows, columns = window
        relative, radius = _relative_radius(glands, index, rows, columns, mpp)
        sharp = np.float32(radius / grid.softness_um)
        inside = np.clip((1 - relative) * sharp + np.float32(0.5), 0, 1)
        hole = np.clip((np.float32(glands.lumen[index]) - relative) * sharp + np.float32(0.5), 0, 1)
        cut = (slice(rows[0], rows[1]), slice(columns[0], columns[1]))
        np.maximum(epithelium[cut], inside, out=epithelium[cut])
        np.maximum(lumen[cut], hole, out=lumen[cut])
        if glands.filling[index] > 0:
            np.maximum(filling[cut], hole * np.float32(glands.filling[index]), out=filling[cut])
    return epithelium, lumen, filling


def _window(
    glands: Glands, index: int, size_px: int, mpp: float
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    reach = glands.radius[index] * glands.stretch[index] * (1 + abs(glands.bumps[index]).sum())
    spans = []
    for centre in (glands.y[index], glands.x[index]):
        low = max(int((centre - reach) / mpp) - 1, 0)
        high = min(int((centre + reach) / mpp) + 2, size_px)
        if low >= high:
            return None
        spans.append((low, high))
    return spans[0], spans[1]


def _relative_radius(
    glands: Glands, index: int, rows: tuple[int, int], columns: tuple[int, int], mpp: float
) -> tuple[Float32, float]:
    """Return each pixel's distance from the centre in outlines, and the outline in µm."""
    dx = ((np.arange(*columns) + 0.5) * mpp - glands.x[index]).astype(np.complex64)
    dy = ((np.arange(*rows) + 0.5) * mpp - glands.y[index]).astype(np.complex64)
    # Turning into the gland's frame and undoing its stretch are linear in dx and dy.
    cosine, sine = np.cos(glands.angle[index]), np.sin(glands.angle[index])
    stretch = glands.stretch[index]
    right = np.complex64(cosine / stretch - 1j * sine * stretch)
    down = np.complex64(sine / stretch + 1j * cosine * stretch)
    point = dx[None, :] * right + dy[:, None] * down
    distance = np.abs(point) + np.float32(1e-3)
    unit = point / distance
    power = unit * unit
    outline = np.ones_like(distance)
    for bump in glands.bumps[index].astype(np.complex64):
        outline += (bump * power).real
        power *= unit
    radius = float(glands.radius[index])
    return distance / (np.float32(radius) * np.maximum(outline, np.float32(0.3))), radius
