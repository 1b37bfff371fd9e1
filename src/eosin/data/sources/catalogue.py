"""Importing this module registers every data set: each module of this package enters its own."""

from importlib import import_module
from pkgutil import iter_modules

from eosin.data import sources
from eosin.data.download.source import SOURCES
from eosin.data.sources.base import DATASETS

for _module in iter_modules(sources.__path__, f"{sources.__name__}."):
    import_module(_module.name)

__all__ = ["DATASETS", "SOURCES"]
