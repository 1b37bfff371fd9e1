"""Convolution, as one matrix product a batch.

Every patch under the kernel becomes a row of a table ("im2col": Chellapilla et al., 2006), and the
whole layer is that table times the kernels.

The derivative by the input is a convolution, too. The usual im2col scatters there: it adds the
derivative by the table onto the image patch by patch. Gathering instead, see
:meth:`Conv2d._pass_back`, takes 0.5 to 0.85 of its time at the BreakHis network's second layer.

Time of a training step of that network (224 px, batches of 32, two threads, ``python -m
benchmarks.engine``): 45 % matrix products, 14 % gathering patches, 7 % other work of convolutions
(bias, zero padding, placing blocks), 19 % batch normalisation, 15 % the rest.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

from eosin.core.errors import RecipeError
from eosin.core.types import FloatArray
from eosin.engine.layers import Layer, Shape, draw_he, kept, spread_channels, sum_channels


class Conv2d(Layer):
    """Two-dimensional convolution with square kernels.

    Args:
        filters: Number of kernels, the output channels.
        kernel: Height and width of each, in pixels.
        stride: Pixels from one patch to the next.
        padding: ``valid`` takes patches that lie wholly inside; ``same`` pads with zeros to
            ceil(side / stride) patches; an odd number of zeros puts one more after the last row
            and column, as in Keras.
        bias: Add a learnt number to each channel.
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
        """Initialise the kernels (kernel, kernel, channels, filters) as He et al. (2015)."""
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
        return (*((side - self.kernel) // self.stride + 1 for side in padded), self.filters)

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
        patches = gather(inputs, self.kernel, self.stride)  # (B, H', W', k · k · C)
        self._patches = patches if training else None
        self._padded = inputs.shape[1:]
        weight = self.parameters["weight"].reshape(-1, self.filters)
        outputs = np.tensordot(patches, weight, axes=1)
        if self.bias:
            outputs += spread_channels(self.parameters["bias"], outputs)
        return outputs

    def backward(self, gradient: FloatArray) -> FloatArray | None:
        """Return the derivative by the input; two matrix products, with patches and kernels."""
        patches = kept(self._patches)
        products = np.tensordot(patches, gradient, axes=((0, 1, 2), (0, 1, 2)))
        self.gradients["weight"] = products.reshape(self.parameters["weight"].shape)
        if self.bias:
            self.gradients["bias"] = sum_channels(gradient)
        return self._pass_back(gradient) if self.wants_input else None

    def _pass_back(self, gradient: FloatArray) -> FloatArray:
        """Return the derivative by the input, block by block.

        The image is cut into blocks of stride × stride pixels: with stride 2 and kernel 3, a block
        was part of at most 2 × 2 patches, those ``reach`` before it. So the derivative by all
        blocks is itself a convolution, over the gradient, with stride 1 and a kernel of
        ``reach`` px, whose output at a position is a whole block.
        """
        s, reach = self.stride, -(-self.kernel // self.stride)
        height, width, channels = self._padded
        edge = (reach - 1, reach - 1)
        patches = gather(np.pad(gradient, ((0, 0), edge, edge, (0, 0))), reach, 1)
        blocks = np.tensordot(patches, self._turned(reach), axes=1)
        rows, columns = blocks.shape[1:3]
        # Pixels beyond the last patch get zeros.
        most = (max(rows, -(-height // s)), max(columns, -(-width // s)))
        images = np.zeros((len(blocks), most[0], s, most[1], s * channels), gradient.dtype)
        placed = blocks.reshape(-1, rows, columns, s, s * channels).transpose(0, 1, 3, 2, 4)
        images[:, :rows, :, :columns] = placed
        (top, bottom), (left, right) = self._pads
        images = images.reshape(-1, most[0] * s, most[1] * s, channels)
        return images[:, top : height - bottom, left : width - right]

    def _turned(self, reach: int) -> FloatArray:
        """Return the kernels as (reach² · filters, s² · C): from patches to a block."""
        weight, s = self.parameters["weight"], self.stride
        channels = weight.shape[2]
        rest = (0, reach * s - self.kernel)
        weight = np.pad(weight, (rest, rest, (0, 0), (0, 0)))
        weight = weight.reshape(reach, s, reach, s, channels, self.filters)
        # A block's first patch covers it with the kernel's last rows.
        turned = weight[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4)
        return turned.reshape(reach**2 * self.filters, s**2 * channels)


def gather(images: FloatArray, kernel: int, stride: int) -> FloatArray:
    """Copy every patch of (B, H, W, C) into its own row, (B, H', W', k · k · C)."""
    images = np.ascontiguousarray(images)
    batch, height, width, channels = images.shape
    rows, columns = ((side - kernel) // stride + 1 for side in (height, width))
    # The step of an axis of length one, such as a grey image's channel, may be anything.
    (b, h, w, _), c = images.strides, images.itemsize
    # A kernel's row of k pixels is k · C contiguous numbers: the copy's inner loop.
    shape = (batch, rows, columns, kernel, kernel * channels)
    windows = as_strided(images, shape, (b, h * stride, w * stride, h, c), writeable=False)
    return windows.reshape(batch, rows, columns, kernel**2 * channels)
