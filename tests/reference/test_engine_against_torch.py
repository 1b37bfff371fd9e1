"""The NumPy engine beside PyTorch: every layer, outputs, losses, gradients, fifty steps."""

from copy import deepcopy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from eosin.engine import (  # noqa: E402
    SGD,
    Adam,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    LeakyReLU,
    MaxPool2d,
    ReLU,
    cross_entropy,
    light_cnn,
)
from eosin.networks.light_cnn import LightCNN  # noqa: E402

MOST = 1e-5
SIDE, CLASSES = 96, 2
PRECISIONS = (np.float64, np.float32)


def assert_close(found, expected):
    """Equal to 1e-5: absolutely in float64, of the largest number in float32.

    A float32 has seven digits, so that sums of some thousand terms, taken in another order, can
    only agree to five digits of the largest.
    """
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    scale = 1.0 if found.dtype == np.float64 else max(1.0, float(np.abs(expected).max()))
    assert np.abs(found - expected).max() <= MOST * scale


def to_torch(images):
    """(B, H, W, C) as (B, C, H, W); rows as they are."""
    return torch.from_numpy(np.moveaxis(images, -1, 1).copy())


def from_torch(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def to_engine(name, parameter):
    """A parameter of PyTorch, or its gradient, laid out as the engine has it."""
    value = parameter.detach().numpy()
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    return value.T if name == "weight" else value


class LastFlatten(nn.Module):
    """What the engine flattens: channels last."""

    def forward(self, images):
        return images.permute(0, 2, 3, 1).flatten(1)


IMAGE, ROW = (9, 8, 3), (7,)
LAYERS = {
    "convolution": (Conv2d(5, 3), nn.Conv2d(3, 5, 3), IMAGE),
    "overlapping stride": (Conv2d(5, 3, stride=2), nn.Conv2d(3, 5, 3, stride=2), IMAGE),
    "stride beyond the kernel": (Conv2d(5, 2, stride=3), nn.Conv2d(3, 5, 2, stride=3), IMAGE),
    "same padding": (
        Conv2d(5, 3, padding="same", bias=False),
        nn.Conv2d(3, 5, 3, padding="same", bias=False),
        IMAGE,
    ),
    # An odd number of zeros: the one more lies at the right, as in Keras.
    "same padding, a stride": (
        Conv2d(5, 3, stride=2, padding="same"),
        nn.Sequential(nn.ZeroPad2d((0, 1, 1, 1)), nn.Conv2d(3, 5, 3, stride=2)),
        IMAGE,
    ),
    "max-pooling": (MaxPool2d(2), nn.MaxPool2d(2), IMAGE),
    "max-pooling by three": (MaxPool2d(3), nn.MaxPool2d(3), IMAGE),
    "batch normalisation": (BatchNorm(), nn.BatchNorm2d(3), IMAGE),
    "batch normalisation of rows": (BatchNorm(), nn.BatchNorm1d(7), ROW),
    "dense": (Dense(4), nn.Linear(7, 4), ROW),
    "flatten": (Flatten(), LastFlatten(), IMAGE),
    "relu": (ReLU(), nn.ReLU(), IMAGE),
    "leaky relu": (LeakyReLU(0.2), nn.LeakyReLU(0.2), IMAGE),
}


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_agrees_forth_and_back(name, dtype):
    layer, module, shape = deepcopy(LAYERS[name])
    random = np.random.default_rng(0)
    module = module.to(torch.float64 if dtype is np.float64 else torch.float32).train()
    layer.build(shape, random, np.dtype(dtype))
    parameters = {key.split(".")[-1]: value for key, value in module.named_parameters()}
    for key, value in layer.parameters.items():
        value[...] = to_engine(key, parameters[key])
    inputs = random.standard_normal((4, *shape)).astype(dtype)
    seen = to_torch(inputs).requires_grad_()
    outputs, expected = layer.forward(inputs, training=True), module(seen)
    assert_close(outputs, from_torch(expected))
    weights = random.standard_normal(outputs.shape).astype(dtype)
    passed = layer.backward(weights)
    (expected * to_torch(weights)).sum().backward()
    assert_close(passed, from_torch(seen.grad))
    for key, parameter in parameters.items():
        assert_close(layer.gradients[key], to_engine(key, parameter.grad))
    # In evaluation: the running statistics that this batch has left.
    evaluated = layer.forward(inputs, training=False)
    assert_close(evaluated, from_torch(module.eval()(seen)))


def test_of_equal_numbers_the_same_gets_the_derivative():
    random = np.random.default_rng(0)
    images = random.integers(0, 3, size=(4, 9, 9, 2)).astype(np.float64)
    layer, seen = MaxPool2d(3), to_torch(images).requires_grad_()
    outputs = layer.forward(images, training=True)
    weights = random.standard_normal(outputs.shape)
    (nn.functional.max_pool2d(seen, 3) * to_torch(weights)).sum().backward()
    assert np.array_equal(layer.backward(weights), from_torch(seen.grad))


def twin_of(network):
    """The PyTorch network with the same weights."""
    is_leaky = any(name.startswith("leaky") for name in network.layers)
    twin = LightCNN(CLASSES, SIDE, activation="leaky_relu" if is_leaky else "relu")
    twin.to(torch.from_numpy(np.zeros(1, network.dtype)).dtype)
    with torch.no_grad():
        for name, parameter in named(twin):
            layer, part = name.split(".")
            value = network.state[name]
            if value.ndim == 4:
                value = value.transpose(3, 2, 0, 1)
            if name == "dense1.weight":
                value = to_channels_first(network, value)
            parameter.copy_(torch.from_numpy((value.T if is_dense(layer, part) else value).copy()))
    return twin


def is_dense(layer, part):
    return layer.startswith("dense") and part == "weight"


def named(twin):
    """The twin's parameters under the engine's names."""
    kinds = {"conv2d": nn.Conv2d, "batchnorm": nn.BatchNorm2d, "dense": nn.Linear}
    for kind, module in kinds.items():
        found = [m for m in twin.modules() if isinstance(m, module)]
        for number, layer in enumerate(found, start=1):
            for part, parameter in layer.named_parameters():
                yield f"{kind}{number}.{part}", parameter


def to_channels_first(network, weight):
    height, width, channels = network.shapes["batchnorm3"]
    table = weight.reshape(height, width, channels, -1).transpose(2, 0, 1, 3)
    return table.reshape(height * width * channels, -1)


def batch(number, size=8, dtype=np.float32):
    random = np.random.default_rng(number)
    images = random.standard_normal((size, SIDE, SIDE, 3)).astype(dtype)
    return images, random.integers(CLASSES, size=size)


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_the_network_agrees_forth_and_back(size, activation):
    network = light_cnn(CLASSES, SIDE, activation=activation, dtype=np.float64)
    twin = twin_of(network)
    images, targets = batch(0, size, np.float64)
    logits, loss, found = pass_through(network, images, targets)
    expected, wanted_loss, wanted = pass_through_twin(twin, images, targets)
    assert_close(logits, expected)
    assert loss == pytest.approx(wanted_loss, abs=MOST)
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        assert_close(gradient, wanted[name])
    evaluated = twin.eval()(to_torch(images)).detach().numpy()
    assert_close(network.forward(images), evaluated)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_single_precision_rounds_as_pytorch_s_does(activation):
    """Medians over batches: a value next to a kink of one activation may turn a whole gradient."""
    network = light_cnn(CLASSES, SIDE, activation=activation, dtype=np.float32)
    twin = twin_of(network)
    exact = deepcopy(twin).double()
    errors = []
    for number in range(7):
        images, targets = batch(number, 5)
        logits, loss, found = pass_through(network, images, targets)
        expected, _, theirs = pass_through_twin(twin, images, targets)
        _, true_loss, truth = pass_through_twin(exact, images.astype(np.float64), targets)
        assert_close(logits, expected)
        assert loss == pytest.approx(true_loss, abs=MOST)
        errors.append([relative_error(found, truth), relative_error(theirs, truth)])
    ours, pytorch_s = np.median(errors, axis=0)
    assert ours <= 3 * pytorch_s
    assert ours <= 2 * MOST


def pass_through(network, images, targets):
    """Logits, loss and gradients of the engine, forth and back."""
    weights = np.array([0.7, 1.9], images.dtype)
    logits = network.forward(images, training=True)
    loss, gradient = cross_entropy(logits, targets, weights)
    network.backward(gradient)
    found = dict(network.gradients)
    found["dense1.weight"] = to_channels_first(network, found["dense1.weight"])
    return logits, loss, found


def pass_through_twin(twin, images, targets):
    """The same of PyTorch, laid out as the engine has it."""
    twin.train().zero_grad()
    weights = torch.tensor([0.7, 1.9], dtype=torch.from_numpy(images).dtype)
    logits = twin(to_torch(images))
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(targets), weight=weights)
    loss.backward()
    found = {name: to_engine(name.split(".")[1], part.grad) for name, part in named(twin)}
    return logits.detach().numpy(), loss.item(), found


def relative_error(found, truth):
    """The largest of all parameters' gradients, of their Euclidean norms."""
    return max(
        np.linalg.norm(found[name] - true) / max(1.0, np.linalg.norm(true))
        for name, true in truth.items()
    )


def paired_losses(kind, sizes, dtype=np.float32):
    """The losses of both, trained on the same batches of these sizes; and both networks."""
    network = light_cnn(CLASSES, SIDE, dtype=dtype)
    twin = twin_of(network)
    ours, theirs = {
        "sgd": (SGD(1e-3), lambda p: torch.optim.SGD(p, 1e-3)),
        "momentum": (SGD(1e-4, momentum=0.9), lambda p: torch.optim.SGD(p, 1e-4, momentum=0.9)),
        "adam": (Adam(1e-4), lambda p: torch.optim.Adam(p, 1e-4)),
    }[kind]
    optimizer, losses = theirs(twin.parameters()), []
    for number, size in enumerate(sizes):
        images, targets = batch(number % 10, size, dtype)
        loss, _ = network.step(images, targets, ours)
        optimizer.zero_grad()
        expected = nn.functional.cross_entropy(twin(to_torch(images)), torch.from_numpy(targets))
        expected.backward()
        optimizer.step()
        losses.append((loss, expected.item()))
    return np.array(losses), network, twin


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_fifty_steps_stay_together(kind):
    # Every tenth batch is the last of an epoch, and smaller.
    losses, network, twin = paired_losses(kind, ([8] * 9 + [3]) * 5)
    assert np.abs(losses[:, 0] - losses[:, 1]).max() < 1e-3
    assert losses[40:].mean() < losses[:10].mean()
    for number, module in enumerate((twin.features[2], twin.features[5], twin.features[9]), 1):
        buffers = network.layers[f"batchnorm{number}"].buffers
        assert np.abs(buffers["mean"] - module.running_mean.numpy()).max() < 1e-3
        assert np.abs(buffers["variance"] - module.running_var.numpy()).max() < 1e-3


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
def test_batches_of_one_stay_together(kind):
    losses, _, _ = paired_losses(kind, [1, 2, 1, 8, 1], np.float64)
    assert np.abs(losses[:, 0] - losses[:, 1]).max() < MOST
