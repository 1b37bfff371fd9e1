"""ResNets, and ERNet's shortcuts between the blocks of a stage (P2, P3)."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.ernet import VARIANTS, Shortcuts, Stage
from eosin.networks.freezing import find_cut, freeze
from eosin.networks.registry import count_macs
from eosin.runtime.door import import_companion

#: Learnable weights of the backbone alone; with 1,000 classes those of the literature.
BACKBONES = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032, 101: 42_500_160}
#: What P2's weights for each channel add.
ADDED = {18: 960, 34: 6_336, 50: 25_344, 101: 269_056}

DEPTHS = [18, 34, 50, 101]


def build(name, classes=2, **arguments):
    return build_network(name, num_classes=classes, input_px=224, arguments=arguments)


def sketch(name, classes=2):
    """The network without memory for its weights: enough to count them, and quick."""
    with torch.device("meta"):
        return build(name, classes)


def without_shortcuts(network):
    """ERNet's tensors but for the shortcuts' weights."""
    state = network.backbone.state_dict()
    return {key: value for key, value in state.items() if ".shortcuts." not in key}


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_channel_weights_alone_are_added_to_resnet(depth):
    resnet, ernet = sketch(f"resnet{depth}"), sketch(f"ernet{depth}")
    assert count_params(resnet.backbone) == BACKBONES[depth]
    assert count_params(ernet.backbone) == BACKBONES[depth] + ADDED[depth]
    assert count_params(ernet) - count_params(resnet) == ADDED[depth]
    shortcuts = [module for module in ernet.modules() if isinstance(module, Shortcuts)]
    assert sum(count_params(module) for module in shortcuts) == ADDED[depth]


@pytest.mark.parametrize("depth", DEPTHS)
def test_params_at_1000_classes(depth):
    """As torchvision lists them."""
    listed = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160}
    assert count_params(sketch(f"resnet{depth}", classes=1_000)) == listed[depth]
    # The paper's table prints 11.6, 21.7, 25.56 and 45.6 million.
    printed = {18: 11.6e6, 34: 21.7e6, 50: 25.56e6, 101: 45.6e6}
    ernet = count_params(sketch(f"ernet{depth}", classes=1_000))
    assert ernet == pytest.approx(printed[depth], rel=0.02)


def test_one_vector_of_weights_for_each_pair_of_blocks():
    stages = sketch("ernet34").backbone
    for stage, channels in [("layer1", 64), ("layer2", 128), ("layer3", 256), ("layer4", 512)]:
        blocks = list(getattr(stages, stage))
        assert blocks[0].shortcuts is None
        shapes = [tuple(block.shortcuts.weight.shape) for block in blocks[1:]]
        assert shapes == [(earlier, channels) for earlier in range(1, len(blocks))]


def test_p3_trains_blocks_2_and_3_of_conv5():
    network = sketch("resnet50")
    assert count_params(network) == 23_512_130
    stages = NETWORKS.get("resnet50").stages
    assert freeze(network, find_cut(network, stages, "before:backbone.layer4.1")) == 8_929_282
    assert freeze(network, find_cut(network, stages, "backbone")) == 4_098


@pytest.mark.parametrize("name", ["resnet50", "ernet50"])
def test_stages_hold_he_et_al_s_counts(name):
    """Weights of each stage of ResNet-50, summed by hand from He et al., Table 1."""
    stages = NETWORKS.get(name).stages
    network = sketch(name)
    trained = [freeze(network, find_cut(network, stages, f"before:{stage}")) for stage in stages]
    counts = [more - less for more, less in zip(trained, [*trained[1:], 0], strict=True)]
    added = [0, 256 * 3, 512 * 6, 1_024 * 15, 2_048 * 3, 0] if name == "ernet50" else [0] * 6
    resnet = [9_536, 215_808, 1_219_584, 7_098_368, 14_964_736, 4_098]
    assert counts == [count + more for count, more in zip(resnet, added, strict=True)]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@torch.inference_mode()
def test_resnet_says_what_torchvision_s_says(name):
    ours = build(name).eval()
    theirs = getattr(import_companion("torchvision").models, name)(num_classes=2).eval()
    theirs.load_state_dict(
        {
            **ours.backbone.state_dict(),
            "fc.weight": ours.head[1].weight,
            "fc.bias": ours.head[1].bias,
        }
    )
    images = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_resnet_s_weights_fit_ernet(depth):
    theirs = sketch(f"resnet{depth}").backbone.state_dict()
    ernet = sketch(f"ernet{depth}")
    shared = without_shortcuts(ernet)
    assert {key: value.shape for key, value in shared.items()} == {
        key: value.shape for key, value in theirs.items()
    }
    assert len(theirs) / len(ernet.backbone.state_dict()) > 0.94


class Plain(nn.Module):
    """An ERNet's stage that takes ResNet's shortcuts instead."""

    def __init__(self, stage):
        super().__init__()
        self.stage = stage

    def forward(self, features):
        for block in self.stage:
            pairs = 0 if block.shortcuts is None else len(block.shortcuts.weight)
            own = block(features, [torch.zeros_like(features)] * pairs)[1]
            features = functional.relu(own + features if pairs else own)
        return features


@pytest.mark.parametrize("depth", [18, 50])
@torch.inference_mode()
def test_but_for_its_shortcuts_ernet_is_timm_s_resnet(depth):
    ours, theirs = build(f"ernet{depth}").eval(), build(f"resnet{depth}").eval()
    theirs.backbone.load_state_dict(without_shortcuts(ours))
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(ours.backbone(images), theirs.backbone(images), rtol=0.1)
    for name in ("layer1", "layer2", "layer3", "layer4"):
        setattr(ours.backbone, name, Plain(getattr(ours.backbone, name)))
    torch.testing.assert_close(ours.backbone(images), theirs.backbone(images))


def standardise(feature_map):
    """Bring each image's (C, H, W) to mean 0 and variance 1, in plain words."""
    dims = (1, 2, 3)
    mean = feature_map.mean(dims, keepdim=True)
    variance = feature_map.var(dims, keepdim=True, correction=0)
    return (feature_map - mean) / torch.sqrt(variance + 1e-5)


@pytest.mark.parametrize("bottleneck", [False, True])
@torch.inference_mode()
def test_equation_10_by_hand(bottleneck):
    generator = torch.Generator().manual_seed(0)
    stage = Stage(8, 4, depth=4, stride=2, bottleneck=bottleneck).eval()
    for block in list(stage)[1:]:
        block.shortcuts.weight.copy_(torch.randn(block.shortcuts.weight.shape, generator=generator))
    images = torch.randn(2, 8, 6, 6, generator=generator)

    y, xs = images, []
    for number, block in enumerate(stage):
        x = block.bn2(block.conv2(functional.relu(block.bn1(block.conv1(y)))))
        if bottleneck:
            x = block.bn3(block.conv3(functional.relu(x)))
        total = x
        if number == 0:
            total = x = x + block.downsample(y)
        for i in range(number):
            total = total + block.shortcuts.weight[i].reshape(1, -1, 1, 1) * standardise(xs[i])
        xs.append(x)
        y = functional.relu(total)
    assert y.shape == (2, 16 if bottleneck else 4, 3, 3)
    torch.testing.assert_close(stage(images), y)


def test_one_normalised_map_weighed_by_hand():
    shortcuts = Shortcuts(2, 2)
    assert torch.equal(shortcuts.weight, torch.ones(2, 2))
    with torch.no_grad():
        shortcuts.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
    own = torch.tensor([10.0, 20.0]).reshape(1, 2, 1, 1)
    earlier = [torch.tensor([3.0, 4.0]), torch.tensor([5.0, 6.0])]
    total = shortcuts(own, [feature_map.reshape(1, 2, 1, 1) for feature_map in earlier])
    assert total.flatten().tolist() == [10 + 3 + 0, 20 + 2 * 4 - 6]


def test_one_image_s_result_hangs_on_no_other():
    network = build("ernet18").eval()
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(images)[:1], network(images[:1]))


@pytest.mark.parametrize("depth", [18, pytest.param(101, marks=pytest.mark.slow)])
def test_the_start_is_as_steep_as_resnet_s(depth):
    """Unit weights: the first convolution's gradient neither vanishes nor explodes."""
    norms = {}
    for family in ("resnet", "ernet"):
        network = build(f"{family}{depth}")
        images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        functional.cross_entropy(network(images), torch.arange(8) % 2).backward()
        norms[family] = network.backbone.conv1.weight.grad.norm().item()
    assert 0.1 < norms["ernet"] / norms["resnet"] < 10


def test_the_shortcuts_cost_no_convolution():
    """ResNet-18 has 1,814,073,344 multiply-accumulates with 1,000 classes."""
    macs = 1_814_073_344 - 998 * 512
    assert count_macs(build("resnet18"), 224) == macs
    assert count_macs(build("ernet18"), 224) == macs


def test_every_depth_of_the_ablation_exists_twice():
    assert sorted(VARIANTS) == [18, 34, 50, 101]
    for depth in VARIANTS:
        resnet, ernet = NETWORKS.get(f"resnet{depth}"), NETWORKS.get(f"ernet{depth}")
        assert resnet.stages == ernet.stages
        assert resnet.hub == ernet.hub == f"resnet{depth}.tv_in1k"
        assert resnet.hub in import_companion("timm").list_pretrained("resnet*")


def test_other_channels_and_dropout():
    network = build("ernet18", head_dropout=0.5)
    assert network.head[0].p == 0.5
    fluorescence = build_network("ernet18", num_classes=3, input_px=64, arguments={}, in_channels=2)
    assert fluorescence(torch.zeros(2, 2, 64, 64)).shape == (2, 3)
