"""Convolutional networks on NumPy alone: P3's engine, at library speed.

Read in this order: :mod:`~eosin.engine.layers`, :mod:`~eosin.engine.convolution`,
:mod:`~eosin.engine.pooling`, :mod:`~eosin.engine.normalisation`, :mod:`~eosin.engine.losses`,
:mod:`~eosin.engine.optimisers`, :mod:`~eosin.engine.training`, :mod:`~eosin.engine.network`.
"""

from eosin.engine.architectures import ARCHITECTURES, light_cnn, mnist_cnn
from eosin.engine.convolution import Conv2d
from eosin.engine.layers import Dense, Dropout, Flatten, Layer, LeakyReLU, ReLU
from eosin.engine.losses import cross_entropy, softmax
from eosin.engine.network import Network, evaluate
from eosin.engine.normalisation import BatchNorm
from eosin.engine.optimisers import SGD, Adam, Optimiser
from eosin.engine.pooling import MaxPool2d
from eosin.engine.training import EarlyStopping, Plan, Schedule, shuffled

__all__ = [
    "ARCHITECTURES",
    "SGD",
    "Adam",
    "BatchNorm",
    "Conv2d",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "Layer",
    "LeakyReLU",
    "MaxPool2d",
    "Network",
    "Optimiser",
    "Plan",
    "ReLU",
    "Schedule",
    "cross_entropy",
    "evaluate",
    "light_cnn",
    "mnist_cnn",
    "shuffled",
    "softmax",
]
