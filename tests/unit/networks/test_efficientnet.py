"""EfficientNetV2-B0 with the cut of P5, and EfficientNet-Lite0, -Lite1 and -Lite2."""

import pytest
import torch
from torch import nn

from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.freezing import find_cut, freeze
from eosin.networks.standard import P5_CUT
from eosin.runtime.door import import_companion


def build(name, classes):
    return build_network(name, num_classes=classes, input_px=224, arguments={})


def test_p5_trains_from_inside_block6d():
    network = build("efficientnetv2_b0", 3)
    stages = NETWORKS.get("efficientnetv2_b0").stages
    assert count_params(network.backbone) == 5_858_704
    assert freeze(network, find_cut(network, stages, f"before:{P5_CUT}")) == 2_859_760 + 3_843
    trained = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert trained[0] == f"{P5_CUT}.weight"
    # The squeeze itself has no weights; the depthwise part before it is frozen.
    block = "backbone.blocks.5.3."
    assert [name.removeprefix(block) for name in trained if name.startswith(block)] == [
        *["se.conv_reduce.weight", "se.conv_reduce.bias"],
        *["se.conv_expand.weight", "se.conv_expand.bias"],
        *["conv_pwl.weight", "bn3.weight", "bn3.bias"],
    ]


@pytest.mark.parametrize(
    ("name", "depths"),
    [
        ("efficientnetv2_b0", [1, 2, 2, 3, 5, 8]),
        ("efficientnet_lite0", [1, 2, 2, 3, 3, 4, 1]),
        ("efficientnet_lite1", [1, 3, 3, 4, 4, 5, 1]),
        ("efficientnet_lite2", [1, 3, 3, 4, 4, 5, 1]),
    ],
)
def test_the_stages_are_as_deep_as_published(name, depths):
    network = build(name, 3)
    stages = NETWORKS.get(name).stages
    blocks = [f"block{n}" for n in range(1, len(depths) + 1)]
    assert list(stages) == ["stem", *blocks, "top", "head"]
    assert [len(network.get_submodule(stages[block])) for block in blocks] == depths
    trained = [freeze(network, find_cut(network, stages, f"before:{stage}")) for stage in stages]
    assert trained[0] == count_params(network)
    last = network.backbone.conv_head.in_channels
    assert trained[-2:] == [last * 1_280 + 2 * 1_280 + 3_843, 3_843]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("efficientnet_lite0", 3_371_008),
        ("efficientnet_lite1", 4_135_680),
        ("efficientnet_lite2", 4_811_072),
    ],
)
def test_a_lite_has_no_squeeze_and_excitation(name, params):
    network = build(name, 2)
    assert count_params(network) == params + 2_562
    assert not any(".se." in name for name, _ in network.named_parameters())
    kinds = {type(m) for m in network.modules() if isinstance(m, nn.SiLU | nn.ReLU6)}
    assert kinds == {nn.ReLU6}


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2"])
def test_the_first_blocks_are_those_of_the_whole_network(name):
    whole, first = build(name, 2).eval(), build(f"{name}_block5", 2).eval()
    first.backbone.load_state_dict(whole.backbone.state_dict(), strict=False)
    images, seen = torch.rand(2, 3, 64, 64), []
    whole.backbone.blocks[4].register_forward_hook(lambda *found: seen.append(found[-1]))
    with torch.inference_mode():
        whole(images)
        assert torch.allclose(first.backbone(images), seen[0].mean(dim=(2, 3)), atol=1e-6)


@pytest.mark.parametrize("name", ["efficientnetv2_b0", "efficientnet_lite0", "efficientnet_lite2"])
def test_the_backbone_is_timm_s_in_tensorflow_s_padding(name):
    timm = import_companion("timm")
    other = timm.create_model(f"tf_{name}", num_classes=0).eval()
    network = build(name, 2).eval()
    network.backbone.load_state_dict(other.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(images), network.head(other(images)))
    assert type(network.backbone.conv_stem).__name__ == "Conv2dSame"
