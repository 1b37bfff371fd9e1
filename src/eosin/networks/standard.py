"""Published networks that the papers use or compare with, with timm's layers.

- VGG-16 (P3, P5) and VGG-19 (of P1's rival). Source: Simonyan and Zisserman, "Very Deep
  Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, Table 1, columns D and E. P3
  puts global average pooling and a dense layer of two on the convolutions: 14,715,714 learnable
  parameters. It trains block5 and the head (``before:block5``), 7,080,450 of them. What differs:
  the two dense layers of 4,096 are left out; in timm they are ``pre_logits``, present even in a
  model without classes. P3's own weights came from Keras and expect BGR means.
- ResNet-18, -34, -50 and -101: P3's baseline and the other half of P2's ablation. Source: He et
  al., "Deep Residual Learning for Image Recognition", CVPR 2016, Table 1. P3 puts global average
  pooling and a dense layer of two on ResNet-50 (23,512,130 learnable parameters) and trains blocks
  2 and 3 of conv5 (``before:backbone.layer4.1``: 8,929,282). What differs: timm's bottlenecks halve
  the image in their 3 × 3 convolution, not in the first 1 × 1. P3's come from Keras, whose
  convolutions have biases before batch-norm, without effect; there are none here. Every batch-norm
  starts with scale one, as in Keras (timm starts the last of each block with zero, which leaves the
  rest of that block without gradients in the first step).
- Inception-v3, a comparison network of P5. Source: Szegedy et al., "Rethinking the Inception
  Architecture for Computer Vision", CVPR 2016, Table 1. 21,791,715 learnable parameters at P5's
  three classes. What differs: no auxiliary head, which only training from scratch uses. Made for
  299 pixels; P5 feeds it 224. The weights on timm's hub are Google's own, as in Keras and so in P5.
- MobileNet, of the ensemble that P1 compares with. Source: Howard et al., "MobileNets: Efficient
  Convolutional Neural Networks for Mobile Vision Applications", 2017, Table 1, at width 1. Kassani
  et al.'s ensemble (P1's rival) is of VGG-19, MobileNet and DenseNet at 224 pixels. 3,209,026
  learnable parameters at two classes. What differs: timm's layers end in ReLU6 as Google's do (the
  paper's figure has ReLU).
- EfficientNetV2-B0 (P5). Source: Tan and Le, "EfficientNetV2: Smaller Models and Faster Training",
  ICML 2021, Table 4 (B0 is its base, from the authors' code). P5 freezes the first 200 layers of
  the Keras graph, which end inside block6d with the mean over height and width of its
  squeeze-and-excitation; training starts with that module's first convolution. That cut is
  :data:`P5_CUT`; in a recipe ``before:backbone.blocks.5.3.se.conv_reduce``. It leaves 2,859,760 of
  the backbone's 5,858,704 learnable parameters trained, and the 3,843 of the head. Keras's
  ``block6d`` is ``backbone.blocks.5.3`` here: the fourth block of the sixth stage. P5 divides
  pixels by 255 in front of a Keras graph that does it once more; the weights expect ImageNet's mean
  and standard deviation once.
- EfficientNet-Lite0, -Lite1 and -Lite2, whose ImageNet weights need no network access. Source: Tan
  and Le, "EfficientNet", ICML 2019, Table 1, whose Lite form by Google leaves out
  squeeze-and-excitation and takes ReLU6; Lite1 is deeper, Lite2 deeper and wider. Their weights
  expect mean 0.5 and standard deviation 0.5, and were trained at 224, 240 and 260 pixels.

All EfficientNets are in the ``tf_`` form, which pads as TensorFlow does. Preprocessing is that of
the weights on timm's hub.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

from torch import nn

from eosin.networks.classifier import register_backbone
from eosin.runtime.door import import_companion

#: First module of EfficientNetV2-B0 that P5 trains.
P5_CUT = "backbone.blocks.5.3.se.conv_reduce"
#: conv2 of the papers and Keras is ``layer1`` of timm and torchvision.
RESNET_STAGES = {"stem": "conv1", **{f"conv{n + 1}": f"layer{n}" for n in range(1, 5)}}


def _make(name: str, in_channels: int, **arguments: Any) -> Any:
    return import_companion("timm").create_model(
        name, pretrained=False, num_classes=0, in_chans=in_channels, **arguments
    )


def _make_vgg(name: str, in_channels: int) -> nn.Module:
    # The ratio saves timm drawing 120 million numbers for the layers left out here.
    whole = _make(name, in_channels, mlp_ratio=1 / 4096)
    backbone = nn.Sequential(
        OrderedDict(features=whole.features, pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
    )
    backbone.num_features = whole.num_features
    return backbone


def _make_up_to(name: str, in_channels: int, *, n_blocks: int) -> Any:
    """Build the first blocks of an EfficientNet, with global pooling."""
    backbone: Any = _make(name, in_channels)
    backbone.blocks = backbone.blocks[:n_blocks]
    backbone.num_features = backbone.blocks[-1][-1].conv_pwl.out_channels
    backbone.conv_head, backbone.bn2 = nn.Identity(), nn.Identity()
    return backbone


def _number_blocks(count: int) -> dict[str, str]:
    return {f"block{n}": f"blocks.{n - 1}" for n in range(1, count + 1)}


# The index of each block's first convolution.
for _name, _paper, _firsts in (
    ("vgg16", "P3, P5", (0, 5, 10, 17, 24)),
    ("vgg19", "P1", (0, 5, 10, 19, 28)),
):
    register_backbone(
        _name,
        partial(_make_vgg, _name),
        paper=_paper,
        stages={f"block{n}": f"features.{at}" for n, at in enumerate(_firsts, 1)},
        hub=f"{_name}.tv_in1k",
    )

for _name, _paper in (
    ("resnet18", "P2"),
    ("resnet34", "P2"),
    ("resnet50", "P2, P3"),
    ("resnet101", "P2"),
):
    register_backbone(
        _name,
        partial(_make, _name, zero_init_last=False),
        paper=_paper,
        stages=RESNET_STAGES,
        hub=f"{_name}.tv_in1k",
    )

register_backbone(
    "inception_v3",
    partial(_make, "inception_v3", aux_logits=False),
    paper="P5",
    stages={
        "stem": "Conv2d_1a_3x3",
        "mixed5": "Mixed_5b",
        "mixed6": "Mixed_6a",
        "mixed7": "Mixed_7a",
    },
    num_classes=3,
    min_input_px=75,
    preprocessing="centred",
    hub="inception_v3.tf_in1k",
)

register_backbone(
    "mobilenet",
    partial(_make, "mobilenetv1_100"),
    paper="P1",
    stages={"stem": "conv_stem", **_number_blocks(5)},
    preprocessing="centred",
    hub="mobilenetv1_100.ra4_e3600_r224_in1k",
)

register_backbone(
    "efficientnetv2_b0",
    partial(_make, "tf_efficientnetv2_b0"),
    paper="P5",
    stages={"stem": "conv_stem", **_number_blocks(6), "top": "conv_head"},
    num_classes=3,
    hub="tf_efficientnetv2_b0.in1k",
)

for _lite in ("lite0", "lite1", "lite2"):
    for _suffix, _build, _stages, _stride in (
        ("", _make, {**_number_blocks(7), "top": "conv_head"}, 32),
        ("_block5", partial(_make_up_to, n_blocks=5), _number_blocks(5), 16),
    ):
        register_backbone(
            f"efficientnet_{_lite}{_suffix}",
            partial(_build, f"tf_efficientnet_{_lite}"),
            paper="Tan and Le 2019",
            stages={"stem": "conv_stem", **_stages},
            min_input_px=_stride,
            preprocessing="centred",
            hub=f"tf_efficientnet_{_lite}.in1k",
            offline_weights=True,
        )
