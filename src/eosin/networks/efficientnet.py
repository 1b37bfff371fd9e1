"""EfficientNetV2-B0 (P5), and EfficientNet-Lite0, whose ImageNet weights need no network access.

Source: Tan and Le, "EfficientNetV2: Smaller Models and Faster Training", ICML 2021, Table 4 (B0 is
its base, from the authors' code); Tan and Le, "EfficientNet", ICML 2019, Table 1, whose Lite0 form
by Google leaves out squeeze-and-excitation and takes ReLU6.

P5 freezes the first 200 layers of the Keras graph, which end inside block6d with the mean over
height and width of its squeeze-and-excitation; training starts with that module's first
convolution. That cut is :data:`P5_CUT`; in a recipe ``before:backbone.blocks.5.3.se.conv_reduce``.
It leaves 2,859,760 of the backbone's 5,858,704 learnable parameters trained, and the 3,843 of the
head. Keras's ``block6d`` is ``backbone.blocks.5.3`` here: the fourth block of the sixth stage.

What differs: the layers are timm's, in the ``tf_`` form that pads as TensorFlow does. P5 divides
pixels by 255 in front of a Keras graph that does it once more; the weights expect ImageNet's mean
and standard deviation once. Lite0's expect mean 0.5 and standard deviation 0.5.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from eosin.core.networks import NetworkSpec
from eosin.networks.classifier import Classifier
from eosin.networks.registry import NETWORKS
from eosin.runtime.door import import_companion

#: First module of EfficientNetV2-B0 that P5 trains.
P5_CUT = "backbone.blocks.5.3.se.conv_reduce"


def _builder(timm_name: str, classes: int) -> Callable[..., nn.Module]:
    def build(
        num_classes: int = classes,
        input_px: int = 224,
        in_channels: int = 3,
        head_dropout: float = 0.0,
    ) -> nn.Module:
        del input_px  # pooled globally: the layers are the same at any size
        backbone = import_companion("timm").create_model(
            timm_name, pretrained=False, num_classes=0, in_chans=in_channels
        )
        return Classifier(backbone, backbone.num_features, num_classes, head_dropout)

    return build


def _stages(blocks: int) -> dict[str, str]:
    return {
        "stem": "backbone.conv_stem",
        **{f"block{n}": f"backbone.blocks.{n - 1}" for n in range(1, blocks + 1)},
        "top": "backbone.conv_head",
        "head": "head",
    }


NETWORKS.add(
    "efficientnetv2_b0",
    NetworkSpec(
        name="efficientnetv2_b0",
        paper="P5",
        build=_builder("tf_efficientnetv2_b0", classes=3),
        input_px=224,
        min_input_px=32,
        num_classes=3,
        preprocessing="imagenet",
        arguments={"head_dropout": 0.0},
        stages=_stages(blocks=6),
        hub="tf_efficientnetv2_b0.in1k",
    ),
)

NETWORKS.add(
    "efficientnet_lite0",
    NetworkSpec(
        name="efficientnet_lite0",
        paper="Tan and Le 2019",
        build=_builder("tf_efficientnet_lite0", classes=2),
        input_px=224,
        min_input_px=32,
        num_classes=2,
        preprocessing="centred",
        arguments={"head_dropout": 0.0},
        stages=_stages(blocks=7),
        hub="tf_efficientnet_lite0.in1k",
        offline_weights=True,
    ),
)
