"""The papers' networks; importing this package registers all of them."""

from eosin.networks import (
    backbones,
    cancervisionnet,
    densenet,
    ernet,
    fusion,
    light_cnn,
    mnist_cnn,
    nasnet,
    standard,
)
from eosin.networks import classifier as embedding
from eosin.networks.registry import (
    NETWORKS,
    build_network,
    count_params,
    find_spec,
)

__all__ = [
    "NETWORKS",
    "backbones",
    "build_network",
    "cancervisionnet",
    "count_params",
    "densenet",
    "embedding",
    "ernet",
    "find_spec",
    "fusion",
    "light_cnn",
    "mnist_cnn",
    "nasnet",
    "standard",
]
