"""VGG-16 and VGG-19 against the papers and torchvision."""

import pytest
import torch
from torch import nn

from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.freezing import find_cut, freeze
from eosin.networks.registry import count_macs
from eosin.runtime.door import import_companion

#: 3 × 3 weights and a bias for each output, block by block.
WIDTHS = {
    "vgg16": [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3],
    "vgg19": [[64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4],
}


def build(name):
    return build_network(name, num_classes=2, input_px=224, arguments={})


def count_blocks(widths):
    before, counts = 3, []
    for block in widths:
        count = 0
        for width in block:
            count += 9 * before * width + width
            before = width
        counts.append(count)
    return counts


def test_p3_trains_block5_and_the_head():
    network = build("vgg16")
    assert count_params(network) == 14_715_714
    cut = find_cut(network, NETWORKS.get("vgg16").stages, "before:block5")
    assert freeze(network, cut) == 7_080_450


@pytest.mark.parametrize("name", WIDTHS)
def test_the_blocks_are_the_paper_s(name):
    network = build(name)
    stages = NETWORKS.get(name).stages
    assert list(stages) == ["block1", "block2", "block3", "block4", "block5", "head"]
    trained = [freeze(network, find_cut(network, stages, f"before:{stage}")) for stage in stages]
    counts = [a - b for a, b in zip(trained, [*trained[1:], 0], strict=True)]
    assert counts == [*count_blocks(WIDTHS[name]), 1_026]


def test_the_two_wide_layers_are_left_out():
    network = build("vgg16")
    assert [type(m).__name__ for m in network.modules() if isinstance(m, nn.Linear)] == ["Linear"]
    assert sum(isinstance(m, nn.Conv2d) for m in network.modules()) == 13
    # The table of sizes in the paper, 15.3 billion without its dense layers.
    assert count_macs(network, 224) == 15_346_631_680


@pytest.mark.parametrize("name", WIDTHS)
def test_it_is_torchvision_s_convolutions_under_timm_s_names(name):
    models = import_companion("torchvision.models")
    with torch.device("meta"):
        whole = getattr(models, name)(init_weights=False)
    other = whole.features.to_empty(device="cpu")
    for weight in other.parameters():
        nn.init.normal_(weight, std=0.05)
    network = build(name)
    network.backbone.features.load_state_dict(other.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = other(images).mean(dim=(2, 3))
        assert torch.allclose(network.backbone(images), expected, rtol=1e-4, atol=1e-6)
        assert expected.any()
