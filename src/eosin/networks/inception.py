"""Inception-v3, a comparison network of P5.

Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
Table 1. 21,791,715 learnable parameters at P5's three classes.

What differs: the layers are timm's, without the auxiliary head, which only training from scratch
uses. Made for 299 pixels; P5 feeds it 224. The weights on timm's hub are Google's own, as in Keras
and so in P5.
"""

from __future__ import annotations

from torch import nn

from eosin.core.networks import NetworkSpec
from eosin.networks.classifier import Classifier
from eosin.networks.registry import NETWORKS
from eosin.runtime.door import import_companion


def inception_v3(
    num_classes: int = 3, input_px: int = 224, in_channels: int = 3, head_dropout: float = 0.0
) -> nn.Module:
    """Build timm's Inception-v3 with Eosin's head; any input size gives the same layers."""
    del input_px
    backbone = import_companion("timm").create_model(
        "inception_v3", pretrained=False, num_classes=0, in_chans=in_channels, aux_logits=False
    )
    return Classifier(backbone, backbone.num_features, num_classes, head_dropout)


NETWORKS.add(
    "inception_v3",
    NetworkSpec(
        name="inception_v3",
        paper="P5",
        build=inception_v3,
        input_px=224,
        min_input_px=75,
        num_classes=3,
        preprocessing="centred",
        arguments={"head_dropout": 0.0},
        stages={
            "stem": "backbone.Conv2d_1a_3x3",
            "mixed5": "backbone.Mixed_5b",
            "mixed6": "backbone.Mixed_6a",
            "mixed7": "backbone.Mixed_7a",
            "head": "head",
        },
        hub="inception_v3.tf_in1k",
    ),
)
