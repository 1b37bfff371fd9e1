"""NASNet-A (4 @ 1056), "NASNet-Mobile": P5's rival, on 224 × 224 images.

Source: Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR
2018, figure 4 (cells) and appendix (ImageNet stem), as implemented in Keras. 4,232,978 learnable
parameters without its head; Keras also counts 36,738 of batch-norm's buffers.

What differs: from the paper, the auxiliary classifier is left out, as in Keras. From the authors'
TensorFlow code, Keras pads with zeros before the pooling that halves a map, and the zeros take
part in maximum and mean; so do we. The first reduction cell takes the 32 channels of the stem
as they are. Keras compares feature maps to decide if a cell's earlier input must be halved; here
the cell's position decides: the same at every size from 32 pixels. Batch-norm's momentum is Keras'
0.9997 (0.0003 in PyTorch's counting): its running statistics need thousands of steps, so a short
training evaluates better with ``train.batch_norm = "recalibrated"``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from eosin.networks.classifier import register_backbone

_STEM_FILTERS = 32

#: Name (of Keras' block), kind and filters of every cell; a normal one gives six times its
#: filters, a reduction cell four times.
_CELLS: tuple[tuple[str, Literal["normal", "reduction"], int], ...] = (
    ("stem_1", "reduction", 11),
    ("stem_2", "reduction", 22),
    *((f"normal_{index}", "normal", 44) for index in range(4)),
    ("reduce_4", "reduction", 88),
    *((f"normal_{index}", "normal", 88) for index in range(5, 9)),
    ("reduce_8", "reduction", 176),
    *((f"normal_{index}", "normal", 176) for index in range(9, 13)),
)


class NASNetMobile(nn.Module):
    """The network without its head: (B, C, H, W) to a pooled vector (B, 1056)."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, _STEM_FILTERS, 3, stride=2, bias=False), make_norm(_STEM_FILTERS)
        )
        self.cells = nn.ModuleDict()
        channels = earlier_channels = _STEM_FILTERS
        is_larger = False  # True if the earlier map has twice the side of the last
        for name, kind, filters in _CELLS:
            fit: nn.Module = nn.Identity()
            if self.cells:
                fit = (HalvingProjection if is_larger else Projection)(earlier_channels, filters)
                earlier_channels = filters
            if kind == "normal":
                self.cells[name] = NormalCell(fit, channels, filters)
            else:
                self.cells[name] = ReductionCell(fit, earlier_channels, channels, filters)
            is_larger = kind == "reduction"
            earlier_channels, channels = channels, filters * (6 if kind == "normal" else 4)
        self.num_features = channels
        self.apply(_initialise)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the mean of the last cell's maps after ReLU, shape (B, 1056)."""
        maps = earlier = self.stem(images)  # (B, 32, 111, 111) at 224 pixels
        for cell in self.cells.values():
            maps, earlier = cell(maps, earlier), maps  # at last (B, 1056, 7, 7)
        return functional.relu(maps).mean(dim=(2, 3))


def _initialise(module: nn.Module) -> None:
    """Initialise as Keras: He's normal weights, Glorot's uniform ones in separable convolutions."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    if isinstance(module, Separable):
        for layer in module:
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)


register_backbone(
    "nasnet_mobile",
    NASNetMobile,
    paper="P5",
    stages={
        "stem": "stem",
        "normal1": "cells.normal_0",
        "reduce1": "cells.reduce_4",
        "normal2": "cells.normal_5",
        "reduce2": "cells.reduce_8",
        "normal3": "cells.normal_9",
    },
    num_classes=3,
    preprocessing="centred",
)


class HalvingPad(nn.Module):
    """Zero padding, so that a 'valid' layer of stride 2 and odd kernel maps n pixels to ⌈n / 2⌉."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.reach = kernel // 2

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Pad (B, C, H, W); an even side gets one zero less before than after."""
        height, width = maps.shape[2:]
        left, top = (self.reach - 1 + side % 2 for side in (width, height))
        return functional.pad(maps, (left, self.reach, top, self.reach))


class Separable(nn.Sequential):
    """Twice: ReLU, depthwise and pointwise convolution, batch-norm. The first may halve the map."""

    def __init__(self, in_channels: int, filters: int, kernel: int, stride: int = 1) -> None:
        layers: list[nn.Module] = [nn.ReLU()]
        if stride == 2:
            layers.append(HalvingPad(kernel))
        for channels, step in ((in_channels, stride), (filters, 1)):
            layers += [
                nn.Conv2d(
                    channels,
                    channels,
                    kernel,
                    stride=step,
                    padding=0 if step == 2 else kernel // 2,
                    groups=channels,
                    bias=False,
                ),
                nn.Conv2d(channels, filters, 1, bias=False),
                make_norm(filters),
                nn.ReLU(),
            ]
        super().__init__(*layers[:-1])


class Projection(nn.Sequential):
    """ReLU, 1 × 1 convolution, batch-norm."""

    def __init__(self, in_channels: int, filters: int) -> None:
        super().__init__(
            nn.ReLU(), nn.Conv2d(in_channels, filters, 1, bias=False), make_norm(filters)
        )


class HalvingProjection(nn.Module):
    """A projection of a map of twice the side, which it halves.

    Half of the filters take every second pixel, the others the pixels diagonally between.
    """

    def __init__(self, in_channels: int, filters: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(in_channels, filters // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, filters // 2, 1, stride=2, bias=False)
        self.norm = make_norm(filters)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return (B, filters, ⌈H / 2⌉, ⌈W / 2⌉)."""
        active = functional.relu(maps)
        between = functional.pad(active[:, :, 1:, 1:], (0, 1, 0, 1))
        halved: torch.Tensor = self.norm(torch.cat([self.even(active), self.odd(between)], dim=1))
        return halved


class Cell(nn.Module):
    """Base class of both cells: projects the two inputs to one size and number of channels.

    Args:
        earlier: Projection of the output of the cell before the last.
        in_channels: Channels of the last cell's output.
        filters: Channels inside the cell.
    """

    def __init__(self, earlier: nn.Module, in_channels: int, filters: int) -> None:
        super().__init__()
        self.earlier = earlier
        self.last = Projection(in_channels, filters)


class NormalCell(Cell):
    """Figure 4, left: (B, C, H, W) and an earlier map to (B, 6 · filters, H, W)."""

    def __init__(self, earlier: nn.Module, in_channels: int, filters: int) -> None:
        super().__init__(earlier, in_channels, filters)
        self.left1 = Separable(filters, filters, 5)
        self.right1 = Separable(filters, filters, 3)
        self.left2 = Separable(filters, filters, 5)
        self.right2 = Separable(filters, filters, 3)
        self.left5 = Separable(filters, filters, 3)

    def forward(self, maps: torch.Tensor, earlier: torch.Tensor) -> torch.Tensor:
        """Concatenate the cell's five sums with its earlier input."""
        h, p = self.last(maps), self.earlier(earlier)
        sums = [
            self.left1(h) + self.right1(p),
            self.left2(p) + self.right2(p),
            _local_mean(h) + p,
            2 * _local_mean(p),  # the paper adds the mean to itself
            self.left5(h) + h,
        ]
        return torch.cat([p, *sums], dim=1)


class ReductionCell(Cell):
    """Figure 4, right: (B, C, H, W) and an earlier map to (B, 4 · filters, ⌈H / 2⌉, ⌈W / 2⌉).

    Args:
        earlier: Projection of the output of the cell before the last.
        earlier_channels: Output channels of that projection.
        in_channels: Channels of the last cell's output.
        filters: Channels inside the cell.
    """

    def __init__(
        self, earlier: nn.Module, earlier_channels: int, in_channels: int, filters: int
    ) -> None:
        super().__init__(earlier, in_channels, filters)
        self.left1 = Separable(filters, filters, 5, stride=2)
        self.right1 = Separable(earlier_channels, filters, 7, stride=2)
        self.right2 = Separable(earlier_channels, filters, 7, stride=2)
        self.right3 = Separable(earlier_channels, filters, 5, stride=2)
        self.left5 = Separable(filters, filters, 3)
        self.pad = HalvingPad(3)

    def forward(self, maps: torch.Tensor, earlier: torch.Tensor) -> torch.Tensor:
        """Concatenate the cell's sums but the first, which two of the others use."""
        h, p = self.last(maps), self.earlier(earlier)
        padded = self.pad(h)
        largest = functional.max_pool2d(padded, 3, stride=2)
        first = self.left1(h) + self.right1(p)
        second = largest + self.right2(p)
        third = functional.avg_pool2d(padded, 3, stride=2) + self.right3(p)
        fourth = _local_mean(first) + second
        fifth = self.left5(first) + largest
        return torch.cat([second, third, fourth, fifth], dim=1)


def make_norm(channels: int) -> nn.BatchNorm2d:
    """Return batch-norm with Keras' values for this network; its momentum 0.9997 is 1 - 0.0003."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=3e-4)


def _local_mean(maps: torch.Tensor) -> torch.Tensor:
    """Return means of 3 × 3 pixels, without padding at the border."""
    return functional.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
