"""ResNet-18, -34, -50 and -101: P3's baseline and the other half of P2's ablation.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Table 1. P3 puts
global average pooling and a dense layer of two on ResNet-50 (23,512,130 learnable parameters) and
trains blocks 2 and 3 of conv5 (``before:backbone.layer4.1``: 8,929,282).

What differs: the layers are timm's, whose bottlenecks halve the image in their 3 × 3 convolution,
not in the first 1 × 1. P3's come from Keras, whose convolutions have biases before batch-norm,
without effect; there are none here. Every batch-norm starts with scale one, as in Keras (timm
starts the last of each block with zero, which leaves the rest of that block without gradients in
the first step). Preprocessing is that of the weights on timm's hub; P3's own Keras weights expect
BGR means.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from eosin.core.networks import NetworkSpec
from eosin.networks.classifier import Classifier
from eosin.networks.registry import NETWORKS
from eosin.runtime.door import import_companion

#: Network → its papers. The names are timm's, too.
PAPERS = {"resnet18": "P2", "resnet34": "P2", "resnet50": "P2, P3", "resnet101": "P2"}

#: conv2 of the papers and Keras is ``layer1`` of timm and torchvision.
STAGES = {
    "stem": "backbone.conv1",
    "conv2": "backbone.layer1",
    "conv3": "backbone.layer2",
    "conv4": "backbone.layer3",
    "conv5": "backbone.layer4",
    "head": "head",
}


def register(name: str, *, paper: str, weights: str, make_backbone: Callable[[int], Any]) -> None:
    """Register a network with a ResNet's stages.

    Args:
        name: Its name.
        paper: Its papers.
        weights: The ResNet of timm whose weights fit it.
        make_backbone: From the channels of the input to the backbone, whose vector has the length
            ``num_features``.
    """

    def build(
        num_classes: int = 2, input_px: int = 224, in_channels: int = 3, head_dropout: float = 0.0
    ) -> nn.Module:
        del input_px  # pooled globally: the layers are the same at any size
        backbone = make_backbone(in_channels)
        return Classifier(backbone, backbone.num_features, num_classes, head_dropout)

    spec = NetworkSpec(
        name=name,
        paper=paper,
        build=build,
        input_px=224,
        min_input_px=32,
        num_classes=2,
        preprocessing="imagenet",
        arguments={"head_dropout": 0.0},
        stages=STAGES,
        hub=f"{weights}.tv_in1k",
    )
    NETWORKS.add(name, spec)


def _make_resnet(name: str, in_channels: int) -> Any:
    return import_companion("timm").create_model(
        name, pretrained=False, num_classes=0, in_chans=in_channels, zero_init_last=False
    )


for _name, _paper in PAPERS.items():
    register(_name, paper=_paper, weights=_name, make_backbone=partial(_make_resnet, _name))
