"""Weights and multiply-accumulates of standard networks, against those that torchvision states."""

import pytest
import torch

from eosin.networks import build_network, count_params
from eosin.networks.registry import count_macs
from eosin.runtime.door import import_companion

# torchvision counts the weights of Inception's auxiliary classifier; its VGG16 has other layers.
NETWORKS = {
    "resnet18": ("ResNet18_Weights", 224),
    "resnet34": ("ResNet34_Weights", 224),
    "resnet50": ("ResNet50_Weights", 224),
    "resnet101": ("ResNet101_Weights", 224),
    "densenet121": ("DenseNet121_Weights", 224),
    "inception_v3": ("Inception_V3_Weights", 299),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_numbers_that_torchvision_states(name):
    weights, side = NETWORKS[name]
    stated = getattr(import_companion("torchvision.models"), weights).DEFAULT.meta
    with torch.device("meta"):
        network = build_network(name, num_classes=1000, input_px=side, arguments={})
        # Stated in thousands of millions, with three decimals.
        assert count_macs(network, side) / 1e9 == pytest.approx(stated["_ops"], abs=5e-4)
    if name != "inception_v3":
        assert count_params(network) == stated["num_params"]
