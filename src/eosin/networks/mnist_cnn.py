"""P3's network for MNIST, on 28 × 28 grey images.

Source: P3, section 2.2.2 and Table 2.1 (see docs/papers.md for the reference). 3,554 learnable
parameters at ten classes and one channel.

What differs: nothing in the layers. The thesis begins the convolutions as He et al.; the dense
layer, of which it says nothing, begins likewise (its published code takes Glorot's range).
"""

from __future__ import annotations

import torch
from torch import nn

from eosin.core.registry import NetworkSpec
from eosin.networks.light_cnn import initialise_he
from eosin.networks.registry import NETWORKS

_FILTERS, _KERNEL, _STRIDE = 8, 3, 2


class MnistCNN(nn.Module):
    """P3's network for MNIST.

    Args:
        num_classes: Outputs.
        input_px: Height and width of the input.
        in_channels: Channels of the input; the digits have one.
    """

    def __init__(self, num_classes: int = 10, input_px: int = 28, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, _FILTERS, _KERNEL, stride=_STRIDE),
            nn.ReLU(),
            nn.Conv2d(_FILTERS, _FILTERS, _KERNEL, stride=_STRIDE),
            nn.ReLU(),
        )
        side = input_px
        for _ in range(2):
            side = (side - _KERNEL) // _STRIDE + 1
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(_FILTERS * side**2, num_classes))
        self.apply(initialise_he)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K) of images (B, C, H, W), float32."""
        features = self.features(images)  # (B, 8, 6, 6) at 28 pixels
        logits: torch.Tensor = self.classifier(features)  # (B, K)
        return logits


NETWORKS.add(
    "mnist_cnn",
    NetworkSpec(
        name="mnist_cnn",
        paper="P3",
        build=MnistCNN,
        input_px=28,
        min_input_px=7,
        num_classes=10,
        preprocessing="unit",
        arguments={},
        stages={"conv1": "features.0", "conv2": "features.2", "head": "classifier.1"},
        in_channels=1,
    ),
)
