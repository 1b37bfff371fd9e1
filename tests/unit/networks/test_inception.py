"""Inception-v3 against torchvision."""

import torch

from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.freezing import find_cut, freeze
from eosin.networks.registry import count_macs
from eosin.runtime.door import import_companion


def build(**arguments):
    return build_network("inception_v3", num_classes=3, input_px=224, arguments=arguments)


def test_there_is_no_auxiliary_head():
    network = build()
    assert not any("aux" in name.lower() for name, _ in network.named_modules())
    assert count_params(network.backbone) == 21_785_568
    assert count_params(network.head) == 2_048 * 3 + 3


def test_the_macs_at_the_native_size():
    network = build_network("inception_v3", num_classes=1000, input_px=299, arguments={})
    # "5 billion multiply-adds" in the paper; 5.71 as counted by others.
    assert round(count_macs(network, 299) / 1e9, 2) == 5.71


def test_the_stages_are_cut_in_order():
    network = build()
    stages = NETWORKS.get("inception_v3").stages
    trained = [freeze(network, find_cut(network, stages, f"before:{stage}")) for stage in stages]
    assert trained == [21_791_715, 21_619_043, 20_800_515, 12_825_859, 6_147]


def test_it_is_torchvision_s_with_the_weights_copied_in_order():
    models = import_companion("torchvision.models")
    other = models.inception_v3(
        weights=None, aux_logits=False, transform_input=False, init_weights=False
    ).eval()
    other.fc = torch.nn.Identity()
    network = build().eval()
    state = other.state_dict()
    network.backbone.load_state_dict(state)  # timm keeps torchvision's names
    images = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        expected = other(images)
        assert torch.allclose(network.backbone(images), expected, rtol=1e-4, atol=1e-5)
        assert expected.std() > 0
