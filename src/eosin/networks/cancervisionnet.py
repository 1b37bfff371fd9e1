"""CancerVisionNet (P1), on 96 × 96 patches of PatchCamelyon.

Source: Mahmood et al., "Enhancing Histopathological Image Classification: Optimal Fine-Tuning of
Convolutional Neural Networks with Feature Extraction", Table 3.

What differs: nothing in the layers. The text's "99,237,000 parameters", "six separable
convolutions" and "13 layers" contradict Table 3, which is followed: its 2,432 weights in the first
convolution (5·5·3·32 + 32) determine that kernel. The dropout inside the blocks is not given: 0.3
here, configurable. 9,922,498 learnable parameters at two classes.
"""

from __future__ import annotations

import torch
from torch import nn

from eosin.core.registry import NetworkSpec, check_rate
from eosin.networks.registry import NETWORKS

_WIDTHS = (32, 64, 128)
_HIDDEN = 512


class ConvBlock(nn.Sequential):
    """Three convolutions with ReLU, then batch-norm, 2 × 2 max-pool and dropout.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        first_kernel: Kernel of the first convolution; the others have 3.
        dropout: Dropout rate at the end.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, first_kernel: int, dropout: float
    ) -> None:
        layers: list[nn.Module] = []
        for kernel, channels in ((first_kernel, in_channels), (3, out_channels), (3, out_channels)):
            layers += [nn.Conv2d(channels, out_channels, kernel, padding="same"), nn.ReLU()]
        super().__init__(
            *layers, nn.BatchNorm2d(out_channels), nn.MaxPool2d(2), nn.Dropout(dropout)
        )


class CancerVisionNet(nn.Module):
    """P1's network.

    Args:
        num_classes: Outputs.
        input_px: Height and width of the input; three poolings halve it.
        in_channels: Channels of the input; the paper's images have three.
        dropout: Dropout rate inside the blocks.
        head_dropout: Dropout rate before the last layer.

    Raises:
        RecipeError: A rate is not at least 0 and below 1.
    """

    def __init__(
        self,
        num_classes: int = 2,
        input_px: int = 96,
        in_channels: int = 3,
        dropout: float = 0.3,
        head_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_rate("dropout", dropout)
        check_rate("head_dropout", head_dropout)
        widths_in = (in_channels, *_WIDTHS[:-1])
        self.features = nn.Sequential(
            *(
                ConvBlock(c_in, c_out, first_kernel=5 if index == 0 else 3, dropout=dropout)
                for index, (c_in, c_out) in enumerate(zip(widths_in, _WIDTHS, strict=True))
            )
        )
        side = input_px // 2 ** len(_WIDTHS)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(_WIDTHS[-1] * side * side, _HIDDEN),
            nn.ReLU(),
            nn.BatchNorm1d(_HIDDEN),
            nn.Dropout(head_dropout),
            nn.Linear(_HIDDEN, num_classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K) of images (B, C, H, W), float32."""
        features = self.features(images)  # (B, 128, H/8, W/8)
        logits: torch.Tensor = self.classifier(features)  # (B, K)
        return logits


NETWORKS.add(
    "cancervisionnet",
    NetworkSpec(
        name="cancervisionnet",
        paper="P1",
        build=CancerVisionNet,
        input_px=96,
        min_input_px=8,
        num_classes=2,
        preprocessing="unit",
        arguments={"dropout": 0.3, "head_dropout": 0.5},
        stages={
            "block1": "features.0",
            "block2": "features.1",
            "block3": "features.2",
            "dense": "classifier.1",
            "head": "classifier.5",
        },
    ),
)
