"""From a simulated patient to a simulated photograph."""

from __future__ import annotations

import numpy as np

from eosin.core.errors import DataError
from eosin.core.seeding import generator
from eosin.core.types import Image
from eosin.data.phantom.camera import expose
from eosin.data.phantom.fields import Float32, Grid
from eosin.data.phantom.options import FIELD_UM, mpp
from eosin.data.phantom.patients import Patient
from eosin.data.phantom.staining import transmit
from eosin.data.phantom.tissue import concentration_map


def render_concentrations(
    patient: Patient, section: int, magnification: str, index: int, size_px: int
) -> Float32:
    """Return the true amounts of stain behind :func:`render_patch`.

    Args:
        patient: Whose tissue.
        section: Which of the patient's slides, from 0.
        magnification: One of the keys of ``FIELD_UM``.
        index: Which field, from 0.
        size_px: Side of the image.

    Returns:
        Haematoxylin and eosin, shape (size_px, size_px, 2), 0 or more.

    Raises:
        DataError: An argument outside its range.
    """
    mpp(magnification, size_px)  # refuses what is out of range
    if index < 0:
        raise DataError(f"`index` must be at least 0, got {index}")
    rng = _stream(patient, section, magnification, index, "tissue")
    return concentration_map(patient, Grid(FIELD_UM[magnification], size_px), rng)


def render_light(
    patient: Patient, section: int, magnification: str, index: int, size_px: int
) -> Float32:
    """Return the light that leaves the slide, before the camera: (S, S, 3) in 0..1.

    Its optical density against the section's white lies in the span of the section's stains.
    Arguments and errors as for :func:`render_concentrations`.
    """
    amounts = render_concentrations(patient, section, magnification, index, size_px)
    return transmit(amounts, patient.section_stain(section))


def render_patch(
    patient: Patient, section: int, magnification: str, index: int, size_px: int
) -> Image:
    """Return one simulated H&E photograph, shape (size_px, size_px, 3).

    It is a pure function of its arguments. The same field at another size shows the same tissue.
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
