"""Morphology of simulated tissue, parametrised from benign to malignant.

Benign: small, even, spaced nuclei on a basement membrane, glands with a lumen, in lobules.
Malignant: large, pleomorphic, hyperchromatic, crowded nuclei without polarity, disrupted glands,
infiltrating nests and mitoses. Every quantity is interpolated between the two ends, so that
intermediate tissue exists and the classes overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Morphology:
    """Morphology of the tissue in one image."""

    glands: float  # glands per 100 µm × 100 µm inside a lobule
    gland_radius: float  # mean outer radius in µm
    lumen: float  # radius of the lumen as a share of the gland's
    elongation: float  # mean ratio of a gland's axes
    raggedness: float  # relative amplitude of the glands' outline
    disorder: float  # jitter of the glands' lattice as a share of its spacing
    layers: float  # mean number of nuclear layers around a lumen
    sheet: float  # share of the field covered by solid nests
    nest_um: float  # size of those nests
    files: float  # single files of tumour cells per 100 µm × 100 µm
    fronds: float  # share of the field covered by papillary fronds; the rest of them is empty
    mucin: float  # share of the field covered by pools of mucin
    clefts: float  # share of the field covered by leaf-like clefts
    nuclear_radius: float  # mean nuclear radius in µm
    pleomorphism: float  # standard deviation of the logarithm of the nuclear radius
    crowding: float  # distance between nuclear centres in nuclear diameters
    chromatin: float  # haematoxylin of a mean nucleus
    clumping: float  # relative amplitude of the chromatin texture
    nucleoli: float  # share of nuclei with a visible nucleolus
    mitoses: float  # share of nuclei in mitosis
    depolarised: float  # standard deviation of the nuclei's direction in rad
    irregular: float  # relative amplitude of the nuclear outline
    spindles: float  # stromal nuclei per 100 µm × 100 µm
    lymphocytes: float  # lymphocytes per 100 µm × 100 µm
    collagen: float  # eosin of the stroma


#: The two ends of the scale.
BENIGN_END = Morphology(
    glands=6.0,
    gland_radius=17.0,
    lumen=0.40,
    elongation=1.15,
    raggedness=0.04,
    disorder=0.07,
    layers=1.1,
    sheet=0.0,
    nest_um=11.0,
    files=0.0,
    fronds=0.0,
    mucin=0.0,
    clefts=0.0,
    nuclear_radius=2.9,
    pleomorphism=0.10,
    crowding=1.30,
    chromatin=1.05,
    clumping=0.15,
    nucleoli=0.04,
    mitoses=0.001,
    depolarised=0.25,
    irregular=0.04,
    spindles=22.0,
    lymphocytes=5.0,
    collagen=0.62,
)
MALIGNANT_END = replace(
    BENIGN_END,
    glands=2.6,
    gland_radius=15.0,
    lumen=0.25,
    elongation=1.45,
    raggedness=0.16,
    disorder=0.28,
    layers=2.3,
    sheet=0.42,
    files=0.8,
    nuclear_radius=4.3,
    pleomorphism=0.28,
    crowding=1.10,
    chromatin=1.35,
    clumping=0.30,
    nucleoli=0.45,
    mitoses=0.03,
    depolarised=1.1,
    irregular=0.16,
    lymphocytes=9.0,
    collagen=0.55,
)


def interpolate(malignancy: float) -> Morphology:
    """Return the morphology at ``malignancy``, in 0..1."""
    low, high = vars(BENIGN_END), vars(MALIGNANT_END)
    return Morphology(**{name: low[name] + malignancy * (high[name] - low[name]) for name in low})


def _adenosis(tissue: Morphology) -> Morphology:
    """More acini than normal, small and close together."""
    return replace(
        tissue,
        glands=tissue.glands * 1.9,
        gland_radius=tissue.gland_radius * 0.68,
        lumen=tissue.lumen * 0.75,
    )


def _fibroadenoma(tissue: Morphology) -> Morphology:
    """Pale, expanded stroma that compresses the ducts into slits."""
    return replace(
        tissue,
        glands=tissue.glands * 0.55,
        elongation=3.2,
        raggedness=tissue.raggedness * 0.5,
        spindles=tissue.spindles * 1.3,
        collagen=tissue.collagen * 0.72,
    )


def _phyllodes_tumor(tissue: Morphology) -> Morphology:
    """Leaf-like clefts in a cellular stroma."""
    return replace(
        tissue,
        glands=tissue.glands * 0.4,
        elongation=2.4,
        clefts=0.10,
        spindles=tissue.spindles * 2.6,
    )


def _tubular_adenoma(tissue: Morphology) -> Morphology:
    """Round, even tubules back to back with hardly any stroma."""
    return replace(
        tissue,
        glands=tissue.glands * 1.7,
        gland_radius=tissue.gland_radius * 0.82,
        elongation=1.05,
        disorder=tissue.disorder * 0.5,
        spindles=tissue.spindles * 0.5,
    )


def _ductal_carcinoma(tissue: Morphology) -> Morphology:
    """Solid nests and ragged glands: the common kind."""
    return replace(tissue, sheet=tissue.sheet * 1.1)


def _lobular_carcinoma(tissue: Morphology) -> Morphology:
    """Small, even cells in single file through the stroma."""
    return replace(
        tissue,
        glands=tissue.glands * 0.3,
        sheet=tissue.sheet * 0.25,
        files=tissue.files * 6.0 + 2.0,
        nuclear_radius=tissue.nuclear_radius * 0.85,
        pleomorphism=tissue.pleomorphism * 0.6,
    )


def _mucinous_carcinoma(tissue: Morphology) -> Morphology:
    """Clusters of cells floating in pools of pale mucin."""
    return replace(tissue, glands=tissue.glands * 0.3, sheet=tissue.sheet * 0.6, mucin=0.55)


def _papillary_carcinoma(tissue: Morphology) -> Morphology:
    """Fronds of crowded cells around thin cores, with empty space between."""
    return replace(
        tissue, glands=tissue.glands * 0.2, sheet=tissue.sheet * 0.15, fronds=0.55, layers=2.0
    )


#: Change of the morphology by each subtype.
TWEAKS: dict[str, Callable[[Morphology], Morphology]] = {
    "adenosis": _adenosis,
    "fibroadenoma": _fibroadenoma,
    "phyllodes_tumor": _phyllodes_tumor,
    "tubular_adenoma": _tubular_adenoma,
    "ductal_carcinoma": _ductal_carcinoma,
    "lobular_carcinoma": _lobular_carcinoma,
    "mucinous_carcinoma": _mucinous_carcinoma,
    "papillary_carcinoma": _papillary_carcinoma,
}


def malignancy(severity: float) -> float:
    """Map a severity (any number, 0 between the classes) to 0..1 by a sigmoid."""
    return float(1 / (1 + np.exp(-1.6 * severity)))
