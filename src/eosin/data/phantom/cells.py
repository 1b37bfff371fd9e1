"""Where the simulated nuclei lie: around lumens, in nests, in single file, in the stroma."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eosin.data.phantom.fields import Floats, lattice
from eosin.data.phantom.glands import Glands
from eosin.data.phantom.morphology import Morphology
from eosin.data.phantom.nuclei import Nuclei

_MARGIN_UM = 6.0
_FILE_STEP_DIAMETERS = 1.15
_FILE_CELLS = 9


def epithelial(
    rng: np.random.Generator, tissue: Morphology, x: Floats, y: Floats, angle: Floats, aspect: float
) -> Nuclei:
    """Give epithelial or tumour cells at (N,) places and directions their nuclei."""
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
    """Line the lumens: basal, side by side and upright where polarity is kept."""
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
    """Flatten a second layer against the basement membrane; invasion loses it."""
    counts = np.rint(2 * np.pi * glands.radius / 13.0 * (1 - malignancy)).astype(np.int64)
    which = np.repeat(np.arange(len(glands)), counts)
    theta = rng.uniform(0, 2 * np.pi, len(which))
    x, y, outward = glands.place(which, theta, np.full(len(which), 0.99))
    return _plain(rng, x, y, outward + np.pi / 2, (2.9, 1.0), 1.0)


def lattice_places(
    rng: np.random.Generator, tissue: Morphology, field_um: float
) -> tuple[Floats, Floats]:
    """Return places for the nuclei of solid tissue, crowded as the tissue is."""
    spacing = 2 * tissue.nuclear_radius * tissue.crowding * 1.12
    return lattice(rng, field_um, spacing, 0.10 + 0.35 * tissue.disorder, _MARGIN_UM)


def files(rng: np.random.Generator, tissue: Morphology, field_um: float, angle: float) -> Nuclei:
    """Let tumour cells march in single file along the fibres."""
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
    """Scatter fibroblasts along the fibres and lymphocytes anywhere."""
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
