"""Simulation of a patient's images, from tissue to light, and the phantom as a data set on disk.

A field of tissue is composed of glands, nests, nuclei and stroma (fibres, tears, fat, clefts).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image as PillowImage
from scipy.special import ndtri

from eosin.core.errors import DataError
from eosin.core.files import write_bytes
from eosin.core.progress import progress_bar
from eosin.core.seeding import generator
from eosin.core.types import Image
from eosin.data.phantom import epithelium as cells
from eosin.data.phantom.camera import expose, transmit
from eosin.data.phantom.epithelium import Glands, draw_glands, paint_glands
from eosin.data.phantom.fields import Float32, Floats, Grid, SmoothField, sample_fibres
from eosin.data.phantom.morphology import Morphology, interpolate, malignancy, tweak
from eosin.data.phantom.nuclei import Nuclei, join, stamp
from eosin.data.phantom.patients import FIELD_UM, Habit, Patient, PhantomOptions, draw_patient, mpp

_PNG_LEVEL = 1  # four times as fast as the default for a tenth more bytes
_CLEFT_UM = 34.0
_TEAR_UM = 9.0
_FAT_RADIUS_UM = (14.0, 26.0)
_MEMBRANE_UM = 1.5
_SEVERITY_WOBBLE = 0.15  # from image to image of one patient
_FROND_UM = 26.0
_POOL_UM = 45.0


def render_concentrations(
    patient: Patient, section: int, magnification: str, index: int, size_px: int
) -> Float32:
    """Return the true stain concentrations behind :func:`render_patch`, haematoxylin and eosin.

    ``section`` and ``index``, the field, count from 0; ``magnification`` is a key of ``FIELD_UM``.
    Shape (size_px, size_px, 2), 0 or more. Raises DataError if an argument is outside its range.
    """
    mpp(magnification, size_px)  # raises if out of range
    if index < 0:
        raise DataError(f"`index` must be at least 0, got {index}")
    rng = _stream(patient, section, magnification, index, "tissue")
    return concentration_map(patient, Grid(FIELD_UM[magnification], size_px), rng)


def render_light(
    patient: Patient, section: int, magnification: str, index: int, size_px: int
) -> Float32:
    """Return the light behind the slide, before the camera: (S, S, 3) in 0..1.

    Its optical density relative to the section's white lies in the span of the section's stains.
    Arguments and errors as for :func:`render_concentrations`.
    """
    amounts = render_concentrations(patient, section, magnification, index, size_px)
    return transmit(amounts, patient.section_stain(section))


def render_patch(
    patient: Patient, section: int, magnification: str, index: int, size_px: int
) -> Image:
    """Return one simulated H&E image, shape (size_px, size_px, 3).

    A pure function of its arguments. The same field at another size shows the same tissue.
    Arguments and errors as for :func:`render_concentrations`.
    """
    light = render_light(patient, section, magnification, index, size_px)
    rng = _stream(patient, section, magnification, index, "exposure")
    return expose(light, patient.optics, patient.scanner, rng)


def render_nuclei(
    patient: Patient, section: int, magnification: str, index: int, size_px: int
) -> Float32:
    """Return the share of each pixel of :func:`render_patch` that nuclei cover, (S, S) in 0..1.

    Arguments and errors as for :func:`render_concentrations`.
    """
    mpp(magnification, size_px)  # raises if out of range
    rng = _stream(patient, section, magnification, index, "tissue")
    return draw_field(patient, Grid(FIELD_UM[magnification], size_px), rng).nuclear[0]


def _stream(
    patient: Patient, section: int, magnification: str, index: int, use: str
) -> np.random.Generator:
    return generator(
        patient.seed, "phantom", "patch", patient.number, section, magnification, index, use
    )


@dataclass(frozen=True, eq=False)
class PhantomPatch:
    """Simulated image and its row of the manifest."""

    image: Image  # pixels, shape (size_px, size_px, 3)
    path: str  # path that :func:`write_phantom` writes to, relative to the root, with ``/``
    label: str  # ``benign`` or ``malignant``
    subtype: str  # BreakHis subtype, or empty
    patient: str  # simulated patient, such as ``P0007``
    group: str  # unit that must not cross a split: the patient
    slide: str  # simulated section, such as ``P0007-A``
    magnification: str  # nominal magnification, such as ``200``
    mpp: float  # pixel spacing in µm, the same along both axes
    site: str  # simulated scanner, such as ``site-0``


def simulate(options: PhantomOptions) -> Iterator[PhantomPatch]:
    """Yield the images one by one, patient after patient; nothing is kept in memory."""
    for number in range(options.patients):
        patient = draw_patient(options, number)
        for index in range(options.images_per_patient):
            yield _patch(options, patient, index)


def write_phantom(options: PhantomOptions, root: Path) -> pd.DataFrame:
    """Write the images as PNG under ``root``, each atomically.

    Files of the same names are replaced. They lie in
    ``<label>/<patient>/<slide>-<magnification>-<index>.png``. Returns one row per image: path
    (relative to ``root``), label, patient, group, slide, magnification, mpp; with several sites
    also site, with subtypes also subtype. Raises OutputError if a file cannot be written.
    """
    rows = []
    with progress_bar("Simulating patches") as advance:
        for done, patch in enumerate(simulate(options), start=1):
            write_bytes(Path(root) / patch.path, _png(patch.image), durable=False)
            rows.append(_row(options, patch))
            advance(done, len(options))
    return pd.DataFrame(rows)


def _patch(options: PhantomOptions, patient: Patient, index: int) -> PhantomPatch:
    turn, place = divmod(index, len(options.magnifications))
    magnification = options.magnifications[place]
    section = turn % options.sections
    slide = patient.slide_id(section)
    return PhantomPatch(
        image=render_patch(patient, section, magnification, index, options.size_px),
        path=f"{patient.label}/{patient.id}/{slide}-{magnification}-{index:03d}.png",
        label=patient.label,
        subtype=patient.subtype,
        patient=patient.id,
        group=patient.id,
        slide=slide,
        magnification=magnification,
        mpp=mpp(magnification, options.size_px),
        site=f"site-{patient.site}",
    )


def _row(options: PhantomOptions, patch: PhantomPatch) -> dict[str, Any]:
    names = ["path", "label", "patient", "group", "slide", "magnification", "mpp"]
    names += ["site"] if options.sites > 1 else []
    names += ["subtype"] if options.subtypes else []
    return {name: getattr(patch, name) for name in names}


def _png(image: Image) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(image).save(stream, format="PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()


def level_set(field: SmoothField, grid: Grid, share: float) -> Float32:
    """Return the region where a field exceeds its upper ``share`` quantile: (S, S) in 0..1."""
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
    # Fat is clustered: most fields have none, a few have many cells.
    per_density = (grid.field_um / 100) ** 2
    count = rng.poisson(habit.fat * per_density * 3 * rng.gamma(0.5, 2.0))
    reach = _FAT_RADIUS_UM[0]
    centres = rng.uniform(-reach, grid.field_um + reach, (count, 2))
    for centre, radius in zip(centres, rng.uniform(*_FAT_RADIUS_UM, count), strict=True):
        _add_fat_cell(empty, grid, centre[0], centre[1], radius)
    return empty


def _add_fat_cell(empty: Float32, grid: Grid, x_um: float, y_um: float, radius_um: float) -> None:
    """Clear a disc in place, with a ring of membrane between it and its neighbours."""
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
    # Low power shows fibre stacks, not fibres: never finer than the pixels resolve.
    width = np.float32(1 / max(habit.fibre_width_um, 0.8 * grid.mpp))
    length = np.float32(1 / max(habit.fibre_length_um, 0.8 * grid.mpp))
    start = rng.uniform(0, 256, 2).astype(np.float32)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = (axis[None, :] * cosine + axis[:, None] * sine) * length + start[0]
    across = (axis[:, None] * cosine - axis[None, :] * sine + swing) * width + start[1]
    return sample_fibres(along.astype(np.float32), across.astype(np.float32))


@dataclass(frozen=True)
class Canvas:
    """Compartments of a field; every map has shape (S, S)."""

    epithelium: Float32  # coverage by epithelium or tumour, 0..1
    empty: Float32  # coverage by lumens, gaps and fat, which do not stain, 0..1
    eosin: Float32  # eosin of what fills the empty space (secretion)
    mucin: Float32  # coverage by pools of mucin, 0..1
    grid: Grid

    def free(self, nuclei: Nuclei, highest_epithelium: float) -> Nuclei:
        """Return the nuclei that lie neither in empty space nor in too much epithelium."""
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
    """Draw one image's morphology and malignancy (0..1) from the patient's severity and habit."""
    level = malignancy(patient.severity + _SEVERITY_WOBBLE * rng.standard_normal())
    tissue = interpolate(level)
    if patient.subtype:
        tissue = tweak(tissue, patient.subtype)
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


@dataclass(frozen=True)
class Field:
    """Field of tissue before it is stained."""

    canvas: Canvas
    tissue: Morphology
    nuclear: tuple[Float32, Float32]  # coverage by nuclei in 0..1 and their haematoxylin, (S, S)
    fibres: Float32  # of the stroma, (S, S)
    thickness: Float32  # factor on all stain, (S, S)


def draw_field(patient: Patient, grid: Grid, rng: np.random.Generator) -> Field:
    """Draw the glands, nests, nuclei and stroma of one field of tissue."""
    tissue, level = draw_morphology(patient, rng)
    angle = float(rng.uniform(0, np.pi))
    fibres = draw_fibres(patient.habit, grid, angle, rng)
    unevenness = SmoothField.draw(rng, 60.0, waves=8).on(grid)
    thickness = np.exp(0.10 * unevenness + 0.05 * rng.standard_normal())
    canvas, lining = _grow(patient.habit, tissue, level, grid, rng)
    populations = [canvas.free(lining, 1.0)]
    if tissue.files > 0:
        populations.append(canvas.free(cells.files(rng, tissue, grid.field_um, angle), 1.0))
    stromal = cells.stromal_nuclei(rng, tissue, grid.field_um, angle)
    populations.append(canvas.free(stromal, 0.3))
    return Field(canvas, tissue, stamp(join(populations), grid), fibres, thickness)


def concentration_map(patient: Patient, grid: Grid, rng: np.random.Generator) -> Float32:
    """Draw the haematoxylin and eosin of one field of tissue, shape (S, S, 2), 0 or more.

    The draws depend on the field only, never on its pixels: the same random stream gives the same
    tissue at any size.
    """
    field = draw_field(patient, grid, rng)
    return _stained(
        field.canvas, field.tissue, patient.habit, field.nuclear, field.fibres, field.thickness
    )


def _grow(
    habit: Habit, tissue: Morphology, level: float, grid: Grid, rng: np.random.Generator
) -> tuple[Canvas, Nuclei]:
    """Draw glands, nests and empty space, with the nuclei that line or fill them."""
    richness = habit.glandularity * float(np.exp(0.25 * rng.standard_normal()))
    glands = draw_glands(rng, tissue, grid.field_um, richness)
    epithelium, lumen, secretion = paint_glands(glands, grid)
    gaps = draw_gaps(habit, tissue, grid, rng)
    mucin = np.zeros_like(epithelium)
    if tissue.mucin > 0:
        mucin = level_set(SmoothField.draw(rng, _POOL_UM), grid, tissue.mucin)
    places = cells.lattice_places(rng, tissue, grid.field_um)
    solid = np.zeros(len(places[0]), dtype=bool)
    if tissue.sheet > 0.01:
        nests = SmoothField.draw(rng, tissue.nest_um * 1.6)
        epithelium = np.maximum(epithelium, level_set(nests, grid, tissue.sheet))
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
    """Return papillae, the empty space between them, and a mask of positions in papillae."""
    field = SmoothField.draw(rng, _FROND_UM)
    half = ndtri(0.5 + tissue.fronds / 2)
    ridge = np.abs(field.on(grid))
    slope = np.float32(8.0 / grid.softness_um)
    frond = np.clip((np.float32(half) - ridge) * slope + np.float32(0.5), 0, 1)
    # A thin fibrovascular core stays
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
    """Return the stain concentrations of all compartments, (S, S, 2)."""
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
