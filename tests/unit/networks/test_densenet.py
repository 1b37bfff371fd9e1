"""DenseNet-121 and SE-DenseNet-121 against the papers and timm."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from eosin.core.errors import RecipeError
from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.densenet import DenseLayer, SqueezeExcitation
from eosin.networks.freezing import find_cut, freeze
from eosin.networks.pretrained import load_pretrained
from eosin.networks.registry import count_macs
from eosin.runtime.door import import_companion

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def plain():
    return build_network("densenet121", num_classes=2, input_px=224, arguments={})


@pytest.fixture(scope="module")
def excited():
    return build_network("se_densenet121", num_classes=2, input_px=224, arguments={})


def gates_of(network):
    return {n: m for n, m in network.named_modules() if isinstance(m, SqueezeExcitation)}


def test_a_gate_follows_every_dense_layer_and_every_transition(excited):
    gates = gates_of(excited)
    layers = [name for name in gates if "denselayer" in name]
    transitions = [name for name in gates if "transition" in name]
    assert len(layers) == 6 + 12 + 24 + 16
    assert len(transitions) == 3
    assert len(gates) == 61
    for name in gates:
        parent = excited.get_submodule(name.removesuffix(".se"))
        children = [child for child, _ in parent.named_children() if child != "dropout"]
        assert children[-1] == "se"


def test_the_gates_cost_what_reduction_16_says(plain, excited):
    # channels → channels / 16 → channels, with biases
    def cost(channels):
        hidden = channels // 16
        return 2 * channels * hidden + hidden + channels

    added = 58 * cost(32) + cost(128) + cost(256) + cost(512)
    assert count_params(excited) - count_params(plain) == added == 53_356
    assert count_params(plain) == 6_953_856 + 2_050


def test_the_stages_hold_what_the_table_says(plain, excited):
    stages = NETWORKS.get("densenet121").stages
    assert list(stages) == ["stem", "dense1", "dense2", "dense3", "dense4", "head"]
    trained = [freeze(plain, find_cut(plain, stages, f"before:{name}")) for name in stages]
    stem, first, second, third, last, head = [
        a - b for a, b in zip(trained, [*trained[1:], 0], strict=True)
    ]

    # Bottlenecks of 128 and growth 32, each with its batch-norm; a transition halves.
    def block(width, layers):
        each = [2 * w + 128 * w + 256 + 9 * 128 * 32 for w in range(width, width + 32 * layers, 32)]
        return sum(each)

    def transition(width):
        return 2 * width + width * width // 2

    assert stem == 7 * 7 * 3 * 64 + 128
    assert first == block(64, 6) + transition(256)
    assert second == block(128, 12) + transition(512)
    assert third == block(256, 24) + transition(1024)
    assert last == block(512, 16) + 2 * 1024
    assert head == 2_050
    # Every gate lies in its own stage: what is frozen freezes its gates.
    freeze(excited, find_cut(excited, stages, "before:dense3"))
    for name, gate in gates_of(excited).items():
        is_trained = "block3" in name or "block4" in name or "transition3" in name
        assert all(weight.requires_grad == is_trained for weight in gate.parameters()), name
    freeze(excited, None)


def test_imagenet_s_weights_leave_no_gate_frozen_at_random(plain, tmp_path):
    save_file(plain.state_dict(), tmp_path / "imagenet.safetensors")
    spec = NETWORKS.get("se_densenet121")
    network = build_network(spec.name, num_classes=2, input_px=224, arguments={})
    loaded = load_pretrained(network, spec, tmp_path / "imagenet.safetensors")
    before = find_cut(network, spec.stages, "before:dense4")
    trained = freeze(network, before, loaded.untrained)
    gates = [weight for gate in gates_of(network).values() for weight in gate.parameters()]
    assert all(weight.requires_grad for weight in gates)
    assert not network.backbone.features.conv0.weight.requires_grad
    freeze(network, before)
    late = sum(weight.numel() for weight in gates if weight.requires_grad)
    assert trained - freeze(network, before) == 53_356 - late


def test_the_macs_are_densenet_s(plain):
    # The paper's table of complexity: 2.87 billion with its head of a thousand.
    assert count_macs(plain, 224) == 2_833_139_712
    assert count_macs(plain, 224) + 1_022 * 1_024 == pytest.approx(2.83e9, rel=0.01)


@pytest.mark.parametrize("name", ["densenet121", "se_densenet121"])
def test_with_open_gates_it_is_timm_s_densenet(name):
    other = import_companion("timm").create_model("densenet121", num_classes=0)
    for module in other.modules():  # statistics as of a trained network
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    state = {f"backbone.{key}": value for key, value in other.state_dict().items()}
    network = build_network(name, num_classes=2, input_px=224, arguments={})
    lacking, foreign = network.load_state_dict(state, strict=False)
    assert foreign == []
    assert {key for key in lacking if ".se." not in key} == {"head.1.weight", "head.1.bias"}
    for gate in gates_of(network).values():
        nn.init.zeros_(gate.fc2.weight)
        nn.init.constant_(gate.fc2.bias, 100.0)  # sigmoid is exactly one
    with torch.inference_mode():
        expected = other.eval()(IMAGES)
        assert torch.allclose(network.backbone.eval()(IMAGES), expected, rtol=1e-4, atol=1e-4)
        assert expected.std() > 1e-3


def test_the_gate_is_timm_s():
    layers = import_companion("timm.layers")
    gate = SqueezeExcitation(32)
    nn.init.normal_(gate.fc2.bias)
    other = layers.SEModule(32, rd_channels=2)
    with torch.no_grad():
        for ours, theirs in ((gate.fc1, other.fc1), (gate.fc2, other.fc2)):
            theirs.weight.copy_(ours.weight[:, :, None, None])
            theirs.bias.copy_(ours.bias)
    features = torch.randn(4, 32, 5, 5)
    assert torch.allclose(gate(features), other(features), atol=1e-6)


def test_a_gate_worked_by_hand():
    gate = SqueezeExcitation(2, reduction=1)
    with torch.no_grad():
        gate.fc1.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        gate.fc2.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
        gate.fc2.bias.zero_()
    features = torch.tensor([[[[1.0, 3.0]], [[4.0, 4.0]]]])  # means 2 and 4
    # relu(2, -4) = (2, 0); sigmoid(4) = 0.98201, sigmoid(0) = 0.5
    expected = torch.tensor([[[[0.98201, 2.94604]], [[2.0, 2.0]]]])
    assert torch.allclose(gate(features), expected, atol=1e-5)


def test_no_gate_is_born_dead_and_all_begin_open():
    torch.manual_seed(0)
    gate = SqueezeExcitation(32)
    squeezed = torch.randn(1_000, 32)
    assert (gate.fc1(squeezed) > 0).any(dim=1).all()
    opened = torch.sigmoid(gate.fc2(torch.relu(gate.fc1(squeezed))))
    assert opened.mean().item() == pytest.approx(0.98, abs=0.01)


def drawn_out(layer, features):
    """Return the share of zeros in a dense layer's output, in training and in evaluation."""
    return [
        (layer.train(mode)(features.clone()) == 0).float().mean().item() for mode in (True, False)
    ]


@pytest.mark.parametrize("name", ["densenet121", "se_densenet121"])
def test_a_quarter_of_every_dense_layer_s_output_is_dropped(name):
    network = build_network(name, num_classes=2, input_px=64, arguments={})
    layers = [m for m in network.modules() if isinstance(m, DenseLayer)]
    assert len(layers) == 58
    torch.manual_seed(0)
    for layer in (layers[0], layers[-1]):
        features = torch.randn(4, layer.norm1.num_features, 16, 16)
        assert drawn_out(layer, features) == pytest.approx([0.25, 0.0], abs=0.01)
    assert not any(m.p for m in network.head.modules() if isinstance(m, nn.Dropout))


def test_gates_see_what_is_not_dropped_yet(excited):
    layer = next(m for m in excited.modules() if isinstance(m, DenseLayer))
    squeezed = []
    handle = layer.se.register_forward_pre_hook(lambda _m, given: squeezed.append(given[0]))
    layer.train()(torch.randn(2, 64, 8, 8))
    handle.remove()
    assert (squeezed[0] != 0).all()


@pytest.mark.parametrize("name", ["densenet121", "se_densenet121"])
def test_the_rates_can_be_given(name):
    given = {"drop_rate": 0.0, "head_dropout": 0.5}
    network = build_network(name, num_classes=2, input_px=64, arguments=given)
    assert {m.p for m in network.backbone.modules() if isinstance(m, nn.Dropout)} == {0.0}
    assert network.head[0].p == 0.5
    with pytest.raises(RecipeError, match="drop_rate' must be at least 0"):
        build_network(name, num_classes=2, input_px=64, arguments={"drop_rate": 1.0})
