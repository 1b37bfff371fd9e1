"""A simulated H&E data set whose every truth is known: patients, stains, classes.

Nothing here is a patient. The images are simulated: stain amounts of glands, nests, stroma and
nuclei under the Beer–Lambert law, photographed by a simulated camera. The classes differ as
pathology says and overlap; each simulated patient leaves a fingerprint that is independent of the
class, so that a split by image flatters a model and a split by patient does not.
"""

from eosin.data.phantom.options import (
    FIELD_UM,
    LABELS,
    SUBTYPES,
    PhantomOptions,
    mpp,
)
from eosin.data.phantom.patients import Patient, draw_patient
from eosin.data.phantom.simulation import (
    PhantomPatch,
    render_concentrations,
    render_light,
    render_patch,
    simulate,
    write_phantom,
)

__all__ = [
    "FIELD_UM",
    "LABELS",
    "SUBTYPES",
    "Patient",
    "PhantomOptions",
    "PhantomPatch",
    "draw_patient",
    "mpp",
    "render_concentrations",
    "render_light",
    "render_patch",
    "simulate",
    "write_phantom",
]
