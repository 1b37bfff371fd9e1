"""What every layer is, and the small ones: dense, flatten, dropout, ReLU.

Images are (B, H, W, C), channels last: a row of a patch is then one contiguous stretch of memory,
and what follows a convolution is a matrix product away from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from eosin.core.errors import RecipeError
from eosin.core.types import FloatArray

#: Shape of one example, without the batch.
Shape = tuple[int, ...]


class Layer(ABC):
    """One step of a network.

    Attributes:
        parameters: What is learnt, by name; filled by :meth:`build`.
        gradients: The loss's derivative by each of them, after :meth:`backward`.
        buffers: What is remembered without being learnt, such as running statistics.
        decays: Names of the parameters that L2 holds small: weights, not biases.
        wants_input: Whether the derivative by the input is wanted: nothing lies before a network's
            first layer.
    """

    decays: tuple[str, ...] = ()
    wants_input = True

    def __init__(self) -> None:
        self.parameters: dict[str, FloatArray] = {}
        self.gradients: dict[str, FloatArray] = {}
        self.buffers: dict[str, FloatArray] = {}

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Make the parameters for examples of a shape; return the shape that comes out."""
        return shape

    @abstractmethod
    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Return what comes out, (B, …); in training, keep what :meth:`backward` will need."""

    @abstractmethod
    def backward(self, gradient: FloatArray) -> FloatArray | None:
        """Go back through the last :meth:`forward` in training.

        Args:
            gradient: The loss's derivative by what came out, of the same shape.

        Returns:
            The derivative by the input; nothing where it is dear and not wanted.
        """


class Dense(Layer):
    """Every output is a weighted sum of all inputs: ``outputs = inputs @ weight + bias``.

    Args:
        units: How many outputs.
    """

    decays = ("weight",)

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Draw the weight (inputs, units) as He et al. (2015) do; the bias begins at zero."""
        if len(shape) != 1:
            raise RecipeError(f"a dense layer takes a row of numbers, got {shape}: flatten first")
        self.parameters = {
            "weight": draw_he((shape[0], self.units), shape[0], random, dtype),
            "bias": np.zeros(self.units, dtype),
        }
        return (self.units,)

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Map (B, inputs) to (B, units)."""
        self._inputs = inputs if training else None
        outputs: FloatArray = inputs @ self.parameters["weight"]
        outputs += self.parameters["bias"]
        return outputs

    def backward(self, gradient: FloatArray) -> FloatArray | None:
        """Two matrix products: with the inputs, and with the weight."""
        inputs = kept(self._inputs)
        self.gradients = {"weight": inputs.T @ gradient, "bias": sum_channels(gradient)}
        return gradient @ self.parameters["weight"].T if self.wants_input else None


class Flatten(Layer):
    """Lay an image out as one row, (B, H, W, C) to (B, H · W · C); channels vary fastest."""

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Return the length of the row."""
        return (int(np.prod(shape)),)

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Return the same numbers."""
        self._shape = inputs.shape
        return inputs.reshape(len(inputs), -1)

    def backward(self, gradient: FloatArray) -> FloatArray:
        """Fold the row up again."""
        return gradient.reshape(self._shape)


class LeakyReLU(Layer):
    """Keep what is above zero, scale the rest.

    At zero itself the slope is that of the negative side, as PyTorch has it.

    Args:
        slope: Factor below zero, from 0 to 1.
    """

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        if not 0 <= slope <= 1:
            raise RecipeError(f"`slope` must lie in 0 to 1, got {slope}")
        self.slope = slope

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Map (B, …) to the same shape."""
        outputs = np.maximum(inputs, self.slope * inputs if self.slope else 0)
        # The sign survives, so that what came out tells which side each number was on.
        self._outputs = outputs if training else None
        return outputs

    def backward(self, gradient: FloatArray) -> FloatArray:
        """Scale the derivative where the input was not above zero."""
        factor = kept(self._outputs) > 0
        if not self.slope:
            return gradient * factor
        return gradient * np.maximum(factor.astype(gradient.dtype), self.slope)


class ReLU(LeakyReLU):
    """Keep what is above zero; the rest becomes zero."""

    def __init__(self) -> None:
        super().__init__(0.0)


class Dropout(Layer):
    """In training, set a share of the numbers to zero and scale the others up to make up for it.

    Args:
        rate: Share that is dropped, from 0 to below 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise RecipeError(f"`rate` must be at least 0 and below 1, got {rate}")
        self.rate = rate

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Draw from the network's seed, too, step after step."""
        self._random = random
        return shape

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Map (B, …) to the same shape."""
        if not training or self.rate == 0:
            self._factor = None
            return inputs
        keep = self._random.random(inputs.shape, dtype=np.float32) >= self.rate
        self._factor = keep.astype(inputs.dtype) / (1 - self.rate)
        return inputs * self._factor

    def backward(self, gradient: FloatArray) -> FloatArray:
        """Drop and scale the derivative alike."""
        return gradient if self._factor is None else gradient * self._factor


def draw_he(shape: Shape, fan_in: int, random: np.random.Generator, dtype: np.dtype) -> FloatArray:
    """Draw weights from a normal distribution of variance 2 / fan_in.

    Source: He et al., "Delving Deep into Rectifiers" (ICCV 2015), equation 10.
    """
    drawn: FloatArray = random.standard_normal(shape) * np.sqrt(2.0 / fan_in)
    return drawn.astype(dtype)


def sum_channels(images: FloatArray, others: FloatArray | None = None) -> FloatArray:
    """Sum (B, …, C), or its products with others of the shape, over all but the channels: (C,).

    Whole lines of W · C numbers are added first: NumPy's inner loop is then long, and eight times
    faster than over C. What is left is few, and summed in float64.
    """
    lines = images.reshape(-1, *images.shape[-2:])
    if others is None:
        total = lines.sum(axis=0)
    else:
        total = np.einsum("nwc,nwc->wc", lines, others.reshape(lines.shape))
    summed: FloatArray = total.sum(axis=0, dtype=np.float64).astype(images.dtype)
    return summed


def spread_channels(values: FloatArray, images: FloatArray) -> FloatArray:
    """Repeat one number a channel, (C,), over a line of images (B, H, W, C): (W, C).

    What is then done with both runs in NumPy's inner loop over W · C numbers, not over C.
    """
    return np.tile(values, (images.shape[-2], 1)) if images.ndim > 2 else values


def kept(value: FloatArray | None) -> FloatArray:
    """Return what a forward pass in training has kept, and refuse where there was none."""
    if value is None:
        raise RuntimeError("backward() needs a forward() with training=True before it")
    return value
