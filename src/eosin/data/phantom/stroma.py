"""Simulated stroma: fibres, tears, fat and clefts."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from eosin.data.phantom.fields import Float32, Grid, SmoothField, sample_fibres
from eosin.data.phantom.morphology import Morphology
from eosin.data.phantom.patients import Habit

_CLEFT_UM = 34.0
_TEAR_UM = 9.0
_FAT_RADIUS_UM = (14.0, 26.0)
_MEMBRANE_UM = 1.5


def level_set(field: SmoothField, grid: Grid, share: float) -> Float32:
    """Return where a field exceeds the level that ``share`` of the plane does: (S, S) in 0..1."""
    level = np.float32(ndtri(1 - share))
    slope = np.float32(8.0 / grid.softness_um)
    mask: Float32 = np.clip((field.on(grid) - level) * slope + np.float32(0.5), 0, 1)
    return mask


def draw_gaps(habit: Habit, tissue: Morphology, grid: Grid, rng: np.random.Generator) -> Float32:
    """Return tears, clefts and fat cells: coverage (S, S) in 0..1."""
    share = float(np.clip(habit.gaps * rng.gamma(1.5, 1 / 1.5), 0.002, 0.4))
    empty = level_set(SmoothField.draw(rng, _TEAR_UM, stretch=3.5), grid, share)
    if tissue.clefts > 0:
        ridge = np.abs(SmoothField.draw(rng, _CLEFT_UM, stretch=2.0).on(grid))
        width = np.float32(ndtri(0.5 + tissue.clefts / 2))
        empty = np.maximum(empty, np.clip((width - ridge) * 12, 0, 1))
    # Fat comes in clumps: most fields have none, a few have many cells.
    per_density = (grid.field_um / 100) ** 2
    count = rng.poisson(habit.fat * per_density * 3 * rng.gamma(0.5, 2.0))
    reach = _FAT_RADIUS_UM[0]
    centres = rng.uniform(-reach, grid.field_um + reach, (count, 2))
    for centre, radius in zip(centres, rng.uniform(*_FAT_RADIUS_UM, count), strict=True):
        _add_fat_cell(empty, grid, centre[0], centre[1], radius)
    return empty


def _add_fat_cell(empty: Float32, grid: Grid, x_um: float, y_um: float, radius_um: float) -> None:
    """Empty a disc in place, and keep a ring of membrane between it and its neighbours."""
    spans = []
    for centre in (y_um, x_um):
        low = int((centre - radius_um - _MEMBRANE_UM) / grid.mpp) - 1
        high = int((centre + radius_um + _MEMBRANE_UM) / grid.mpp) + 2
        spans.append(slice(max(low, 0), max(high, 0)))
    part = empty[spans[0], spans[1]]
    axis = grid.axis_um
    distance = np.hypot(
        axis[None, spans[1]] - np.float32(x_um), axis[spans[0], None] - np.float32(y_um)
    )
    inward = (np.float32(radius_um) - distance) / np.float32(grid.softness_um)
    wall = distance < np.float32(radius_um + _MEMBRANE_UM)
    np.copyto(part, np.clip(inward + np.float32(0.5), 0, 1), where=wall)


def draw_fibres(habit: Habit, grid: Grid, angle: float, rng: np.random.Generator) -> Float32:
    """Return the fibres of the stroma: zero mean, unit variance, (S, S); ``angle`` in rad."""
    axis = grid.axis_um
    swing = habit.waviness_um * SmoothField.draw(rng, 24.0, waves=8).on(grid)
    # At low power one sees bundles, not fibres: never finer than the pixels carry.
    width = np.float32(1 / max(habit.fibre_width_um, 0.8 * grid.mpp))
    length = np.float32(1 / max(habit.fibre_length_um, 0.8 * grid.mpp))
    start = rng.uniform(0, 256, 2).astype(np.float32)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = (axis[None, :] * cosine + axis[:, None] * sine) * length + start[0]
    across = (axis[:, None] * cosine - axis[None, :] * sine + swing) * width + start[1]
    return sample_fibres(along.astype(np.float32), across.astype(np.float32))
