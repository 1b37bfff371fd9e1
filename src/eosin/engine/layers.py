"""Base class of layers, and dense, flatten, dropout and ReLU.

Images are (B, H, W, C), channels last: a row of a patch is contiguous in memory, and the layer
after a convolution is one matrix product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from eosin.core.errors import RecipeError
from eosin.core.types import FloatArray

#: Shape of one example, without the batch.
Shape = tuple[int, ...]


class Layer(ABC):
    """One layer of a network.

    Attributes:
        parameters: Learnable arrays, by name; filled by :meth:`build`.
        gradients: The loss's derivative by each of them, after :meth:`backward`.
        buffers: State that is not learnt, such as running statistics.
        decays: Names of the parameters under the L2 penalty: weights, not biases.
        wants_input: False for a network's first layer, whose input needs no derivative.
    """

    decays: tuple[str, ...] = ()
    wants_input = True

    def __init__(self) -> None:
        self.parameters: dict[str, FloatArray] = {}
        self.gradients: dict[str, FloatArray] = {}
        self.buffers: dict[str, FloatArray] = {}

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Initialise the parameters for examples of a shape; return the output shape."""
        return shape

    @abstractmethod
    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Return the output, (B, …); in training, keep what :meth:`backward` needs."""

    @abstractmethod
    def backward(self, gradient: FloatArray) -> FloatArray | None:
        """Propagate the gradient by the output back through the last :meth:`forward` in training.

        Returns the derivative by the input; None where it is costly and not wanted.
        """


class Dense(Layer):
    """Dense layer: ``outputs = inputs @ weight + bias``."""

    decays = ("weight",)

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Initialise the weight (inputs, units) as He et al. (2015), the bias with zeros."""
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
        """Return the derivative by the input; two matrix products, with inputs and weight."""
        inputs = kept(self._inputs)
        self.gradients = {"weight": inputs.T @ gradient, "bias": sum_channels(gradient)}
        return gradient @ self.parameters["weight"].T if self.wants_input else None


class Flatten(Layer):
    """Flatten an image, (B, H, W, C) to (B, H · W · C); channels vary fastest."""

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Return the length of the row."""
        return (int(np.prod(shape)),)

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Map (B, H, W, C) to (B, H · W · C)."""
        self._shape = inputs.shape
        return inputs.reshape(len(inputs), -1)

    def backward(self, gradient: FloatArray) -> FloatArray:
        """Restore the shape of the image."""
        return gradient.reshape(self._shape)


class LeakyReLU(Layer):
    """Leaky ReLU; at zero the slope is that of the negative side, as in PyTorch."""

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        if not 0 <= slope <= 1:
            raise RecipeError(f"`slope` must be between 0 and 1, got {slope}")
        self.slope = slope

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Map (B, …) to the same shape."""
        outputs = np.maximum(inputs, self.slope * inputs if self.slope else 0)
        # The sign survives, so that the output shows on which side each input was.
        self._outputs = outputs if training else None
        return outputs

    def backward(self, gradient: FloatArray) -> FloatArray:
        """Scale the gradient where the input was not above zero."""
        factor = kept(self._outputs) > 0
        if not self.slope:
            return gradient * factor
        return gradient * np.maximum(factor.astype(gradient.dtype), self.slope)


class ReLU(LeakyReLU):
    """Rectified linear unit."""

    def __init__(self) -> None:
        super().__init__(0.0)


class Dropout(Layer):
    """Inverted dropout: in training, zero a share of the numbers and scale up the others."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise RecipeError(f"`rate` must be at least 0 and below 1, got {rate}")
        self.rate = rate

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Take the random generator of the network; the shape stays."""
        self.random = random
        return shape

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Map (B, …) to the same shape."""
        if not training or self.rate == 0:
            self._factor = None
            return inputs
        keep = self.random.random(inputs.shape, dtype=np.float32) >= self.rate
        self._factor = keep.astype(inputs.dtype) / (1 - self.rate)
        return inputs * self._factor

    def backward(self, gradient: FloatArray) -> FloatArray:
        """Apply the mask of the forward pass to the gradient."""
        return gradient if self._factor is None else gradient * self._factor


def draw_he(shape: Shape, fan_in: int, random: np.random.Generator, dtype: np.dtype) -> FloatArray:
    """Draw weights from a normal distribution of variance 2 / fan_in.

    Source: He et al., "Delving Deep into Rectifiers" (ICCV 2015), equation 10.
    """
    drawn: FloatArray = random.standard_normal(shape) * np.sqrt(2.0 / fan_in)
    return drawn.astype(dtype)


def sum_channels(images: FloatArray, others: FloatArray | None = None) -> FloatArray:
    """Sum (B, …, C), or its products with others of the shape, over all but the channels: (C,).

    Whole rows of W · C numbers are added first: NumPy's inner loop is then long, and eight times
    faster than over C. The few remaining sums are in float64.
    """
    lines = images.reshape(-1, *images.shape[-2:])
    if others is None:
        total = lines.sum(axis=0)
    else:
        total = np.einsum("nwc,nwc->wc", lines, others.reshape(lines.shape))
    summed: FloatArray = total.sum(axis=0, dtype=np.float64).astype(images.dtype)
    return summed


def spread_channels(values: FloatArray, images: FloatArray) -> FloatArray:
    """Repeat one number a channel, (C,), over a row of images (B, H, W, C): (W, C).

    Operations with the images then run in NumPy's inner loop over W · C numbers, not over C.
    """
    return np.tile(values, (images.shape[-2], 1)) if images.ndim > 2 else values


def kept(value: FloatArray | None) -> FloatArray:
    """Return a value kept by a forward pass in training; raise an error if there was none."""
    if value is None:
        raise RuntimeError("backward() needs a forward() with training=True before it")
    return value
