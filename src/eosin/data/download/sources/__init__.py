"""Importing this package registers every public data set, one a file."""

from eosin.data.download.source import SOURCES
from eosin.data.download.sources.breakhis import BREAKHIS
from eosin.data.download.sources.idc import IDC
from eosin.data.download.sources.lc25000 import LC25000
from eosin.data.download.sources.mcf7 import MCF7
from eosin.data.download.sources.mnist import MNIST
from eosin.data.download.sources.oei import OEI
from eosin.data.download.sources.pcam import PCAM
from eosin.data.download.sources.pcam_kaggle import PCAM_KAGGLE

for _source in (BREAKHIS, IDC, LC25000, MCF7, MNIST, OEI, PCAM, PCAM_KAGGLE):
    SOURCES.add(_source.name, _source)

__all__ = ["SOURCES"]
