"""Simulated glands: rings of epithelium around a lumen, as masks and positions of nuclei."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eosin.data.phantom.fields import Float32, Floats, Grid, SmoothField, lattice
from eosin.data.phantom.morphology import Morphology
from eosin.data.phantom.nuclei import Nuclei

_HARMONICS = 4
_LOBULE_UM = 40.0
_MARGIN_UM = 6.0
_FILE_STEP_DIAMETERS = 1.15
_FILE_CELLS = 9


@dataclass(frozen=True)
class Glands:
    """Elliptic, bumpy discs with a hole; shapes (N,) unless stated otherwise."""

    x: Floats  # centre in µm
    y: Floats  # centre in µm
    radius: Floats  # mean outer radius in µm
    lumen: Floats  # radius of the lumen as a share of the outer one
    stretch: Floats  # square root of the ratio of the axes
    angle: Floats  # direction of the long axis in rad
    #: Complex amplitudes of the outline's harmonics 2, 3, …, shape (N, 3).
    bumps: npt.NDArray[np.complex128]
    filling: Floats  # eosin in the lumen (secretion), mostly none

    def __len__(self) -> int:
        return len(self.x)

    def outline(self, which: npt.NDArray[np.intp], theta: Floats) -> Floats:
        """Return the relative radius of glands ``which`` (M,) at angles ``theta`` (M,)."""
        turns = np.exp(1j * theta[:, None] * np.arange(2, 2 + self.bumps.shape[1]))
        relative: Floats = 1 + (self.bumps[which] * turns).real.sum(axis=1)
        return relative

    def place(
        self, which: npt.NDArray[np.intp], theta: Floats, share: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return x, y in µm and the outward direction in rad of points on the glands ``which``.

        ``theta`` is the polar angle in the gland's own frame, ``share`` the distance from the
        centre relative to the outline. All have shape (M,).
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
    """Draw the glands of a field; ``richness`` (about 1) scales the share that lobules cover."""
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
    """Return each pixel's distance from the centre relative to the outline, and the mean radius."""
    dx = ((np.arange(*columns) + 0.5) * mpp - glands.x[index]).astype(np.complex64)
    dy = ((np.arange(*rows) + 0.5) * mpp - glands.y[index]).astype(np.complex64)
    # Rotating into the gland's frame and undoing its stretch are linear in dx and dy.
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


def epithelial(
    rng: np.random.Generator, tissue: Morphology, x: Floats, y: Floats, angle: Floats, aspect: float
) -> Nuclei:
    """Return the nuclei of epithelial or tumour cells at (N,) positions and directions."""
    count = len(x)
    radius = tissue.nuclear_radius * np.exp(tissue.pleomorphism * rng.standard_normal(count))
    ratio = np.sqrt(np.clip(aspect * np.exp(0.12 * rng.standard_normal(count)), 1.0, 2.5))
    long, short = radius * ratio, radius / ratio
    density = tissue.chromatin * np.exp(0.13 * rng.standard_normal(count))
    clumping = np.full(count, tissue.clumping)
    vesicular = np.clip(rng.normal(0.25, 0.12, count), 0, 0.6)
    nucleolus = np.where(rng.random(count) < tissue.nucleoli, rng.uniform(0.3, 0.9, count), 0.0)
    # A metaphase plate: short, solid and almost black.
    mitotic = rng.random(count) < tissue.mitoses
    long = np.where(mitotic, 1.1 * tissue.nuclear_radius, long)
    short = np.where(mitotic, 0.4 * tissue.nuclear_radius, short)
    return Nuclei(
        x,
        y,
        long,
        short,
        angle + tissue.depolarised * rng.standard_normal(count),
        np.where(mitotic, 2.4, density),
        np.where(mitotic, 0.1, clumping),
        np.where(mitotic, 0.0, vesicular),
        np.where(mitotic, 0.0, nucleolus),
        np.full(count, tissue.irregular),
        rng.random((count, 3)),
    )


def ring_nuclei(rng: np.random.Generator, tissue: Morphology, glands: Glands) -> Nuclei:
    """Return the nuclei around the lumens: basal, side by side and upright if polarity is kept."""
    share = glands.lumen + (1 - glands.lumen) * 0.55
    step = 2 * tissue.nuclear_radius * tissue.crowding * 0.92
    around = np.maximum(np.rint(2 * np.pi * glands.radius * share / step), 4).astype(np.int64)
    counts = np.rint(around * tissue.layers).astype(np.int64)
    which = np.repeat(np.arange(len(glands)), counts)
    within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    layer, place = np.divmod(within, around[which])
    loose = rng.standard_normal((2, len(which)))
    theta = 2 * np.pi * (place + 0.5 * layer) / around[which]
    theta += loose[0] * (0.08 + 0.25 * tissue.disorder) * step / glands.radius[which]
    # Further layers lie towards the lumen and the rim in turn.
    depth = 0.58 + np.where(layer == 0, 0.0, np.where(layer % 2 == 1, -0.34, 0.30))
    depth += loose[1] * (0.04 + 0.25 * tissue.disorder)
    reach = glands.lumen[which] + (1 - glands.lumen[which]) * np.clip(depth, 0.1, 0.97)
    x, y, outward = glands.place(which, theta, reach)
    return epithelial(rng, tissue, x, y, outward, 1.35)


def myoepithelial_nuclei(rng: np.random.Generator, glands: Glands, malignancy: float) -> Nuclei:
    """Return a second, flat layer at the basement membrane, which invasion loses."""
    counts = np.rint(2 * np.pi * glands.radius / 13.0 * (1 - malignancy)).astype(np.int64)
    which = np.repeat(np.arange(len(glands)), counts)
    theta = rng.uniform(0, 2 * np.pi, len(which))
    x, y, outward = glands.place(which, theta, np.full(len(which), 0.99))
    return _plain(rng, x, y, outward + np.pi / 2, (2.9, 1.0), 1.0)


def lattice_places(
    rng: np.random.Generator, tissue: Morphology, field_um: float
) -> tuple[Floats, Floats]:
    """Return positions of the nuclei of solid tissue, by its crowding."""
    spacing = 2 * tissue.nuclear_radius * tissue.crowding * 1.12
    return lattice(rng, field_um, spacing, 0.10 + 0.35 * tissue.disorder, _MARGIN_UM)


def files(rng: np.random.Generator, tissue: Morphology, field_um: float, angle: float) -> Nuclei:
    """Return the nuclei of tumour cells in single file along the fibres."""
    lines = rng.poisson(tissue.files * (field_um / 100) ** 2)
    start = rng.uniform(-20, field_um + 20, (2, lines, 1))
    step = 2 * tissue.nuclear_radius * _FILE_STEP_DIAMETERS
    heading = angle + 0.25 * rng.standard_normal((lines, 1))
    heading = heading + np.cumsum(0.08 * rng.standard_normal((lines, _FILE_CELLS)), axis=1)
    x = start[0] + np.cumsum(step * np.cos(heading), axis=1)
    y = start[1] + np.cumsum(step * np.sin(heading), axis=1)
    along = np.full(x.size, angle)
    return epithelial(rng, tissue, x.ravel(), y.ravel(), along, 1.25)


def stromal_nuclei(
    rng: np.random.Generator, tissue: Morphology, field_um: float, angle: float
) -> Nuclei:
    """Return the nuclei of fibroblasts along the fibres and of lymphocytes anywhere."""
    per_density = (field_um / 100) ** 2
    counts = rng.poisson([tissue.spindles * per_density, tissue.lymphocytes * per_density])
    total = int(counts.sum())
    x, y = rng.uniform(0, field_um, (2, total))
    spindle = np.arange(total) < counts[0]
    nuclei = _plain(rng, x, y, angle + 0.25 * rng.standard_normal(total), (2.0, 2.0), 1.5)
    long = np.where(spindle, 4.2 * np.exp(0.25 * rng.standard_normal(total)), nuclei.long)
    short = np.where(spindle, 1.0 * np.exp(0.25 * rng.standard_normal(total)), nuclei.short)
    density = np.where(spindle, 0.7, 1.0) * nuclei.density
    return replace(nuclei, long=long, short=short, density=density)


def _plain(
    rng: np.random.Generator,
    x: Floats,
    y: Floats,
    angle: Floats,
    axes_um: tuple[float, float],
    density: float,
) -> Nuclei:
    count = len(x)
    size = np.exp(0.12 * rng.standard_normal((2, count)))
    zero = np.zeros(count)
    return Nuclei(
        x,
        y,
        axes_um[0] * size[0],
        axes_um[1] * size[1],
        angle,
        density * np.exp(0.12 * rng.standard_normal(count)),
        zero + 0.12,
        zero,
        zero,
        zero + 0.05,
        rng.random((count, 3)),
    )
