"""The last feature map is found in networks that are written in odd ways."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from eosin.core.errors import UsageError
from eosin.explanation.feature_layer import find_feature_layer, layout_of

PX = 32


class Net(nn.Module):
    """Two convolutions and a head, whose middle a test replaces."""

    def __init__(self, end):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.second = nn.Conv2d(6, 10, 3, stride=2, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.side = nn.Conv2d(3, 10, 4, stride=4)
        self.gate = nn.Conv2d(10, 1, 1)
        self.head = nn.Linear(10, 2)
        self.far = nn.Linear(20, 2)
        self.end = end

    def forward(self, images):
        # One module is called twice, in place.
        return self.end(self, images, self.act(self.second(self.act(self.first(images)))))


def pooled(net, _images, maps):
    return net.head(maps.mean((2, 3)))


def functional_relu(net, _images, maps):
    return net.head(functional.relu(maps - 0.1).mean((2, 3)))


def in_place(net, _images, maps):
    maps = net.side.weight.sum() * maps
    maps.relu_()
    return net.head(maps.mean((2, 3)))


def gated(net, _images, maps):
    return net.head((maps * torch.sigmoid(net.gate(maps))).mean((2, 3)))


def channels_last(net, _images, maps):
    return net.head(maps.permute(0, 2, 3, 1).contiguous().mean((1, 2)))


def one_place_after(net, _images, maps):
    return net.head(functional.avg_pool2d(maps, 8).relu().flatten(1))


def two_branches(net, images, maps):
    vectors = [maps.mean((2, 3)), net.side(images).mean((2, 3))]
    return net.far(torch.cat(vectors, 1))


def from_pixels(net, images, _maps):
    return net.head(images.mean((2, 3)).repeat(1, 4)[:, :10])


@pytest.fixture
def seen():
    return torch.randn(1, 3, PX, PX, generator=torch.Generator().manual_seed(5))


def build(end):
    torch.manual_seed(0)
    return Net(end).eval()


@pytest.mark.parametrize(
    "end", [pooled, functional_relu, in_place, gated, channels_last, one_place_after]
)
def test_the_logits_follow_from_the_map_that_is_found(end, seen):
    network = build(end)
    layer = find_feature_layer(network, 3, (PX, PX))
    assert layer.shape == (10, 8, 8)
    logits, found = layer.run(network, seen)
    torch.testing.assert_close(logits, network(seen))
    maps = layer.channels_first(found)
    torch.testing.assert_close(network.head(maps.mean((2, 3))), logits)


def test_the_gradient_of_a_map_that_is_changed_in_place_is_that_of_its_last_state(seen):
    network = build(in_place)
    layer = find_feature_layer(network, 3, (PX, PX))
    logits, found = layer.run(network, seen.requires_grad_())
    (gradient,) = torch.autograd.grad(logits[0, 1], found)
    expected = network.head.weight[1] / 64
    torch.testing.assert_close(gradient.mean((0, 2, 3)), expected)


@pytest.mark.parametrize("end", [two_branches, from_pixels])
def test_a_map_that_the_image_can_pass_by_is_refused(end):
    with pytest.raises(UsageError) as raised:
        find_feature_layer(build(end), 3, (PX, PX))
    assert "occlusion" in raised.value.hint


def test_a_module_is_named():
    assert find_feature_layer(build(pooled), 3, (PX, PX)).name == "act"
    assert "relu" in find_feature_layer(build(functional_relu), 3, (PX, PX)).name


@pytest.mark.parametrize(
    ("shape", "is_last"),
    [
        ((1, 8, 7, 7), False),
        ((1, 7, 7, 8), True),
        ((1, 7, 7, 7), False),
        ((1, 8, 1, 1), None),
        ((2, 8, 7, 7), None),
        ((1, 8, 7), None),
        ((1, 3, 197, 64), None),
    ],
)
def test_the_layout_follows_from_the_shape(shape, is_last):
    assert layout_of(shape, (1, 3, 224, 224)) is is_last


def test_the_aspect_of_an_oblong_input_is_kept():
    assert layout_of((1, 8, 5, 7), (1, 3, 460, 700)) is False
    assert layout_of((1, 5, 7, 8), (1, 3, 460, 700)) is True
    assert layout_of((1, 8, 7, 5), (1, 3, 460, 700)) is None
