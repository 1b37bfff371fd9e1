"""VGG-16 (P3 and P5) and VGG-19 (of P1's rival), with a small head.

Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015, Table 1, columns D and E. P3 puts global average pooling and a dense layer
of two on the convolutions: 14,715,714 learnable parameters. It trains block5 and the head
(``before:block5``), 7,080,450 of them.

What differs: the two dense layers of 4,096 are left out; in timm they are ``pre_logits``, present
even in a model without classes. Preprocessing is that of the weights on timm's hub; P3's own
weights came from Keras and expect BGR means.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from torch import nn

from eosin.core.networks import NetworkSpec
from eosin.networks.classifier import Classifier
from eosin.networks.registry import NETWORKS
from eosin.runtime.door import import_companion

#: Network → its papers, and the index of each block's first convolution. The names are timm's, too.
VARIANTS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "vgg16": ("P3, P5", (0, 5, 10, 17, 24)),
    "vgg19": ("P1", (0, 5, 10, 19, 28)),
}


def _builder(name: str) -> Callable[..., nn.Module]:
    def build(
        num_classes: int = 2, input_px: int = 224, in_channels: int = 3, head_dropout: float = 0.0
    ) -> nn.Module:
        del input_px  # pooled globally: the layers are the same at any size
        # The ratio saves timm drawing 120 million numbers for the layers left out here.
        whole = import_companion("timm").create_model(
            name, pretrained=False, num_classes=0, in_chans=in_channels, mlp_ratio=1 / 4096
        )
        backbone = nn.Sequential(
            OrderedDict(features=whole.features, pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
        )
        return Classifier(backbone, whole.num_features, num_classes, head_dropout)

    return build


for _name, (_paper, _firsts) in VARIANTS.items():
    NETWORKS.add(
        _name,
        NetworkSpec(
            name=_name,
            paper=_paper,
            build=_builder(_name),
            input_px=224,
            min_input_px=32,
            num_classes=2,
            preprocessing="imagenet",
            arguments={"head_dropout": 0.0},
            stages={
                **{f"block{n}": f"backbone.features.{at}" for n, at in enumerate(_firsts, 1)},
                "head": "head",
            },
            hub=f"{_name}.tv_in1k",
        ),
    )
