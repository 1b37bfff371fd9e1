"""Morphology of simulated tissue, parametrised from benign to malignant.

Benign: small, even, spaced nuclei on a basement membrane, glands with a lumen, in lobules.
Malignant: large, pleomorphic, hyperchromatic, crowded nuclei without polarity, disrupted glands,
infiltrating nests and mitoses. Every quantity is interpolated between the two ends, so that
intermediate tissue exists and the classes overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Morphology:
    """Morphology of the tissue in one image; by default the benign end."""

    glands: float = 6.0  # glands per 100 µm × 100 µm inside a lobule
    gland_radius: float = 17.0  # mean outer radius in µm
    lumen: float = 0.40  # radius of the lumen as a share of the gland's
    elongation: float = 1.15  # mean ratio of a gland's axes
    raggedness: float = 0.04  # relative amplitude of the glands' outline
    disorder: float = 0.07  # jitter of the glands' lattice as a share of its spacing
    layers: float = 1.1  # mean number of nuclear layers around a lumen
    sheet: float = 0.0  # share of the field covered by solid nests
    nest_um: float = 11.0  # size of those nests
    files: float = 0.0  # single files of tumour cells per 100 µm × 100 µm
    fronds: float = 0.0  # share of the field covered by papillary fronds; the rest of them is empty
    mucin: float = 0.0  # share of the field covered by pools of mucin
    clefts: float = 0.0  # share of the field covered by leaf-like clefts
    nuclear_radius: float = 2.9  # mean nuclear radius in µm
    pleomorphism: float = 0.10  # standard deviation of the logarithm of the nuclear radius
    crowding: float = 1.30  # distance between nuclear centres in nuclear diameters
    chromatin: float = 1.05  # haematoxylin of a mean nucleus
    clumping: float = 0.15  # relative amplitude of the chromatin texture
    nucleoli: float = 0.04  # share of nuclei with a visible nucleolus
    mitoses: float = 0.001  # share of nuclei in mitosis
    depolarised: float = 0.25  # standard deviation of the nuclei's direction in rad
    irregular: float = 0.04  # relative amplitude of the nuclear outline
    spindles: float = 22.0  # stromal nuclei per 100 µm × 100 µm
    lymphocytes: float = 5.0  # lymphocytes per 100 µm × 100 µm
    collagen: float = 0.62  # eosin of the stroma


#: The two ends of the scale.
BENIGN_END = Morphology()
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


#: Change of the morphology by each subtype: a factor, and what is then added.
_TWEAKS: dict[str, dict[str, tuple[float, float]]] = {
    # More acini than normal, small and close together.
    "adenosis": {"glands": (1.9, 0), "gland_radius": (0.68, 0), "lumen": (0.75, 0)},
    # Pale, expanded stroma that compresses the ducts into slits.
    "fibroadenoma": {
        "glands": (0.55, 0),
        "elongation": (0, 3.2),
        "raggedness": (0.5, 0),
        "spindles": (1.3, 0),
        "collagen": (0.72, 0),
    },
    # Leaf-like clefts in a cellular stroma.
    "phyllodes_tumor": {
        "glands": (0.4, 0), "elongation": (0, 2.4), "clefts": (0, 0.10), "spindles": (2.6, 0),
    },
    # Round, even tubules back to back with hardly any stroma.
    "tubular_adenoma": {
        "glands": (1.7, 0),
        "gland_radius": (0.82, 0),
        "elongation": (0, 1.05),
        "disorder": (0.5, 0),
        "spindles": (0.5, 0),
    },
    # Solid nests and ragged glands: the common kind.
    "ductal_carcinoma": {"sheet": (1.1, 0)},
    # Small, even cells in single file through the stroma.
    "lobular_carcinoma": {
        "glands": (0.3, 0),
        "sheet": (0.25, 0),
        "files": (6.0, 2.0),
        "nuclear_radius": (0.85, 0),
        "pleomorphism": (0.6, 0),
    },
    # Clusters of cells floating in pools of pale mucin.
    "mucinous_carcinoma": {"glands": (0.3, 0), "sheet": (0.6, 0), "mucin": (0, 0.55)},
    # Fronds of crowded cells around thin cores, with empty space between.
    "papillary_carcinoma": {
        "glands": (0.2, 0), "sheet": (0.15, 0), "fronds": (0, 0.55), "layers": (0, 2.0),
    },
}  # fmt: skip


def tweak(tissue: Morphology, subtype: str) -> Morphology:
    """Return the morphology of a subtype."""
    changes = _TWEAKS[subtype].items()
    return replace(
        tissue, **{name: getattr(tissue, name) * f + more for name, (f, more) in changes}
    )


def malignancy(severity: float) -> float:
    """Map a severity (any number, 0 between the classes) to 0..1 by a sigmoid."""
    return float(1 / (1 + np.exp(-1.6 * severity)))
