"""Importing this module registers every data set."""

from eosin.datasets import (
    breakhis,
    cells,
    folder,
    idc,
    lc25000,
    mnist,
    oei,
    pcam,
    pcam_kaggle,
)
from eosin.datasets.base import DATASETS
from eosin.datasets.phantom import adapter

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
