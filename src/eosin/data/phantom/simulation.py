"""Rendering of a simulated patient's images, and the phantom as a data set on disk."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as PillowImage

from eosin.core.errors import DataError
from eosin.core.files import write_bytes
from eosin.core.progress import progress_bar
from eosin.core.seeding import generator
from eosin.core.types import Image
from eosin.data.phantom.camera import expose, transmit
from eosin.data.phantom.fields import Float32, Grid
from eosin.data.phantom.patients import FIELD_UM, Patient, PhantomOptions, draw_patient, mpp
from eosin.data.phantom.tissue import concentration_map

_PNG_LEVEL = 1  # four times as fast as the default for a tenth more bytes


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
