"""Networks by name: what is refused, and what they cost."""

import pytest
import torch
from torch import nn

from eosin.core.errors import RecipeError, UnknownNameError
from eosin.networks import NETWORKS, build_network, count_params
from eosin.networks.registry import count_macs
from eosin.runtime.door import import_companion


def build(name="light_cnn", input_px=51, **arguments):
    return build_network(name, num_classes=2, input_px=input_px, arguments=arguments)


def test_an_unknown_network_is_refused_with_close_matches():
    with pytest.raises(UnknownNameError, match="unknown model 'lightcnn'") as caught:
        build("lightcnn")
    assert caught.value.hint.startswith("Did you mean 'light_cnn'?")


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan"), "0.3", True, None])
@pytest.mark.parametrize("argument", ["dropout", "head_dropout"])
def test_a_dropout_rate_is_a_share(argument, rate):
    with pytest.raises(RecipeError, match=rf"'model\.arguments\.{argument}' must be at least 0"):
        build("cancervisionnet", 8, **{argument: rate})


def test_the_dropout_rates_arrive():
    network = build("cancervisionnet", 8, dropout=0.1, head_dropout=0.0)
    rates = [m.p for m in network.modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.1, 0.1, 0.1, 0.0]


def test_the_activations_are_choices():
    for name in ("activation", "hidden_activation"):
        with pytest.raises(RecipeError, match=rf"{name}' must be .*'relu'.*, got 'tanh'"):
            build(**{name: "tanh"})
    leaky = [m for m in build(activation="leaky_relu").modules() if isinstance(m, nn.LeakyReLU)]
    assert [m.negative_slope for m in leaky] == [0.01] * 3
    assert not any(isinstance(m, nn.ReLU) for m in build().classifier)
    assert any(isinstance(m, nn.ReLU) for m in build(hidden_activation="relu").classifier)


def test_costs_are_counted_by_hand():
    # conv: 2·3·3·3 + 2 weights, 4 × 4 outputs; dense: 32·5 + 5.
    network = nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 5)
    )
    assert count_params(network) == 56 + 4 + 165
    assert count_macs(network, 4) == 16 * 2 * 27 + 160


def test_counting_leaves_the_network_as_it_was():
    network = build()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    count_macs(network, 51)
    assert network.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])
    count_macs(network.eval(), 51)
    assert not network.training


def test_the_light_cnn_s_multiplications_by_hand():
    by_hand = 56**2 * 16 * 27 + 27**2 * 32 * 144 + 6**2 * 64 * 288 + 2304 * 128 + 128 * 2
    assert count_macs(build(input_px=224), 224) == by_hand


def test_torchvision_agrees_on_counting():
    # A network that neither of us wrote.
    models = import_companion("torchvision.models")
    assert count_params(models.squeezenet1_1(weights=None)) == 1_235_496


def test_every_entry_knows_its_own_name():
    for name in NETWORKS:
        assert NETWORKS.get(name).name == name
