"""The papers' networks; importing this package registers all of them."""

from eosin.networks import cancervisionnet, light_cnn
from eosin.networks.registry import NETWORKS, NetworkSpec, build_network, count_params

__all__ = [
    "NETWORKS",
    "NetworkSpec",
    "build_network",
    "cancervisionnet",
    "count_params",
    "light_cnn",
]
