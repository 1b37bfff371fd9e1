"""Stain normalisation of brightfield images, fitted once and applied alike at prediction."""

from eosin.stain.base import METHODS, Normalised, Source, StainNormaliser, normaliser_of
from eosin.stain.macenko import Macenko
from eosin.stain.reinhard import Reinhard
from eosin.stain.sampling import find_ink
from eosin.stain.vahadane import Vahadane

__all__ = [
    "METHODS",
    "Macenko",
    "Normalised",
    "Reinhard",
    "Source",
    "StainNormaliser",
    "Vahadane",
    "find_ink",
    "normaliser_of",
]
