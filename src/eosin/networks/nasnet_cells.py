"""The two cells of NASNet-A; see :mod:`eosin.networks.nasnet` for the source and what differs."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


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
