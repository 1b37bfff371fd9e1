"""Batch normalisation, with an exact backward pass.

Source: Ioffe and Szegedy, "Batch Normalization" (ICML 2015).
"""

from __future__ import annotations

import numpy as np

from eosin.core.types import FloatArray
from eosin.engine.layers import Layer, Shape, kept, sum_rows


class BatchNorm(Layer):
    """Bring each channel to mean 0 and deviation 1 over the batch, then scale and move it.

    In evaluation the running statistics stand in for the batch's.

    Args:
        momentum: Share of a new batch in the running statistics.
        epsilon: Added to the variance.
    """

    def __init__(self, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Begin as the identity."""
        del random
        channels = shape[-1]
        self.parameters = {"weight": np.ones(channels, dtype), "bias": np.zeros(channels, dtype)}
        self.buffers = {"mean": np.zeros(channels, dtype), "variance": np.ones(channels, dtype)}
        return shape

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Map (B, …, C) to the same shape."""
        table = inputs.reshape(-1, inputs.shape[-1])  # (N, C)
        if training:
            mean, variance = self._measure(table)
        else:
            mean, variance = self.buffers["mean"], self.buffers["variance"]
        deviation = np.sqrt(variance + inputs.dtype.type(self.epsilon))
        factor = self.parameters["weight"] / deviation
        outputs = table * factor
        outputs += self.parameters["bias"] - mean * factor
        self._kept = (table, mean, deviation) if training else None
        return outputs.reshape(inputs.shape)

    def _measure(self, table: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of the batch, and let the running ones follow."""
        n = len(table)
        mean = sum_rows(table) / n
        centred = table - mean
        # In one pass, without a second table of squares.
        variance = np.einsum("nc,nc->c", centred, centred) / n
        # PyTorch keeps the unbiased variance for evaluation.
        unbiased = variance * (n / max(n - 1, 1))
        for name, value in (("mean", mean), ("variance", unbiased)):
            old = self.buffers[name]
            self.buffers[name] = old + old.dtype.type(self.momentum) * (value - old)
        return mean, variance

    def backward(self, gradient: FloatArray, *, wants_input: bool = True) -> FloatArray | None:
        """Go back through mean and variance, too.

        With x̂ = (x − mean) / deviation and g the derivative by what came out, the derivative by x
        is weight / deviation · (g − mean(g) − x̂ · mean(g · x̂)): per channel a factor on g, one on x
        and a constant.
        """
        if self._kept is None:
            return kept(None)
        table, mean, deviation = self._kept
        given = gradient.reshape(table.shape)
        n = len(table)
        total = sum_rows(given)
        along = (np.einsum("nc,nc->c", given, table) - mean * total) / deviation  # Σ g · x̂
        self.gradients = {"weight": along, "bias": total}
        if not wants_input:
            return None
        factor = self.parameters["weight"] / deviation
        slope = -factor * along / (n * deviation)
        passed = table * slope
        passed += factor * given
        passed -= factor * total / n + slope * mean
        return passed.reshape(gradient.shape)
