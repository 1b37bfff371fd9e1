"""Importing this package registers every public data set, one a file."""

from eosin.datasets.download.source import SOURCES
from eosin.datasets.download.sources.breakhis import BREAKHIS
from eosin.datasets.download.sources.idc import IDC
from eosin.datasets.download.sources.lc25000 import LC25000
from eosin.datasets.download.sources.mcf7 import MCF7
from eosin.datasets.download.sources.mnist import MNIST
from eosin.datasets.download.sources.oei import OEI
from eosin.datasets.download.sources.pcam import PCAM
from eosin.datasets.download.sources.pcam_kaggle import PCAM_KAGGLE

for _source in (BREAKHIS, IDC, LC25000, MCF7, MNIST, OEI, PCAM, PCAM_KAGGLE):
    SOURCES.add(_source.name, _source)

__all__ = ["SOURCES"]
