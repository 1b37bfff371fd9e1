"""MobileNet, of the ensemble that P1 compares with.

Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", 2017, Table 1, at width 1. Kassani et al.'s ensemble (P1's rival) is of VGG-19,
MobileNet and DenseNet at 224 pixels. 3,209,026 learnable parameters at two classes.

What differs: the layers are timm's, which end in ReLU6 as Google's do (the paper's figure has
ReLU).
"""

from __future__ import annotations

from torch import nn

from eosin.core.networks import NetworkSpec
from eosin.networks.classifier import Classifier
from eosin.networks.registry import NETWORKS
from eosin.runtime.door import import_companion


def mobilenet(
    num_classes: int = 2, input_px: int = 224, in_channels: int = 3, head_dropout: float = 0.0
) -> nn.Module:
    """Build timm's MobileNet with Eosin's head; any input size gives the same layers."""
    del input_px
    backbone = import_companion("timm").create_model(
        "mobilenetv1_100", pretrained=False, num_classes=0, in_chans=in_channels
    )
    return Classifier(backbone, backbone.num_features, num_classes, head_dropout)


NETWORKS.add(
    "mobilenet",
    NetworkSpec(
        name="mobilenet",
        paper="P1",
        build=mobilenet,
        input_px=224,
        min_input_px=32,
        num_classes=2,
        preprocessing="centred",
        arguments={"head_dropout": 0.0},
        stages={
            "stem": "backbone.conv_stem",
            **{f"block{n}": f"backbone.blocks.{n - 1}" for n in range(1, 6)},
            "head": "head",
        },
        hub="mobilenetv1_100.ra4_e3600_r224_in1k",
    ),
)
