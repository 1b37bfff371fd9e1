"""MobileNet against its paper and timm."""

import torch
from torch import nn

from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.freezing import find_cut, freeze
from eosin.networks.registry import count_macs
from eosin.runtime.door import import_companion

#: Table 1 of the paper: inputs and outputs of the depthwise separable layers.
LAYERS = [
    *[(32, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)],
    *[(512, 512)] * 5,
    *[(512, 1024), (1024, 1024)],
]


def test_the_layers_are_the_table_s():
    network = build_network("mobilenet", num_classes=2, input_px=224, arguments={})
    stem = 27 * 32 + 64
    separable = sum(9 * a + 2 * a + a * b + 2 * b for a, b in LAYERS)
    assert count_params(network) == stem + separable + 2_050 == 3_209_026
    kinds = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(kinds) == 27
    assert [(m.in_channels, m.out_channels) for m in kinds[2::2]] == LAYERS
    assert all(m.groups == m.in_channels for m in kinds[1::2])


def test_the_macs_are_the_paper_s():
    network = build_network("mobilenet", num_classes=1000, input_px=224, arguments={})
    assert round(count_macs(network, 224) / 1e6) == 569  # its Table 4


def test_the_stages_follow_the_strides():
    network = build_network("mobilenet", num_classes=2, input_px=224, arguments={})
    stages = NETWORKS.get("mobilenet").stages
    trained = [freeze(network, find_cut(network, stages, f"before:{stage}")) for stage in stages]
    assert trained == sorted(trained, reverse=True)
    assert trained[0] == 3_209_026
    assert trained[-1] == 2_050
    # block5 is the last two separable layers.
    assert trained[-2] - 2_050 == sum(11 * a + a * b + 2 * b for a, b in LAYERS[-2:])


def test_the_backbone_is_timm_s():
    other = import_companion("timm").create_model("mobilenetv1_100", num_classes=0).eval()
    network = build_network("mobilenet", num_classes=2, input_px=64, arguments={}).eval()
    network.backbone.load_state_dict(other.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(images), network.head(other(images)))
