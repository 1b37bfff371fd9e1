"""ERNet-18, -34, -50 and -101 (P2): ResNets with weighted shortcuts between all blocks of a stage.

Source: Chandana Mani and Kamalakannan, "ERNet: Enhanced ResNet for classification of breast
histopathological images", section 3.2, equations 5 to 10. Its shortcut is that of Zhang et al.,
"ResNet or DenseNet? Introducing Dense Shortcuts to ResNet", WACV 2021.

A stage is one block A, ResNet's own, and blocks B. With ``x_i`` for the residual branch of
block ``i`` of a stage, the input of a ResNet's next block is ``x_l + x_{l-1} + … + x_1`` (equation
6). Equation 10 normalises and weighs the earlier ones, in place of a block B's identity shortcut::

    y_l = relu(x_l + Σ_{i<l} w_{l,i} ⊙ N(x_i)),    x_l = convolutions_l(y_{l-1})

The number of weights in addition to ResNet's determines the shortcuts. A stage of ``n`` blocks with
``C`` channels has one vector of ``C`` for each pair ``i < l``, ``C · n(n-1)/2``:

=====  ============  ======================================  =======
depth  n             C · n(n-1)/2, stage by stage            in all
=====  ============  ======================================  =======
18     2, 2, 2, 2    64·1 + 128·1 + 256·1 + 512·1                960
34     3, 4, 6, 3    64·3 + 128·6 + 256·15 + 512·3             6,336
50     3, 4, 6, 3    256·3 + 512·6 + 1,024·15 + 2,048·3       25,344
101    3, 4, 23, 3   256·3 + 512·6 + 1,024·253 + 2,048·3     269,056
=====  ============  ======================================  =======

So block A's output is the first ``x`` and the stage's input, of another shape, is none; no two
pairs share weights; and every block B ends in a sum, the stage's last too (were the sums only made
where a block B begins, two blocks would have no shortcut at all). Nothing is left for affine
weights in ``N`` or for "a 1 × 1 and two 3 × 3 convolutions", as the text has it elsewhere.

What differs, or where the paper is silent:

- ``N`` brings an image's feature map, all channels together, to mean 0 and variance 1: "into the
  same scale", so that none predominates in the sum. Channels keep their proportions, which are
  what ``w`` weighs. It keeps no statistics: a ResNet's tensors are all of ERNet's but for ``w``,
  and an image's output depends on no other image.
- ``x_i`` is taken before the activation, which follows the sum, as in ResNet.
- ``w`` starts at one: equation 10 is then equation 6 but for ``N``, and every block has a short
  way to all later ones. At zero, a stage would begin without any shortcut. Either way a ResNet's
  weights are initial values, not the same function.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.nn import functional

from eosin.networks.classifier import register_backbone
from eosin.networks.standard import RESNET_STAGES

_STEM = 64
_EXPANSION = 4  # of a bottleneck


class Shortcuts(nn.Module):
    """The ER shortcuts that end in one block: a weight for each earlier block and channel."""

    def __init__(self, num_earlier: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_earlier, channels))

    def forward(self, own: torch.Tensor, earlier: list[torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum; all maps are (B, C, H, W)."""
        total = own
        for weight, feature_map in zip(self.weight, earlier, strict=True):
            total = torch.addcmul(total, weight[:, None, None], feature_map)
        return total


class Block(nn.Module):
    """A basic or bottleneck block of ResNet; its modules have timm's names.

    Args:
        in_channels: Input channels.
        width: Channels of its 3 × 3 convolutions.
        stride: Of the first 3 × 3 convolution.
        num_earlier: Earlier blocks in its stage; 0 makes it a block A, with ResNet's shortcut.
        bottleneck: Add a 1 × 1 convolution before, and another, with fourfold width, after.
    """

    def __init__(
        self, in_channels: int, width: int, *, stride: int, num_earlier: int, bottleneck: bool
    ) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        out_channels = width * _EXPANSION if bottleneck else width
        self.conv1 = _conv(
            in_channels, width, 1 if bottleneck else 3, stride=1 if bottleneck else stride
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride=stride if bottleneck else 1)
        self.bn2 = nn.BatchNorm2d(width)
        if bottleneck:
            self.conv3 = _conv(width, out_channels, 1, stride=1)
            self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        self.shortcuts: Shortcuts | None = None
        if num_earlier:
            self.shortcuts = Shortcuts(num_earlier, out_channels)
        elif stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                _conv(in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels)
            )

    def forward(
        self, features: torch.Tensor, earlier: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``y`` and ``x`` of equation 10, both (B, C, H', W').

        Args:
            features: ``y`` of the previous block, shape (B, C_in, H, W).
            earlier: ``N(x)`` of the earlier blocks in its stage, each (B, C, H', W').
        """
        own = self.bn1(self.conv1(features))
        own = self.bn2(self.conv2(functional.relu(own)))
        if self.bottleneck:
            own = self.bn3(self.conv3(functional.relu(own)))
        if self.shortcuts is not None:
            total = self.shortcuts(own, earlier)
        elif self.downsample is not None:
            total = own = own + self.downsample(features)
        else:
            total = own = own + features
        return functional.relu(total), own


class Stage(nn.Sequential):
    """One block A, which changes the shape, and blocks B."""

    def __init__(
        self, in_channels: int, width: int, *, depth: int, stride: int, bottleneck: bool
    ) -> None:
        channels = width * _EXPANSION if bottleneck else width
        super().__init__(
            Block(in_channels, width, stride=stride, num_earlier=0, bottleneck=bottleneck),
            *(
                Block(channels, width, stride=1, num_earlier=earlier, bottleneck=bottleneck)
                for earlier in range(1, depth)
            ),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the last block's output (B, C, H', W') for features (B, C_in, H, W)."""
        earlier: list[torch.Tensor] = []
        for index, block in enumerate(self, start=1):
            features, own = block(features, earlier)
            if index < len(self):
                earlier.append(functional.group_norm(own, num_groups=1))
        return features


class ERNet(nn.Module):
    """The backbone, up to global average pooling."""

    def __init__(self, depths: tuple[int, ...], *, bottleneck: bool, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, _STEM, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = _STEM
        stages: list[Stage] = []
        for index, depth in enumerate(depths):
            width, stride = _STEM * 2**index, 2 if index else 1
            stages.append(Stage(channels, width, depth=depth, stride=stride, bottleneck=bottleneck))
            channels = width * _EXPANSION if bottleneck else width
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.num_features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return pooled features (B, 512 or 2048) of images (B, C_in, H, W)."""
        features: torch.Tensor = self.maxpool(functional.relu(self.bn1(self.conv1(images))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
        return features.mean(dim=(2, 3))


def _conv(in_channels: int, out_channels: int, kernel: int, *, stride: int) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
    )


#: Depth → blocks of each stage, and True for bottlenecks.
VARIANTS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}


def _make_ernet(depth: int, in_channels: int) -> ERNet:
    blocks, bottleneck = VARIANTS[depth]
    return ERNet(blocks, bottleneck=bottleneck, in_channels=in_channels)


for _depth in VARIANTS:
    register_backbone(
        f"ernet{_depth}",
        partial(_make_ernet, _depth),
        paper="P2",
        stages=RESNET_STAGES,
        hub=f"resnet{_depth}.tv_in1k",
    )
