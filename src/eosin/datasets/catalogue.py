"""Importing this module registers every data set."""

from eosin.datasets import breakhis, folder
from eosin.datasets.base import DATASETS
from eosin.datasets.phantom import adapter

__all__ = ["DATASETS", "adapter", "breakhis", "folder"]
