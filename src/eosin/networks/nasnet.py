"""NASNet-A (4 @ 1056), "NASNet-Mobile": P5's rival, on 224 × 224 images.

Source: Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR
2018, figure 4 (cells) and appendix (ImageNet stem), as implemented in Keras. 4,232,978 learnable
parameters without its head; Keras also counts 36,738 of batch-norm's buffers.

What differs: from the paper, the auxiliary classifier is left out, as in Keras. From the authors'
TensorFlow code, Keras pads with zeros before the pooling that halves a map, and the zeros take
part in maximum and mean; so do we. The first reduction cell takes the 32 channels of the stem
as they are. Keras compares feature maps to decide if a cell's earlier input must be halved; here
the cell's position decides: the same at every size from 32 pixels. Batch-norm's momentum is Keras'
0.9997 (0.0003 in PyTorch's counting): its running statistics need thousands of steps, so a short
training evaluates better with ``train.batch_norm = "recalibrated"``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from eosin.core.networks import NetworkSpec
from eosin.networks.classifier import Classifier
from eosin.networks.nasnet_cells import (
    HalvingProjection,
    NormalCell,
    Projection,
    ReductionCell,
    Separable,
    make_norm,
)
from eosin.networks.registry import NETWORKS

_STEM_FILTERS = 32
_FEATURES = 1056

#: Name (of Keras' block), kind and filters of every cell; a normal one gives six times its
#: filters, a reduction cell four times.
_CELLS: tuple[tuple[str, Literal["normal", "reduction"], int], ...] = (
    ("stem_1", "reduction", 11),
    ("stem_2", "reduction", 22),
    *((f"normal_{index}", "normal", 44) for index in range(4)),
    ("reduce_4", "reduction", 88),
    *((f"normal_{index}", "normal", 88) for index in range(5, 9)),
    ("reduce_8", "reduction", 176),
    *((f"normal_{index}", "normal", 176) for index in range(9, 13)),
)


class NASNetMobile(nn.Module):
    """The network without its head: (B, C, H, W) to a pooled vector (B, 1056)."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, _STEM_FILTERS, 3, stride=2, bias=False), make_norm(_STEM_FILTERS)
        )
        self.cells = nn.ModuleDict()
        channels = earlier_channels = _STEM_FILTERS
        is_larger = False  # True if the earlier map has twice the side of the last
        for name, kind, filters in _CELLS:
            fit: nn.Module = nn.Identity()
            if self.cells:
                fit = (HalvingProjection if is_larger else Projection)(earlier_channels, filters)
                earlier_channels = filters
            if kind == "normal":
                self.cells[name] = NormalCell(fit, channels, filters)
            else:
                self.cells[name] = ReductionCell(fit, earlier_channels, channels, filters)
            is_larger = kind == "reduction"
            earlier_channels, channels = channels, filters * (6 if kind == "normal" else 4)
        self.apply(_initialise)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the mean of the last cell's maps after ReLU, shape (B, 1056)."""
        maps = earlier = self.stem(images)  # (B, 32, 111, 111) at 224 pixels
        for cell in self.cells.values():
            maps, earlier = cell(maps, earlier), maps  # at last (B, 1056, 7, 7)
        return functional.relu(maps).mean(dim=(2, 3))


def _initialise(module: nn.Module) -> None:
    """Initialise as Keras: He's normal weights, Glorot's uniform ones in separable convolutions."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    if isinstance(module, Separable):
        for layer in module:
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)


def build_nasnet_mobile(
    num_classes: int = 2,
    input_px: int = 224,
    in_channels: int = 3,
    head_dropout: float = 0.0,
) -> Classifier:
    """Build the network with its head; see :class:`~eosin.networks.classifier.Classifier`."""
    del input_px  # global pooling takes any
    return Classifier(NASNetMobile(in_channels), _FEATURES, num_classes, head_dropout)


NETWORKS.add(
    "nasnet_mobile",
    NetworkSpec(
        name="nasnet_mobile",
        paper="P5",
        build=build_nasnet_mobile,
        input_px=224,
        min_input_px=32,
        num_classes=3,
        preprocessing="centred",
        arguments={"head_dropout": 0.0},
        stages={
            "stem": "backbone.stem",
            "normal1": "backbone.cells.normal_0",
            "reduce1": "backbone.cells.reduce_4",
            "normal2": "backbone.cells.normal_5",
            "reduce2": "backbone.cells.reduce_8",
            "normal3": "backbone.cells.normal_9",
            "head": "head",
        },
    ),
)
