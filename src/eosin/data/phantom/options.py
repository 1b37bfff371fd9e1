"""Options of the phantom and their ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from eosin.core.errors import DataError

BENIGN = "benign"
MALIGNANT = "malignant"
LABELS = (BENIGN, MALIGNANT)

#: The eight subtypes of BreakHis (Spanhol et al. 2016), by label.
SUBTYPES = {
    BENIGN: ("adenosis", "fibroadenoma", "phyllodes_tumor", "tubular_adenoma"),
    MALIGNANT: (
        "ductal_carcinoma",
        "lobular_carcinoma",
        "mucinous_carcinoma",
        "papillary_carcinoma",
    ),
}

#: Side of the square field of a patch, by nominal magnification. A patch is the whole field
#: resampled to ``size_px``: at 96 px the spacings are 5, 2, 1 and 0.5 µm per px.
FIELD_UM = {"40": 480.0, "100": 192.0, "200": 96.0, "400": 48.0}

_SMALLEST_PX = 16
_LARGEST_PX = 2048
_LARGEST_KNOB = 10.0
_LARGEST_COUNT, _LARGEST_SEED = 1_000_000, 2**63 - 1
_MOST_SECTIONS = 26  # a slide id ends in one letter


@dataclass(frozen=True)
class PhantomOptions:
    """Options of the phantom; equal options give the same images, bit for bit.

    Args:
        patients: Number of patients, at least 2.
        images_per_patient: Total number of images of each patient, distributed in turn over the
            magnifications, then over the sections.
        size_px: Side of the square images, 16 to 2048.
        malignant_fraction: Share of patients with the label ``malignant``, between 0 and 1.
        sections: Slides of each patient, 1 to 26.
        magnifications: Any of ``"40"``, ``"100"``, ``"200"``, ``"400"``.
        subtypes: Give each patient one of the eight BreakHis subtypes.
        sites: Number of scanners, over which the patients are spread evenly in each class.
        contrast: Difference between benign and malignant; 0: none, 1: overlapping.
        fingerprint: Strength of a patient's mark that is independent of the class (stain, white
            point, focus, nuclear size, stroma); 0: none.
        seed: Seed of everything, at least 0.

    Raises:
        DataError: A value is outside its range.
    """

    patients: int = 40
    images_per_patient: int = 36
    size_px: int = 96
    malignant_fraction: float = 0.5
    sections: int = 2
    magnifications: tuple[str, ...] = ("100", "200")
    subtypes: bool = False
    sites: int = 1
    contrast: float = 1.0
    fingerprint: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _check_count("patients", self.patients, 2, _LARGEST_COUNT)
        _check_count("images_per_patient", self.images_per_patient, 1, _LARGEST_COUNT)
        _check_count("size_px", self.size_px, _SMALLEST_PX, _LARGEST_PX)
        _check_count("sections", self.sections, 1, _MOST_SECTIONS)
        _check_count("sites", self.sites, 1, _LARGEST_COUNT)
        _check_count("seed", self.seed, 0, _LARGEST_SEED)
        _check_knob("contrast", self.contrast)
        _check_knob("fingerprint", self.fingerprint)
        _check_magnifications(self.magnifications)
        self._check_classes()

    def _check_classes(self) -> None:
        fraction = self.malignant_fraction
        if not (_is_number(fraction) and 0 < fraction < 1):
            raise DataError(f"`malignant_fraction` must lie between 0 and 1, got {fraction!r}")
        malignant = math.floor(self.patients * fraction + 0.5)
        if not 1 <= malignant <= self.patients - 1:
            raise DataError(
                f"`malignant_fraction` must leave both classes a patient, got {fraction} of "
                f"{self.patients}",
                hint="Move it towards 0.5, or raise `patients`",
            )

    def __len__(self) -> int:
        return self.patients * self.images_per_patient


def mpp(magnification: str, size_px: int) -> float:
    """Return the pixel spacing in µm of a patch of ``size_px`` at ``magnification``.

    Raises:
        DataError: The magnification is unknown, or the size is outside its range.
    """
    _check_magnifications((magnification,))
    _check_count("size_px", size_px, _SMALLEST_PX, _LARGEST_PX)
    return FIELD_UM[magnification] / size_px


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) < math.inf


def _check_count(name: str, value: Any, low: int, high: int | None = None) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise DataError(f"`{name}` must be a whole number, got {value!r}")
    if value < low:
        raise DataError(f"`{name}` must be at least {low}, got {value}")
    if high is not None and value > high:
        raise DataError(f"`{name}` must be at most {high}, got {value}")


def _check_knob(name: str, value: Any) -> None:
    if not (_is_number(value) and 0 <= value <= _LARGEST_KNOB):
        raise DataError(f"`{name}` must lie between 0 and {_LARGEST_KNOB:g}, got {value!r}")


def _check_magnifications(values: Any) -> None:
    known = ", ".join(FIELD_UM)
    if not isinstance(values, tuple) or not values:
        raise DataError(f"`magnifications` must be a tuple of some of {known}, got {values!r}")
    for value in values:
        if not (isinstance(value, str) and value in FIELD_UM):
            raise DataError(f"`magnifications` must be of {known}, got {value!r}")
    if len(set(values)) < len(values):
        raise DataError(f"`magnifications` must not repeat itself, got {values!r}")
