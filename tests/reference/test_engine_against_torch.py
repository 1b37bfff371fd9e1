"""The NumPy engine beside PyTorch: outputs, losses, gradients, fifty steps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from eosin.engine import SGD, Adam, cross_entropy, light_cnn  # noqa: E402
from eosin.networks.light_cnn import LightCNN  # noqa: E402

SIDE, CLASSES = 96, 2


def twin_of(network):
    """The PyTorch network with the same weights."""
    twin = LightCNN(CLASSES, SIDE)
    convolutions = [m for m in twin.modules() if isinstance(m, nn.Conv2d)]
    dense = [m for m in twin.modules() if isinstance(m, nn.Linear)]
    state = network.state
    with torch.no_grad():
        for number, module in enumerate(convolutions, start=1):
            weight = state[f"conv2d{number}.weight"]
            module.weight.copy_(torch.from_numpy(weight.transpose(3, 2, 0, 1).copy()))
            module.bias.copy_(torch.from_numpy(state[f"conv2d{number}.bias"]))
        height, width, channels = network.shapes["batchnorm3"]
        for number, module in enumerate(dense, start=1):
            weight = state[f"dense{number}.weight"]
            if number == 1:
                weight = weight.reshape(height, width, channels, -1).transpose(2, 0, 1, 3)
                weight = weight.reshape(height * width * channels, -1)
            module.weight.copy_(torch.from_numpy(weight.T.copy()))
            module.bias.copy_(torch.from_numpy(state[f"dense{number}.bias"]))
    return twin


def batch(number, size=8):
    random = np.random.default_rng(number)
    images = random.standard_normal((size, SIDE, SIDE, 3)).astype(np.float32)
    return images, random.integers(CLASSES, size=size)


def as_torch(images, targets):
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(targets)


@pytest.fixture
def network():
    return light_cnn(CLASSES, SIDE)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [1, 5])
def test_logits_agree(network, training, size):
    twin = twin_of(network).train(training)
    images, targets = batch(0, size)
    expected = twin(as_torch(images, targets)[0]).detach().numpy()
    assert np.abs(network.forward(images, training=training) - expected).max() < 1e-4


def test_loss_and_gradients_agree(network):
    twin = twin_of(network)
    images, targets = batch(0)
    weights = np.array([0.7, 1.9], np.float32)
    loss, gradient = cross_entropy(network.forward(images, training=True), targets, weights)
    network.backward(gradient)
    seen, wanted = as_torch(images, targets)
    expected = nn.functional.cross_entropy(twin(seen), wanted, weight=torch.from_numpy(weights))
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    first = twin.features[0].weight.grad.numpy().transpose(2, 3, 1, 0)
    scale = np.abs(first).max()
    assert np.abs(network.gradients["conv2d1.weight"] - first).max() < 1e-5 * max(scale, 1)


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_fifty_steps_stay_together(network, kind):
    twin = twin_of(network)
    ours, theirs = {
        "sgd": (SGD(1e-3), lambda p: torch.optim.SGD(p, 1e-3)),
        "momentum": (SGD(1e-4, momentum=0.9), lambda p: torch.optim.SGD(p, 1e-4, momentum=0.9)),
        "adam": (Adam(1e-4), lambda p: torch.optim.Adam(p, 1e-4)),
    }[kind]
    optimizer = theirs(twin.parameters())
    gaps = []
    for number in range(50):
        images, targets = batch(number)
        loss, _ = network.step(images, targets, ours)
        seen, wanted = as_torch(images, targets)
        optimizer.zero_grad()
        expected = nn.functional.cross_entropy(twin(seen), wanted)
        expected.backward()
        optimizer.step()
        gaps.append(abs(loss - expected.item()))
    assert max(gaps) < 1e-3
    running = network.state["batchnorm2.variance"]
    assert np.abs(running - twin.features[5].running_var.numpy()).max() < 1e-3
