"""``embedding:FILE``: a head on features that were computed elsewhere.

The features of an image are its one pixel, a channel each: all that is learnt is one dense layer.
How many there are, the table says when it is read; the network itself needs no table.
"""

from __future__ import annotations

from pathlib import PurePath

from torch import nn

from eosin.core.networks import NetworkSpec
from eosin.networks.classifier import Classifier
from eosin.networks.registry import FAMILIES
from eosin.recipe.schema import EMBEDDING


def find_embedding(file: str) -> NetworkSpec:
    """Describe the head on a table of features; it is named by the file, not by its place."""
    return NetworkSpec(
        name=f"{EMBEDDING}:{PurePath(file).name}",
        paper="none",
        build=build_embedding,
        input_px=1,
        min_input_px=1,
        num_classes=2,
        preprocessing="unit",
        arguments={"head_dropout": 0.0},
        stages={"backbone": "backbone", "head": "head"},
        is_fixed=True,
    )


def build_embedding(
    num_classes: int = 2, input_px: int = 1, in_channels: int = 1, head_dropout: float = 0.0
) -> Classifier:
    """Build a head; its input is (B, D, 1, 1).

    Args:
        num_classes: Outputs.
        input_px: Always 1.
        in_channels: D, features an image.
        head_dropout: Dropout rate before the dense layer.
    """
    del input_px
    return Classifier(nn.Flatten(), in_channels, num_classes, head_dropout)


FAMILIES.add(EMBEDDING, find_embedding)
