"""Batch normalisation, with an exact backward pass.

Source: Ioffe and Szegedy, "Batch Normalization" (ICML 2015).
"""

from __future__ import annotations

import numpy as np

from eosin.core.types import FloatArray
from eosin.engine.layers import Layer, Shape, kept, spread_channels, sum_channels


class BatchNorm(Layer):
    """Standardise each channel over the batch, then scale and shift it.

    In evaluation the running statistics replace the batch's.

    Args:
        momentum: Share of a new batch in the running statistics.
        epsilon: Added to the variance.
    """

    def __init__(self, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Initialise as the identity."""
        channels = shape[-1]
        self.parameters = {"weight": np.ones(channels, dtype), "bias": np.zeros(channels, dtype)}
        self.buffers = {"mean": np.zeros(channels, dtype), "variance": np.ones(channels, dtype)}
        return shape

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Map (B, …, C) to the same shape."""
        n = inputs.size // inputs.shape[-1]
        mean = sum_channels(inputs) / n if training else self.buffers["mean"]
        centred = inputs - spread_channels(mean, inputs)
        variance = sum_channels(centred, centred) / n if training else self.buffers["variance"]
        if training:
            self._follow(mean, variance, n)
        self._centred = centred if training else None
        self._deviation = np.sqrt(variance + self.epsilon)
        factor = self.parameters["weight"] / self._deviation
        outputs: FloatArray = centred * spread_channels(factor, inputs)
        outputs += spread_channels(self.parameters["bias"], inputs)
        return outputs

    def _follow(self, mean: FloatArray, variance: FloatArray, n: int) -> None:
        """Update the running statistics with a batch of n pixels."""
        # PyTorch uses the unbiased variance for evaluation.
        unbiased = variance * (n / max(n - 1, 1))
        for name, value in (("mean", mean), ("variance", unbiased)):
            self.buffers[name] += self.momentum * (value - self.buffers[name])

    def backward(self, gradient: FloatArray) -> FloatArray:
        """Propagate the gradient through mean and variance, too.

        With x̂ = (x − mean) / deviation and g the derivative by the output, the derivative by x
        is weight / deviation · (g − mean(g) − x̂ · mean(g · x̂)): per channel a factor on g, one on
        x − mean and a constant.
        """
        centred, deviation = kept(self._centred), self._deviation
        n = gradient.size // gradient.shape[-1]
        total = sum_channels(gradient)
        along = sum_channels(gradient, centred) / deviation  # Σ g · x̂
        self.gradients = {"weight": along, "bias": total}
        factor = self.parameters["weight"] / deviation
        passed: FloatArray = centred * spread_channels(-factor * along / (n * deviation), gradient)
        passed += gradient * spread_channels(factor, gradient)
        passed -= spread_channels(factor * total / n, gradient)
        return passed
