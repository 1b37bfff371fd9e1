"""DenseNet-121, and SE-DenseNet-121 (P4).

Source: Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, Table 1; Hu et al.,
"Squeeze-and-Excitation Networks", CVPR 2018, equations 2 to 4; P4, section 4 and Figure 6: a
squeeze-and-excitation after the output of every dense layer inside the dense blocks and after
every transition (58 + 3 of them).

What differs, or where P4 is silent:

- Depth 121, growth 32 and reduction 16 are our reading; P4 names none (its Table 4 prints 7.127
  and 8.234 "k" parameters, without its layers). A dense layer's 32 channels are squeezed into 2.
- The position of the dropout of its Table 2, 0.25, is not given: before the dense layer of the
  head, in both networks.
- In the text transitions pool by maximum; Huang et al. take the average, as do ImageNet's weights.
- Gates are initialised nearly open (sigmoid(4) = 0.98). All of a DenseNet's weights exist here
  under timm's names; behind half-open gates its frozen batch-norm would see half of the activations
  that it was trained on, 61 times in a row.
- Every second squeezed unit is initialised as the negative of the one before: for any image one of
  a pair passes the ReLU, so that no gate starts dead, as a gate of two units often would.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from eosin.networks.classifier import register_backbone
from eosin.runtime.door import import_companion

_GROWTH = 32
_BOTTLENECK = 4 * _GROWTH
_STEM = 64
_LAYERS = (6, 12, 24, 16)
_REDUCTION = 16
_OPEN = 4.0  # initial input of the gates' sigmoid
_HEAD_DROPOUT = 0.25


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
    """1 × 1 and 3 × 3 convolution, each behind batch-norm and ReLU, then the gates."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            OrderedDict(
                norm1=nn.BatchNorm2d(in_channels),
                relu1=nn.ReLU(inplace=True),
                conv1=nn.Conv2d(in_channels, _BOTTLENECK, 1, bias=False),
                norm2=nn.BatchNorm2d(_BOTTLENECK),
                relu2=nn.ReLU(inplace=True),
                conv2=nn.Conv2d(_BOTTLENECK, _GROWTH, 3, padding=1, bias=False),
                se=SqueezeExcitation(_GROWTH),
            )
        )


class DenseBlock(nn.ModuleDict):
    """Dense layers, each on the block's input and the outputs of all earlier layers."""

    def __init__(self, layers: int, in_channels: int) -> None:
        super().__init__(
            {
                f"denselayer{index + 1}": DenseLayer(in_channels + index * _GROWTH)
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

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            OrderedDict(
                norm=nn.BatchNorm2d(in_channels),
                relu=nn.ReLU(inplace=True),
                conv=nn.Conv2d(in_channels, in_channels // 2, 1, bias=False),
                pool=nn.AvgPool2d(2),
                se=SqueezeExcitation(in_channels // 2),
            )
        )


class SEDenseNet(nn.Module):
    """The backbone of SE-DenseNet-121, with pooled features."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
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
            self.features.add_module(f"denseblock{number}", DenseBlock(layers, width))
            width += layers * _GROWTH
            if number < len(_LAYERS):
                self.features.add_module(f"transition{number}", Transition(width))
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


def _make_densenet(in_channels: int) -> Any:
    return import_companion("timm").create_model(
        "densenet121", pretrained=False, num_classes=0, in_chans=in_channels
    )


for _name, _make, _added in (
    ("densenet121", _make_densenet, ()),
    ("se_densenet121", SEDenseNet, (".se.",)),
):
    register_backbone(
        _name,
        _make,
        paper="P4",
        stages={
            "stem": "features.conv0",
            **{f"dense{n}": f"features.denseblock{n}" for n in range(1, len(_LAYERS) + 1)},
        },
        head_dropout=_HEAD_DROPOUT,
        hub="densenet121.tv_in1k",
        added=_added,
    )
