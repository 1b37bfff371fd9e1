"""Simulated tissue: glands, nests and stroma put together into a map of both stains."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from eosin.data.phantom import cells, stroma
from eosin.data.phantom.fields import Float32, Floats, Grid, SmoothField
from eosin.data.phantom.glands import Glands, draw_glands, paint_glands
from eosin.data.phantom.morphology import TWEAKS, Morphology, interpolate, malignancy
from eosin.data.phantom.nuclei import Nuclei, join, stamp
from eosin.data.phantom.patients import Habit, Patient

_SEVERITY_WOBBLE = 0.15  # from image to image of one patient
_FROND_UM = 26.0
_POOL_UM = 45.0


@dataclass(frozen=True)
class Canvas:
    """A field on its way to a picture; every map has shape (S, S).

    Attributes:
        epithelium: Coverage by epithelium or tumour, 0..1.
        empty: Coverage by lumens, gaps, fat: nothing that stains, 0..1.
        eosin: Eosin of what fills the emptiness (secretion).
        mucin: Coverage by pools of mucin, 0..1.
        grid: The pixels.
    """

    epithelium: Float32
    empty: Float32
    eosin: Float32
    mucin: Float32
    grid: Grid

    def free(self, nuclei: Nuclei, highest_epithelium: float) -> Nuclei:
        """Return the nuclei that lie neither in emptiness nor in too much epithelium."""
        last, mpp = self.grid.size_px - 1, self.grid.mpp
        column = np.clip((nuclei.x / mpp).astype(np.int64), 0, last)
        row = np.clip((nuclei.y / mpp).astype(np.int64), 0, last)
        keep = (self.empty[row, column] < 0.4) & (
            self.epithelium[row, column] <= highest_epithelium
        )
        if highest_epithelium < 1:
            keep &= self.mucin[row, column] < 0.4
        return nuclei.where(keep)


def draw_morphology(patient: Patient, rng: np.random.Generator) -> tuple[Morphology, float]:
    """Draw one image's tissue: the patient's severity and habit, and some chance.

    Returns:
        The tissue and its malignancy in 0..1.
    """
    level = malignancy(patient.severity + _SEVERITY_WOBBLE * rng.standard_normal())
    tissue = interpolate(level)
    if patient.subtype:
        tissue = TWEAKS[patient.subtype](tissue)
    habit = patient.habit
    chance = np.exp(np.array([0.05, 0.06, 0.30, 0.10, 0.20]) * rng.standard_normal(5))
    tissue = replace(
        tissue,
        nuclear_radius=tissue.nuclear_radius * habit.nuclear_scale * chance[0],
        chromatin=tissue.chromatin * habit.chromatin * chance[1],
        spindles=tissue.spindles * habit.cellularity * chance[2],
        lymphocytes=tissue.lymphocytes * habit.cellularity * rng.gamma(1.2, 1 / 1.2),
        collagen=tissue.collagen * habit.collagen * chance[3],
        sheet=min(tissue.sheet * habit.glandularity * chance[4], 0.9),
    )
    return tissue, level


def concentration_map(patient: Patient, grid: Grid, rng: np.random.Generator) -> Float32:
    """Grow one field of tissue.

    What is drawn depends on the field alone, never on its pixels: the same stream gives the same
    tissue at any size.

    Args:
        patient: Whose.
        grid: The field and its pixels.
        rng: Source of this field's randomness.

    Returns:
        Haematoxylin and eosin, shape (S, S, 2), 0 or more.
    """
    tissue, level = draw_morphology(patient, rng)
    angle = float(rng.uniform(0, np.pi))
    fibres = stroma.draw_fibres(patient.habit, grid, angle, rng)
    unevenness = SmoothField.draw(rng, 60.0, waves=8).on(grid)
    thickness = np.exp(0.10 * unevenness + 0.05 * rng.standard_normal())
    canvas, lining = _grow(patient.habit, tissue, level, grid, rng)
    populations = [canvas.free(lining, 1.0)]
    if tissue.files > 0:
        populations.append(canvas.free(cells.files(rng, tissue, grid.field_um, angle), 1.0))
    stromal = cells.stromal_nuclei(rng, tissue, grid.field_um, angle)
    populations.append(canvas.free(stromal, 0.3))
    nuclear = stamp(join(populations), grid)
    return _stained(canvas, tissue, patient.habit, nuclear, fibres, thickness)


def _grow(
    habit: Habit, tissue: Morphology, level: float, grid: Grid, rng: np.random.Generator
) -> tuple[Canvas, Nuclei]:
    """Grow glands, nests and what is empty, with the nuclei that line or fill them."""
    richness = habit.glandularity * float(np.exp(0.25 * rng.standard_normal()))
    glands = draw_glands(rng, tissue, grid.field_um, richness)
    epithelium, lumen, secretion = paint_glands(glands, grid)
    gaps = stroma.draw_gaps(habit, tissue, grid, rng)
    mucin = np.zeros_like(epithelium)
    if tissue.mucin > 0:
        mucin = stroma.level_set(SmoothField.draw(rng, _POOL_UM), grid, tissue.mucin)
    places = cells.lattice_places(rng, tissue, grid.field_um)
    solid = np.zeros(len(places[0]), dtype=bool)
    if tissue.sheet > 0.01:
        nests = SmoothField.draw(rng, tissue.nest_um * 1.6)
        epithelium = np.maximum(epithelium, stroma.level_set(nests, grid, tissue.sheet))
        solid |= nests.at(*places) > ndtri(1 - tissue.sheet)
    if tissue.fronds > 0:
        fronds, between, inside = _fronds(tissue, grid, places, rng)
        epithelium = np.maximum(epithelium, fronds)
        gaps = np.maximum(gaps, between)
        solid |= inside
    empty = np.maximum(lumen, gaps * (1 - epithelium))
    canvas = Canvas(epithelium, empty, secretion, mucin * (1 - epithelium), grid)
    filled = (places[0][solid], places[1][solid])
    return canvas, _lining(tissue, level, glands, filled, rng)


def _lining(
    tissue: Morphology,
    level: float,
    glands: Glands,
    filled: tuple[Floats, Floats],
    rng: np.random.Generator,
) -> Nuclei:
    jumbled = rng.uniform(0, np.pi, len(filled[0]))
    return join(
        [
            cells.ring_nuclei(rng, tissue, glands),
            cells.myoepithelial_nuclei(rng, glands, level),
            cells.epithelial(rng, tissue, *filled, jumbled, 1.25),
        ]
    )


def _fronds(
    tissue: Morphology, grid: Grid, places: tuple[Floats, Floats], rng: np.random.Generator
) -> tuple[Float32, Float32, npt.NDArray[np.bool_]]:
    """Return papillae, the empty space between them, and which places lie in papillae."""
    field = SmoothField.draw(rng, _FROND_UM)
    half = ndtri(0.5 + tissue.fronds / 2)
    ridge = np.abs(field.on(grid))
    slope = np.float32(8.0 / grid.softness_um)
    frond = np.clip((np.float32(half) - ridge) * slope + np.float32(0.5), 0, 1)
    # A thin fibrovascular core stays stroma.
    core = np.clip((ridge - np.float32(0.12)) * slope + np.float32(0.5), 0, 1)
    value = np.abs(field.at(*places))
    return frond * core, 1 - frond, (value < half * 0.95) & (value > 0.16)


def _stained(
    canvas: Canvas,
    tissue: Morphology,
    habit: Habit,
    nuclear: tuple[Float32, Float32],
    fibres: Float32,
    thickness: Float32,
) -> Float32:
    """Let each compartment take up its stains: (S, S, 2)."""
    cover, chromatin = nuclear
    epithelium, solid = canvas.epithelium, 1 - canvas.empty
    matrix = (1 - epithelium) * (1 - canvas.mucin)
    collagen = np.maximum(1 + np.float32(habit.fibre_contrast) * fibres, 0.15)
    grain = 1 + 0.10 * fibres
    eosin = tissue.collagen * matrix * collagen + 0.42 * epithelium * grain
    eosin = eosin * solid * (1 - 0.65 * cover) + canvas.eosin
    haematoxylin = (0.04 * matrix * collagen + 0.20 * epithelium * grain) * solid
    haematoxylin += 0.09 * canvas.mucin * (1 + 0.3 * fibres)
    haematoxylin = haematoxylin * (1 - cover) + chromatin
    amounts = np.empty((*cover.shape, 2), dtype=np.float32)
    np.multiply(haematoxylin, thickness, out=amounts[..., 0])
    np.multiply(eosin, thickness, out=amounts[..., 1])
    np.maximum(amounts, 0, out=amounts)
    return amounts
