"""The papers' tables, layer by layer."""

import pytest
import torch
from torch import nn

from eosin.networks import build_network
from eosin.networks.light_cnn import feature_px


@pytest.fixture(scope="module")
def cancervisionnet():
    return build_network("cancervisionnet", num_classes=2, input_px=96, arguments={})


@pytest.fixture(scope="module")
def light_cnn():
    return build_network("light_cnn", num_classes=2, input_px=224, arguments={})


def weights_of(modules):
    counts = [sum(p.numel() for p in module.parameters()) for module in modules]
    return [count for count in counts if count]


def test_p1_table_3_block_by_block(cancervisionnet):
    blocks = [weights_of(block) for block in cancervisionnet.features]
    assert blocks == [
        [2_432, 9_248, 9_248, 64],
        [18_496, 36_928, 36_928, 128],
        [73_856, 147_584, 147_584, 256],
    ]
    assert weights_of(cancervisionnet.classifier) == [9_437_696, 1_024, 1_026]


def test_p1_batch_norm_s_buffers(cancervisionnet):
    buffers = {
        key: value.numel()
        for key, value in cancervisionnet.named_buffers()
        if not key.endswith("num_batches_tracked")
    }
    assert sum(buffers.values()) == 1_472
    # Keras counts both.
    assert sum(p.numel() for p in cancervisionnet.parameters()) + 1_472 == 9_923_970


def test_p1_order_of_layers(cancervisionnet):
    for block in cancervisionnet.features:
        assert [type(layer).__name__ for layer in block] == [
            *["Conv2d", "ReLU"] * 3,
            "BatchNorm2d",
            "MaxPool2d",
            "Dropout",
        ]
    head = [type(layer).__name__ for layer in cancervisionnet.classifier]
    assert head == ["Flatten", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    rates = [m.p for m in cancervisionnet.modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.3, 0.3, 0.3, 0.5]
    kernels = [m.kernel_size for m in cancervisionnet.modules() if isinstance(m, nn.Conv2d)]
    assert kernels == [(5, 5), *[(3, 3)] * 8]


def shapes(network, images):
    """Side of the feature map after each convolution and pooling."""
    sides = []
    for layer in network.features:
        images = layer(images)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            sides.append(images.shape[2])
    return sides, images


@torch.inference_mode()
def test_p3_shapes(light_cnn):
    sides, features = shapes(light_cnn, torch.zeros(1, 3, 224, 224))
    assert sides == [56, 27, 13, 6]
    assert features.flatten(1).shape == (1, 2_304)


def test_p3_layer_by_layer(light_cnn):
    counts = weights_of([*light_cnn.features, *light_cnn.classifier])
    assert counts == [448, 32, 4_640, 64, 18_496, 128, 2_304 * 128 + 128, 258]
    assert sum(counts) == 319_106
    names = [type(layer).__name__ for layer in light_cnn.features]
    convolution = ["Conv2d", "ReLU", "BatchNorm2d"]
    assert names == [*convolution, *convolution, "MaxPool2d", *convolution]
    strides = [m.stride[0] for m in light_cnn.modules() if isinstance(m, nn.Conv2d)]
    assert strides == [4, 2, 2]


def test_p3_he_initialisation(light_cnn):
    dense = light_cnn.classifier[1]
    expected = (2 / 2_304) ** 0.5
    assert dense.weight.std().item() == pytest.approx(expected, rel=0.02)  # 294,912 draws
    assert not dense.bias.any()
    assert not light_cnn.features[0].bias.any()


@pytest.mark.parametrize(("input_px", "side"), [(224, 6), (51, 1), (64, 1), (96, 2), (50, 0)])
def test_p3_feature_side(input_px, side):
    assert feature_px(input_px) == side
