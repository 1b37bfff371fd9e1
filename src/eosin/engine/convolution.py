"""The convolution, as one matrix product a batch.

Every patch under the kernel becomes a row of a table ("im2col": Chellapilla et al., 2006), and the
whole layer is that table times the kernels. Where the time goes on the BreakHis network (224 px,
batch 32, measured by ``python -m benchmarks.engine``): gathering patches is one strided copy, whose
inner stretch is a kernel's row times the channels; the products are BLAS; the scatter in the
backward pass adds the table's derivative back onto the image, kernel row by kernel row, and is as
dear as the products.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

from eosin.core.errors import RecipeError
from eosin.core.types import FloatArray
from eosin.engine.layers import Layer, Shape, draw_he, kept, sum_rows


class Conv2d(Layer):
    """Slide square kernels over an image.

    Args:
        filters: How many kernels: channels that come out.
        kernel: Height and width of each, in pixels.
        stride: Pixels from one patch to the next.
        padding: ``valid`` takes patches that lie wholly inside; ``same`` surrounds the image with
            zeros so that ceil(side / stride) patches fit; of an odd number the last row and
            column get one more, as in Keras.
        bias: Whether a number is added to each channel.
    """

    decays = ("weight",)

    def __init__(
        self,
        filters: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: Literal["valid", "same"] = "valid",
        bias: bool = True,
    ) -> None:
        super().__init__()
        if padding not in ("valid", "same"):
            raise RecipeError(f"`padding` must be 'valid' or 'same', got {padding!r}")
        self.filters, self.kernel, self.stride = filters, kernel, stride
        self.padding, self.bias = padding, bias

    def build(self, shape: Shape, random: np.random.Generator, dtype: np.dtype) -> Shape:
        """Draw the kernels (kernel, kernel, channels, filters) as He et al. (2015) do."""
        if len(shape) != 3:
            raise RecipeError(f"a convolution takes images (H, W, C), got {shape}")
        height, width, channels = shape
        self._pads = tuple(self._pad(side) for side in (height, width))
        padded = [side + sum(pad) for side, pad in zip((height, width), self._pads, strict=True)]
        if min(padded) < self.kernel:
            raise RecipeError(
                f"a kernel of {self.kernel} px does not fit into {height} × {width} px"
            )
        fan_in = self.kernel**2 * channels
        self.parameters["weight"] = draw_he(
            (self.kernel, self.kernel, channels, self.filters), fan_in, random, dtype
        )
        if self.bias:
            self.parameters["bias"] = np.zeros(self.filters, dtype)
        self._sides = tuple((side - self.kernel) // self.stride + 1 for side in padded)
        return (*self._sides, self.filters)

    def _pad(self, side: int) -> tuple[int, int]:
        """Return the zeros before and after a side."""
        if self.padding == "valid":
            return 0, 0
        wanted = -(-side // self.stride)
        total = max((wanted - 1) * self.stride + self.kernel - side, 0)
        return total // 2, total - total // 2

    def forward(self, inputs: FloatArray, *, training: bool) -> FloatArray:
        """Map (B, H, W, C) to (B, H', W', filters)."""
        if self.padding == "same":
            inputs = np.pad(inputs, ((0, 0), *self._pads, (0, 0)))
        patches = self._gather(inputs)  # (B · H' · W', k · k · C)
        self._patches = patches if training else None
        self._padded_shape = inputs.shape
        outputs: FloatArray = patches @ self.parameters["weight"].reshape(-1, self.filters)
        if self.bias:
            outputs += self.parameters["bias"]
        return outputs.reshape(len(inputs), *self._sides, self.filters)

    def _gather(self, images: FloatArray) -> FloatArray:
        """Copy every patch into a row of its own."""
        batch, channels = len(images), images.shape[-1]
        # A kernel's row of k pixels is k · C numbers in a line: the copy's inner stretch.
        rows = np.ascontiguousarray(images)
        b, h, w, c = rows.strides
        windows = as_strided(
            rows,
            (batch, *self._sides, self.kernel, self.kernel * channels),
            (b, h * self.stride, w * self.stride, h, c),
            writeable=False,
        )
        return windows.reshape(-1, self.kernel**2 * channels)

    def backward(self, gradient: FloatArray, *, wants_input: bool = True) -> FloatArray | None:
        """Two matrix products, and the scatter of patches back onto the image."""
        table = gradient.reshape(-1, self.filters)
        weight = self.parameters["weight"]
        self.gradients["weight"] = (kept(self._patches).T @ table).reshape(weight.shape)
        if self.bias:
            self.gradients["bias"] = sum_rows(table)
        if not wants_input:
            return None
        return self._scatter(table @ weight.reshape(-1, self.filters).T)

    def _scatter(self, patches: FloatArray) -> FloatArray:
        """Add every patch's numbers where they were gathered from."""
        batch, height, width, channels = self._padded_shape
        (rows, columns), k, s = self._sides, self.kernel, self.stride
        patches = patches.reshape(batch, rows, columns, k, k, channels)
        images = np.zeros(self._padded_shape, patches.dtype)
        for i in range(k):
            for j in range(k):
                images[:, i : i + rows * s : s, j : j + columns * s : s] += patches[:, :, :, i, j]
        (top, bottom), (left, right) = self._pads
        return images[:, top : height - bottom, left : width - right]
