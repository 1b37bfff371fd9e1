"""Simulated patients and the phantom's options: how many, how different, from which seed.

A patient has a class, a severity that depends on it, and a fingerprint that does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from eosin.core.errors import DataError
from eosin.core.seeding import generator
from eosin.data.phantom.camera import Optics, Scanner, Stain, draw_optics, draw_scanner, draw_stain

# With these the classes overlap: at contrast 1 the AUC of the patients' severities is Φ(2 · mean /
# (√2 · spread)).
_SEVERITY_MEAN = 1.1
_SEVERITY_SPREAD = 0.7
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
class Habit:
    """Patient's tissue independent of the class: part of the fingerprint."""

    nuclear_scale: float  # factor on nuclear radii
    chromatin: float  # factor on the nuclei's haematoxylin
    glandularity: float  # factor on the number of glands and the size of nests
    cellularity: float  # factor on the number of stromal nuclei
    collagen: float  # factor on the stroma's eosin
    fibre_length_um: float  # size of a pixel of the fibre texture along the fibres
    fibre_width_um: float  # its size across the fibres
    fibre_contrast: float  # relative amplitude of the fibres
    waviness_um: float  # amplitude of the fibres' waves
    gaps: float  # share of the stroma that is torn
    fat: float  # fat cells per 100 µm × 100 µm


@dataclass(frozen=True)
class Patient:
    """Simulated patient; draw one with :func:`draw_patient`."""

    number: int  # position in the data set, from 0
    label: str  # ``benign`` or ``malignant``
    subtype: str  # one of the label's four subtypes, or empty
    site: int  # scanner, from 0
    severity: float  # malignancy of the tissue; 0 lies between the classes
    stain: Stain  # stain of the patient, before the variation of sections
    optics: Optics  # focus and noise
    scanner: Scanner  # scanner of the site
    habit: Habit  # tissue independent of the class
    fingerprint: float  # strength of the fingerprint, as in the options
    seed: int  # seed of the data set

    @property
    def id(self) -> str:
        """Identifier of the patient, such as ``P0007``."""
        return f"P{self.number:04d}"

    @property
    def stain_matrix(self) -> npt.NDArray[np.float64]:
        """True stain vectors (2, 3): rows haematoxylin, eosin; columns R, G, B of optical density.

        Those of a section differ a little: ``section_stain(section).matrix``.
        """
        return self.stain.matrix

    def slide_id(self, section: int) -> str:
        """Return the identifier of a section, such as ``P0007-A``."""
        return f"{self.id}-{chr(ord('A') + section)}"

    def section_stain(self, section: int) -> Stain:
        """Return the true stain of one section, from 0; raises DataError if it is out of range."""
        if not 0 <= section < 26:
            raise DataError(f"`section` must be between 0 and 25, got {section}")
        return _section_stain(self, section)


def draw_patient(options: PhantomOptions, number: int) -> Patient:
    """Draw one patient, independent of ``options.patients`` and the order of drawing.

    ``number`` counts from 0 and may exceed ``options.patients``; DataError if it is negative.
    """
    if number < 0:
        raise DataError(f"`number` must be at least 0, got {number}")
    label, rank = _class_and_rank(options, number)
    # One random stream per trait, independent of the label: so is the fingerprint.
    fingerprint = options.fingerprint
    severity_rng = generator(options.seed, "phantom", "severity", number)
    side = 1.0 if label == MALIGNANT else -1.0
    names = SUBTYPES[label] if options.subtypes else ("",)
    site = _dealt(options.seed, f"site of {label}", rank, options.sites)
    return Patient(
        number=number,
        label=label,
        subtype=names[_dealt(options.seed, f"subtype of {label}", rank, len(names))],
        site=site,
        severity=side * _SEVERITY_MEAN * options.contrast
        + _SEVERITY_SPREAD * float(severity_rng.standard_normal()),
        stain=draw_stain(generator(options.seed, "phantom", "stain", number), fingerprint),
        optics=draw_optics(generator(options.seed, "phantom", "optics", number), fingerprint),
        scanner=draw_scanner(options.seed, site, options.sites),
        habit=_draw_habit(generator(options.seed, "phantom", "habit", number), fingerprint),
        fingerprint=fingerprint,
        seed=options.seed,
    )


def _class_and_rank(options: PhantomOptions, number: int) -> tuple[str, int]:
    """Return a patient's label and the number of earlier patients with that label.

    Labels are spread evenly (any first n patients have the right share, within one) and shuffled in
    pairs (odd and even numbers do not reveal them).
    """

    def malignant_before(count: int) -> int:
        return math.floor(count * options.malignant_fraction + 0.5)

    first = number - number % 2
    before = malignant_before(first)
    pair = [malignant_before(first + 1) - before, malignant_before(first + 2) - before]
    pair[1] -= pair[0]
    if generator(options.seed, "phantom", "pair", first).random() < 0.5:
        pair.reverse()
    malignant = before + (pair[0] if number % 2 else 0)
    if pair[number % 2]:
        return MALIGNANT, malignant
    return BENIGN, number - malignant


def _dealt(seed: int, use: str, rank: int, kinds: int) -> int:
    """Deal ``kinds`` cards in shuffled rounds and return the one at ``rank``."""
    rounds, place = divmod(rank, kinds)
    return int(generator(seed, "phantom", use, rounds).permutation(kinds)[place])


def _draw_habit(rng: np.random.Generator, amount: float) -> Habit:
    def scaled(mean: float, log_sd: float) -> float:
        return mean * math.exp(amount * log_sd * float(np.clip(rng.standard_normal(), -2, 2)))

    return Habit(
        nuclear_scale=scaled(1.0, 0.12),
        chromatin=scaled(1.0, 0.10),
        glandularity=scaled(1.0, 0.28),
        cellularity=scaled(1.0, 0.35),
        collagen=scaled(1.0, 0.18),
        fibre_length_um=scaled(1.4, 0.25),
        fibre_width_um=scaled(0.95, 0.30),
        fibre_contrast=scaled(0.30, 0.30),
        waviness_um=scaled(5.0, 0.40),
        gaps=min(scaled(0.10, 0.60), 0.3),
        fat=scaled(0.12, 0.80),
    )


@lru_cache(maxsize=256)
def _section_stain(patient: Patient, section: int) -> Stain:
    rng = generator(patient.seed, "phantom", "section", patient.number, section)
    return patient.stain.varied(rng, patient.fingerprint)


@dataclass(frozen=True)
class PhantomOptions:
    """Options of the phantom; equal options give the same images, bit for bit.

    Raises DataError for a value outside its range.
    """

    patients: int = 40  # at least 2
    #: Of each patient, in total: in turn over the magnifications, then over the sections.
    images_per_patient: int = 36
    size_px: int = 96  # side of the square images, 16 to 2048
    malignant_fraction: float = 0.5  # share of patients ``malignant``, between 0 and 1
    sections: int = 2  # slides of each patient, 1 to 26
    magnifications: tuple[str, ...] = ("100", "200")  # any of 40, 100, 200, 400
    subtypes: bool = False  # True to give each patient one of the eight BreakHis subtypes
    sites: int = 1  # scanners, over which the patients are spread evenly in each class
    contrast: float = 1.0  # between benign and malignant; 0: none, 1: overlapping
    #: Strength of a patient's mark that is independent of the class (stain, white point, focus,
    #: nuclear size, stroma); 0: none.
    fingerprint: float = 1.0
    seed: int = 0  # of everything, at least 0

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
            raise DataError(f"`malignant_fraction` must be between 0 and 1, got {fraction!r}")
        malignant = math.floor(self.patients * fraction + 0.5)
        if not 1 <= malignant <= self.patients - 1:
            raise DataError(
                f"`malignant_fraction` must give each class at least one patient, got {fraction} "
                f"of {self.patients}",
                hint="Move it towards 0.5, or raise `patients`",
            )

    def __len__(self) -> int:
        return self.patients * self.images_per_patient


def mpp(magnification: str, size_px: int) -> float:
    """Return the pixel spacing in µm of a patch of ``size_px`` at ``magnification``.

    Raises DataError if the magnification is unknown, or the size is outside its range.
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
        raise DataError(f"`{name}` must be between 0 and {_LARGEST_KNOB:g}, got {value!r}")


def _check_magnifications(values: Any) -> None:
    known = ", ".join(FIELD_UM)
    if not isinstance(values, tuple) or not values:
        raise DataError(f"`magnifications` must be a tuple of some of {known}, got {values!r}")
    for value in values:
        if not (isinstance(value, str) and value in FIELD_UM):
            raise DataError(f"`magnifications` must be of {known}, got {value!r}")
    if len(set(values)) < len(values):
        raise DataError(f"`magnifications` must not contain duplicates, got {values!r}")
