"""Every backward pass against finite differences in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eosin.engine import (
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    MaxPool2d,
    ReLU,
    cross_entropy,
)

MOST = 1e-6
DOUBLE = np.dtype(np.float64)
#: Half the distance of two compared values: the error falls with its square, rounding rises.
STEP = 1e-5


def numeric_gradient(function, array):
    """The derivative of a function by every number of a float64 array that it reads."""
    flat, out = array.reshape(-1), np.zeros(array.size)
    for index, value in enumerate(flat.tolist()):
        flat[index] = value + STEP
        above = function()
        flat[index] = value - STEP
        out[index] = (above - function()) / (2 * STEP)
        flat[index] = value
    return out.reshape(array.shape)


def gradient_errors(layer, inputs, random):
    """By parameter, and for the inputs: the largest difference, relative to the largest value."""
    weights = random.standard_normal(layer.forward(inputs, training=True).shape)
    passed = layer.backward(weights)
    found = {name: value.copy() for name, value in layer.gradients.items()} | {"inputs": passed}

    def total():
        return float((layer.forward(inputs, training=True) * weights).sum())

    errors = {}
    for name, value in (layer.parameters | {"inputs": inputs}).items():
        expected = numeric_gradient(total, value)
        errors[name] = np.abs(found[name] - expected).max() / max(np.abs(expected).max(), 1e-8)
    return errors


def errors_of(layer, shape, *, batch=2, seed=0):
    random = np.random.default_rng(seed)
    layer.build(shape, random, DOUBLE)
    inputs = random.standard_normal((batch, *shape))
    return gradient_errors(layer, inputs, random)


@settings(max_examples=40)
@given(
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    channels=st.integers(1, 3),
    filters=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 4),
    padding=st.sampled_from(["valid", "same"]),
    bias=st.booleans(),
    batch=st.integers(1, 3),
)
def test_convolution(height, width, channels, filters, kernel, stride, padding, bias, batch):
    layer = Conv2d(filters, kernel, stride=stride, padding=padding, bias=bias)
    found = errors_of(layer, (height, width, channels), batch=batch)
    assert set(found) == {"weight", "inputs", *(["bias"] if bias else [])}
    assert max(found.values()) < MOST


@settings(max_examples=15)
@given(
    height=st.integers(2, 7), width=st.integers(2, 7), channels=st.integers(1, 3),
    size=st.integers(1, 2), batch=st.integers(1, 3),
)  # fmt: skip
def test_max_pooling(height, width, channels, size, batch):
    assert errors_of(MaxPool2d(size), (height, width, channels), batch=batch)["inputs"] < MOST


@settings(max_examples=15)
@given(shape=st.sampled_from([(3,), (2, 3, 2), (1, 1, 4)]), batch=st.integers(2, 5))
def test_batch_norm(shape, batch):
    found = errors_of(BatchNorm(), shape, batch=batch)
    assert set(found) == {"weight", "bias", "inputs"}
    assert max(found.values()) < MOST


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(Dense(3), (4,)), (ReLU(), (3, 3, 2)), (LeakyReLU(0.2), (5,)), (Flatten(), (2, 3, 2))],
    ids=["dense", "relu", "leaky", "flatten"],
)
def test_the_small_layers(layer, shape):
    assert max(errors_of(layer, shape, batch=3).values()) < MOST


def test_dropout_lets_through_what_it_kept():
    layer = Dropout(0.5)
    layer.build((50,), np.random.default_rng(0), DOUBLE)
    inputs = np.random.default_rng(1).standard_normal((4, 50))
    outputs = layer.forward(inputs, training=True)
    given = np.ones_like(inputs)
    assert np.array_equal(layer.backward(given) * inputs, outputs)
    assert 0.3 < (outputs == 0).mean() < 0.7
    assert np.array_equal(layer.forward(inputs, training=False), inputs)


@settings(max_examples=20)
@given(rows=st.integers(1, 6), classes=st.integers(2, 4), seed=st.integers(0, 99))
def test_cross_entropy(rows, classes, seed):
    random = np.random.default_rng(seed)
    logits = random.standard_normal((rows, classes))
    targets = random.integers(classes, size=rows)
    weights = random.random(classes) + 0.1
    _, found = cross_entropy(logits, targets, weights)
    expected = numeric_gradient(lambda: cross_entropy(logits, targets, weights)[0], logits)
    assert np.abs(found - expected).max() < MOST


def test_of_equal_numbers_the_first_gets_the_derivative():
    layer = MaxPool2d(2)
    layer.build((2, 2, 1), np.random.default_rng(0), DOUBLE)
    layer.forward(np.ones((1, 2, 2, 1)), training=True)
    assert layer.backward(np.full((1, 1, 1, 1), 7.0)).ravel().tolist() == [7, 0, 0, 0]
