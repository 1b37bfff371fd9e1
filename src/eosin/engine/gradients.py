"""Gradients against finite differences: what shows that a backward pass is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eosin.core.types import FloatArray
from eosin.engine.layers import Layer

#: Step of the central difference: its error falls with the square, rounding rises with 1 / step.
STEP = 1e-5


def numeric_gradient(
    function: Callable[[], float], array: FloatArray, *, step: float = STEP
) -> FloatArray:
    """Return the derivative of a function by every number of an array that it reads.

    Args:
        function: Of the array's present contents.
        array: float64; changed number by number, and put back.
        step: Half the distance of the two values that are compared.
    """
    gradient = np.zeros_like(array)
    flat, out = array.reshape(-1), gradient.reshape(-1)
    for index, value in enumerate(flat.tolist()):
        flat[index] = value + step
        above = function()
        flat[index] = value - step
        below = function()
        flat[index] = value
        out[index] = (above - below) / (2 * step)
    return gradient


def gradient_errors(
    layer: Layer, inputs: FloatArray, random: np.random.Generator
) -> dict[str, float]:
    """Compare a layer's backward pass with finite differences.

    Args:
        layer: Built in float64 for such inputs.
        inputs: float64, shape (B, …).
        random: Draws the weights with which the outputs are summed to one number.

    Returns:
        By parameter, and for ``inputs``: the largest difference, relative to the largest
        derivative.
    """
    weights = random.standard_normal(layer.forward(inputs, training=True).shape)

    def total() -> float:
        return float((layer.forward(inputs, training=True) * weights).sum())

    layer.forward(inputs, training=True)
    passed = layer.backward(weights)
    found = {name: value.copy() for name, value in layer.gradients.items()}
    arrays = dict(layer.parameters)
    if passed is not None:
        found["inputs"], arrays["inputs"] = passed, inputs
    errors = {}
    for name, value in arrays.items():
        expected = numeric_gradient(total, value)
        scale = max(float(np.abs(expected).max()), 1e-8)
        errors[name] = float(np.abs(found[name] - expected).max()) / scale
    return errors
