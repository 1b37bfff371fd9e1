"""Importing this module registers every data set."""

from eosin.data.sources import breakhis, cells, folder, idc, lc25000, mnist, oei, pcam, pcam_kaggle
from eosin.data.sources import phantom as adapter
from eosin.data.sources.base import DATASETS

__all__ = [
    "DATASETS",
    "adapter",
    "breakhis",
    "cells",
    "folder",
    "idc",
    "lc25000",
    "mnist",
    "oei",
    "pcam",
    "pcam_kaggle",
]
