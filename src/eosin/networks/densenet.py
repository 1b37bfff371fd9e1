"""DenseNet-121, and SE-DenseNet-121 (P4).

Source: Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, Table 1; Hu et al.,
"Squeeze-and-Excitation Networks", CVPR 2018, equations 2 to 4; P4, section 4 and Figure 6: a
squeeze-and-excitation after the output of every dense layer inside the dense blocks and after
every transition (58 + 3 of them).

What differs, or where P4 is silent:

- Depth 121, growth 32 and reduction 16 are our reading; P4 names none (its Table 4 prints 7.127
  and 8.234 "k" parameters, without its layers). A dense layer's 32 channels are squeezed into 2.
- The position of the dropout of its Table 2, 0.25, is not given: here it is DenseNet's own (Huang
  et al., section 4.2), in both networks, where torchvision and timm have it: once in every dense
  layer, after the 3 × 3 convolution. The gate comes before it and squeezes all of the
  convolution's output. The head has none.
- In the text transitions pool by maximum; Huang et al. take the average, as do ImageNet's weights.
- Gates are initialised nearly open (sigmoid(4) = 0.98). All of a DenseNet's weights exist here
  under timm's names; behind half-open gates its frozen batch-norm would see half of the activations
  that it was trained on, 61 times in a row.
- Every second squeezed unit is initialised as the negative of the one before: for any image one of
  a pair passes the ReLU, so that no gate starts dead, as a gate of two units often would.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import nn

from eosin.core.registry import check_rate
from eosin.networks.classifier import register_backbone

_GROWTH = 32
_BOTTLENECK = 4 * _GROWTH
_STEM = 64
_LAYERS = (6, 12, 24, 16)
_REDUCTION = 16
_OPEN = 4.0  # initial input of the gates' sigmoid
_DROP_RATE = 0.25


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation: scale each channel by a gate on the means of all channels.

    Args:
        channels: C; a multiple of twice the reduction's result.
        reduction: Factor by which the squeezed vector is smaller.
    """

    def __init__(self, channels: int, reduction: int = _REDUCTION) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, channels // reduction)
        self.fc2 = nn.Linear(channels // reduction, channels)
        self._initialise()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the scaled channels (B, C, H, W)."""
        squeezed = features.mean(dim=(2, 3))  # (B, C)
        gates = torch.sigmoid(self.fc2(torch.relu(self.fc1(squeezed))))  # (B, C)
        return features * gates[:, :, None, None]

    def _initialise(self) -> None:
        nn.init.kaiming_normal_(self.fc1.weight)
        nn.init.zeros_(self.fc1.bias)
        nn.init.constant_(self.fc2.bias, _OPEN)
        with torch.no_grad():
            self.fc1.weight[1::2] = -self.fc1.weight[::2]


class DenseLayer(nn.Sequential):
    """1 × 1 and 3 × 3 convolution, each behind batch-norm and ReLU, then the gates and dropout."""

    def __init__(self, in_channels: int, drop_rate: float, *, has_gates: bool) -> None:
        super().__init__(
            OrderedDict(
                norm1=nn.BatchNorm2d(in_channels),
                relu1=nn.ReLU(inplace=True),
                conv1=nn.Conv2d(in_channels, _BOTTLENECK, 1, bias=False),
                norm2=nn.BatchNorm2d(_BOTTLENECK),
                relu2=nn.ReLU(inplace=True),
                conv2=nn.Conv2d(_BOTTLENECK, _GROWTH, 3, padding=1, bias=False),
            )
        )
        if has_gates:
            self.add_module("se", SqueezeExcitation(_GROWTH))
        self.add_module("dropout", nn.Dropout(drop_rate))


class DenseBlock(nn.ModuleDict):
    """Dense layers, each on the block's input and the outputs of all earlier layers."""

    def __init__(self, layers: int, in_channels: int, drop_rate: float, *, has_gates: bool) -> None:
        super().__init__(
            {
                f"denselayer{index + 1}": DenseLayer(
                    in_channels + index * _GROWTH, drop_rate, has_gates=has_gates
                )
                for index in range(layers)
            }
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the input (B, C, H, W) and each layer's output as (B, C + 32 · layers, H, W)."""
        for layer in self.values():
            features = torch.cat([features, layer(features)], dim=1)
        return features


class Transition(nn.Sequential):
    """Half the channels, half the height and width, then the gates."""

    def __init__(self, in_channels: int, *, has_gates: bool) -> None:
        super().__init__(
            OrderedDict(
                norm=nn.BatchNorm2d(in_channels),
                relu=nn.ReLU(inplace=True),
                conv=nn.Conv2d(in_channels, in_channels // 2, 1, bias=False),
                pool=nn.AvgPool2d(2),
            )
        )
        if has_gates:
            self.add_module("se", SqueezeExcitation(in_channels // 2))


class DenseNet(nn.Module):
    """The backbone of DenseNet-121, with pooled features.

    Args:
        in_channels: Channels of the input.
        drop_rate: Dropout rate of every dense layer's output.
        has_gates: True for SE-DenseNet-121.

    Raises:
        RecipeError: The rate is not at least 0 and below 1.
    """

    def __init__(
        self, in_channels: int = 3, drop_rate: float = _DROP_RATE, *, has_gates: bool = False
    ) -> None:
        super().__init__()
        check_rate("drop_rate", drop_rate)
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(in_channels, _STEM, 7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(_STEM),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(3, stride=2, padding=1),
            )
        )
        width = _STEM
        for number, layers in enumerate(_LAYERS, start=1):
            block = DenseBlock(layers, width, drop_rate, has_gates=has_gates)
            self.features.add_module(f"denseblock{number}", block)
            width += layers * _GROWTH
            if number < len(_LAYERS):
                transition = Transition(width, has_gates=has_gates)
                self.features.add_module(f"transition{number}", transition)
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.num_features = width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return pooled features (B, 1024) of images (B, C, H, W), float32."""
        features = torch.relu(self.features(images))  # (B, 1024, H/32, W/32)
        return features.mean(dim=(2, 3))  # (B, 1024)


for _name, _has_gates, _added in (("densenet121", False, ()), ("se_densenet121", True, (".se.",))):
    register_backbone(
        _name,
        partial(DenseNet, has_gates=_has_gates),
        paper="P4",
        stages={
            "stem": "features.conv0",
            **{f"dense{n}": f"features.denseblock{n}" for n in range(1, len(_LAYERS) + 1)},
        },
        arguments={"drop_rate": _DROP_RATE},
        hub="densenet121.tv_in1k",
        added=_added,
    )
