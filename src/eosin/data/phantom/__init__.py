"""Phantom: simulated H&E images with known patients, stains and classes.

Nothing here is a patient. The images are stain concentrations of glands, nests, stroma and nuclei
under the Beer–Lambert law, seen by a simulated camera. The classes differ as in pathology and
overlap. Each simulated patient has a fingerprint independent of the class, so that a split by image
flatters a model and a split by patient does not.
"""

from eosin.data.phantom.patients import (
    FIELD_UM,
    LABELS,
    SUBTYPES,
    PhantomOptions,
    draw_patient,
    mpp,
)
from eosin.data.phantom.simulation import (
    render_concentrations,
    render_light,
    render_nuclei,
    render_patch,
    simulate,
    write_phantom,
)

__all__ = [
    "FIELD_UM",
    "LABELS",
    "SUBTYPES",
    "PhantomOptions",
    "draw_patient",
    "mpp",
    "render_concentrations",
    "render_light",
    "render_nuclei",
    "render_patch",
    "simulate",
    "write_phantom",
]
