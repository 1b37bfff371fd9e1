"""P3's two networks.

Source: P3, sections 2.3.2 and 2.3.3; gaps of the thesis are filled as in
:mod:`eosin.networks.light_cnn`.
"""

from __future__ import annotations

import numpy as np

from eosin.core.errors import RecipeError
from eosin.engine.convolution import Conv2d
from eosin.engine.layers import Dense, Flatten, ReLU
from eosin.engine.network import Network
from eosin.engine.normalisation import BatchNorm
from eosin.engine.pooling import MaxPool2d


def light_cnn(
    num_classes: int = 2,
    input_px: int = 224,
    in_channels: int = 3,
    *,
    hidden_activation: str = "none",
    seed: int = 0,
    dtype: type[np.floating] = np.float32,
) -> Network:
    """Return the BreakHis network: 319,106 parameters at two classes and 224 pixels."""
    if hidden_activation not in ("none", "relu"):
        raise RecipeError(
            "'model.arguments.hidden_activation' must be 'none' or 'relu', "
            f"got {hidden_activation!r}"
        )
    layers = [
        Conv2d(16, 3, stride=4),  # (56, 56, 16)
        ReLU(),
        BatchNorm(),
        Conv2d(32, 3, stride=2),  # (27, 27, 32)
        ReLU(),
        BatchNorm(),
        MaxPool2d(2),  # (13, 13, 32)
        Conv2d(64, 3, stride=2),  # (6, 6, 64)
        ReLU(),
        BatchNorm(),
        Flatten(),  # (2304,)
        Dense(128),
        *([ReLU()] if hidden_activation == "relu" else []),
        Dense(num_classes),
    ]
    return Network(layers, (input_px, input_px, in_channels), seed=seed, dtype=dtype)


def digit_cnn(
    num_classes: int = 10, *, seed: int = 0, dtype: type[np.floating] = np.float32
) -> Network:
    """Return the MNIST network: two convolutions of 8 kernels, stride 2, and a dense layer."""
    layers = [
        Conv2d(8, 3, stride=2),  # (13, 13, 8)
        ReLU(),
        Conv2d(8, 3, stride=2),  # (6, 6, 8)
        ReLU(),
        Flatten(),  # (288,)
        Dense(num_classes),
    ]
    return Network(layers, (28, 28, 1), seed=seed, dtype=dtype)
