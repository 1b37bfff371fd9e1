"""Max-pooling."""

from __future__ import annotations

import numpy as np

from eosin.core.errors import RecipeError
from eosin.core.types import FloatArray
from eosin.engine.layers import Layer, Shape, kept


class MaxPool2d(Layer):
    """Largest number of each window of ``size`` × ``size`` pixels, channel by channel.

    Windows are adjacent; a remainder at the right and the bottom is ignored. Of equal numbers the
    first, row by row, gets the whole derivative, as in PyTorch.
    """

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.size = size

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Return the output shape."""
        if len(shape) != 3 or min(shape[:2]) < self.size:
            raise RecipeError(f"windows of {self.size} px do not fit into {shape}")
        return (shape[0] // self.size, shape[1] // self.size, shape[2])

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Map (B, H, W, C) to (B, H // size, W // size, C)."""
        places = self._places(inputs)
        outputs = places[0].copy()
        for place in places[1:]:
            np.maximum(outputs, place, out=outputs)
        self._kept = (inputs, outputs) if training else (None, None)
        return outputs

    def _places(self, images: FloatArray) -> list[FloatArray]:
        """Return each position in a window as a view of all windows, row by row."""
        s = self.size
        height, width = (side // s * s for side in images.shape[1:3])
        return [images[:, i:height:s, j:width:s] for i in range(s) for j in range(s)]

    def backward(self, gradient: FloatArray) -> FloatArray:
        """Pass each window's gradient to its largest number."""
        inputs, outputs = (kept(value) for value in self._kept)
        passed = np.zeros(inputs.shape, gradient.dtype)
        left = gradient.copy()
        for place, target in zip(self._places(inputs), self._places(passed), strict=True):
            np.multiply(left, place == outputs, out=target)
            # Later positions with the same number get none.
            left -= target
        return passed
