"""The light CNN (P3), on 224 × 224 images of BreakHis 200X.

Source: P3, section 2.3.3 and Table 2.4 (see docs/papers.md for the reference). 319,106 learnable
parameters at two classes and 224 pixels.

What differs: nothing in the layers; where the thesis contradicts itself, the number of parameters
decides. All convolutions are 'valid', so 224 → 56 → 27 → (pool) 13 → 6; the third convolution
has 64 filters and the flattened vector 2,304 values (Table 2.4 prints 32, 7 × 7 and 1,568). The
table gives the hidden dense layer no activation, and so it has none; ``hidden_activation="relu"``
adds one. ``activation="leaky_relu"`` replaces the ReLU after each convolution by a leaky one of
slope 0.01, P3's future work (section 4.3). He initialisation, as the thesis names it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from eosin.core.registry import NetworkSpec, check_choice
from eosin.networks.registry import NETWORKS

_KERNEL = 3
_HIDDEN = 128
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}


class LightCNN(nn.Module):
    """P3's network.

    Args:
        num_classes: Outputs.
        input_px: Height and width of the input.
        in_channels: Channels of the input; the thesis's images have three.
        activation: Activation of the convolutions; the leaky one's slope is 0.01.
        hidden_activation: Activation of the hidden dense layer.

    Raises:
        RecipeError: Another activation than these.
    """

    def __init__(
        self,
        num_classes: int = 2,
        input_px: int = 224,
        in_channels: int = 3,
        activation: Literal["relu", "leaky_relu"] = "relu",
        hidden_activation: Literal["none", "relu"] = "none",
    ) -> None:
        super().__init__()
        check_choice("activation", activation, tuple(_ACTIVATIONS))
        check_choice("hidden_activation", hidden_activation, ("none", "relu"))
        active = _ACTIVATIONS[activation]
        self.features = nn.Sequential(
            *_conv(in_channels, 16, active, stride=4),
            *_conv(16, 32, active, stride=2),
            nn.MaxPool2d(2),
            *_conv(32, 64, active, stride=2),
        )
        side = feature_px(input_px)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64 * side * side, _HIDDEN),
            nn.ReLU() if hidden_activation == "relu" else nn.Identity(),
            nn.Linear(_HIDDEN, num_classes),
        )
        self.apply(initialise_he)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K) of images (B, C, H, W), float32."""
        features = self.features(images)  # (B, 64, 6, 6) at 224 pixels
        logits: torch.Tensor = self.classifier(features)  # (B, K)
        return logits


def feature_px(input_px: int) -> int:
    """Return the side of the last feature map for an input of ``input_px`` pixels."""
    side = (input_px - _KERNEL) // 4 + 1
    side = ((side - _KERNEL) // 2 + 1) // 2
    return (side - _KERNEL) // 2 + 1


def _conv(
    in_channels: int, out_channels: int, active: type[nn.Module], *, stride: int
) -> list[nn.Module]:
    """Return convolution, activation, then batch-norm, in the thesis's order."""
    return [
        nn.Conv2d(in_channels, out_channels, _KERNEL, stride=stride),
        active(),
        nn.BatchNorm2d(out_channels),
    ]


def initialise_he(module: nn.Module) -> None:
    """Draw a layer's weight as He et al. (2015) for ReLU; its bias becomes 0."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


NETWORKS.add(
    "light_cnn",
    NetworkSpec(
        name="light_cnn",
        paper="P3",
        build=LightCNN,
        input_px=224,
        min_input_px=51,
        num_classes=2,
        preprocessing="caffe",
        arguments={"activation": "relu", "hidden_activation": "none"},
        stages={
            "conv1": "features.0",
            "conv2": "features.3",
            "conv3": "features.7",
            "dense": "classifier.1",
            "head": "classifier.3",
        },
    ),
)
