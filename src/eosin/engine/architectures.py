"""P3's two networks.

Source: P3, sections 2.2.2 and 2.3.3; gaps of the thesis are filled as in
:mod:`eosin.networks.light_cnn`.
"""

from __future__ import annotations

import numpy as np

from eosin.core.registry import check_choice
from eosin.engine.convolution import Conv2d
from eosin.engine.layers import Dense, Flatten, LeakyReLU, ReLU
from eosin.engine.network import Network
from eosin.engine.normalisation import BatchNorm
from eosin.engine.pooling import MaxPool2d

_ACTIVATIONS = {"relu": ReLU, "leaky_relu": LeakyReLU}


def light_cnn(
    num_classes: int = 2,
    input_px: int = 224,
    in_channels: int = 3,
    *,
    activation: str = "relu",
    hidden_activation: str = "none",
    seed: int = 0,
    dtype: type[np.floating] = np.float32,
) -> Network:
    """Return the BreakHis network: 319,106 parameters at two classes and 224 pixels.

    ``activation`` follows each convolution: ``relu``, or ``leaky_relu`` of slope 0.01 (P3's future
    work). ``hidden_activation`` follows the hidden dense layer: ``none`` or ``relu``.
    """
    check_choice("activation", activation, tuple(_ACTIVATIONS))
    check_choice("hidden_activation", hidden_activation, ("none", "relu"))
    active = _ACTIVATIONS[activation]
    layers = [
        Conv2d(16, 3, stride=4),  # (56, 56, 16)
        active(),
        BatchNorm(),
        Conv2d(32, 3, stride=2),  # (27, 27, 32)
        active(),
        BatchNorm(),
        MaxPool2d(2),  # (13, 13, 32)
        Conv2d(64, 3, stride=2),  # (6, 6, 64)
        active(),
        BatchNorm(),
        Flatten(),  # (2304,)
        Dense(128),
        *([ReLU()] if hidden_activation == "relu" else []),
        Dense(num_classes),
    ]
    return Network(layers, (input_px, input_px, in_channels), seed=seed, dtype=dtype)


def mnist_cnn(
    num_classes: int = 10,
    input_px: int = 28,
    in_channels: int = 1,
    *,
    seed: int = 0,
    dtype: type[np.floating] = np.float32,
) -> Network:
    """Return the MNIST network: 3,554 parameters at ten classes and 28 grey pixels."""
    layers = [
        Conv2d(8, 3, stride=2),  # (13, 13, 8)
        ReLU(),
        Conv2d(8, 3, stride=2),  # (6, 6, 8)
        ReLU(),
        Flatten(),  # (288,)
        Dense(num_classes),
    ]
    return Network(layers, (input_px, input_px, in_channels), seed=seed, dtype=dtype)


#: By their registered names.
ARCHITECTURES = {"light_cnn": light_cnn, "mnist_cnn": mnist_cnn}
