"""Classifier of a backbone with global pooling and one dense layer, and ensembles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import nn

from eosin.core.registry import NetworkSpec, check_rate
from eosin.networks.registry import FAMILIES, NETWORKS
from eosin.recipe.schema import EMBEDDING


class Classifier(nn.Module):
    """A backbone that ends in a pooled vector, and a head.

    Dropout belongs to the head: a frozen backbone's vectors are the same in every epoch and can be
    cached, while the head's dropout still varies its input.

    Args:
        backbone: From (B, C, H, W) to a pooled vector (B, D).
        num_features: D.
        num_classes: Outputs.
        head_dropout: Dropout rate before the dense layer.

    Raises:
        RecipeError: The rate is not at least 0 and below 1.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_features: int,
        num_classes: int,
        head_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_rate("head_dropout", head_dropout)
        self.backbone = backbone
        self.head = nn.Sequential(nn.Dropout(head_dropout), nn.Linear(num_features, num_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K) of images (B, C, H, W), float32."""
        vector = self.backbone(images)  # (B, D)
        logits: torch.Tensor = self.head(vector)  # (B, K)
        return logits


def register_backbone(
    name: str,
    make_backbone: Callable[..., Any],
    *,
    paper: str,
    stages: Mapping[str, str],
    num_classes: int = 2,
    min_input_px: int = 32,
    preprocessing: Literal["centred", "imagenet"] = "imagenet",
    head_dropout: float = 0.0,
    arguments: Mapping[str, Any] = MappingProxyType({}),
    hub: str | None = None,
    added: tuple[str, ...] = (),
    offline_weights: bool = False,
) -> None:
    """Register a network that is a backbone and a head; for the rest see ``NetworkSpec``.

    ``make_backbone`` goes from the channels of the input, and ``arguments`` by their names, to the
    backbone, whose vector has the length ``num_features``. Any input size gives the same layers, as
    it pools globally. Stages are paths below the backbone, without the head.
    """

    def build(
        num_classes: int = num_classes,
        input_px: int = 224,
        in_channels: int = 3,
        head_dropout: float = head_dropout,
        **chosen: Any,
    ) -> Classifier:
        del input_px
        backbone = make_backbone(in_channels, **{**arguments, **chosen})
        return Classifier(backbone, backbone.num_features, num_classes, head_dropout)

    spec = NetworkSpec(
        name=name,
        paper=paper,
        build=build,
        input_px=224,
        min_input_px=min_input_px,
        num_classes=num_classes,
        preprocessing=preprocessing,
        arguments={"head_dropout": head_dropout, **arguments},
        stages={**{stage: f"backbone.{path}" for stage, path in stages.items()}, "head": "head"},
        hub=hub,
        added=added,
        offline_weights=offline_weights,
    )
    NETWORKS.add(name, spec)


def find_embedding(file: str) -> NetworkSpec:
    """Return the specification of a head on a table of features, named by the file alone."""
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
    """Build a head on D features (``in_channels``); its input is (B, D, 1, 1)."""
    del input_px
    return Classifier(nn.Flatten(), in_channels, num_classes, head_dropout)


FAMILIES.add(EMBEDDING, find_embedding)


class Ensemble(nn.Module):
    """Mean of the members' probabilities, each at its own temperature."""

    temperatures: torch.Tensor

    def __init__(self, members: Sequence[nn.Module], temperatures: Sequence[float]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("temperatures", torch.tensor(temperatures, dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logarithm (B, K) of the mean probability for images (B, C, H, W), float32."""
        logits = torch.stack([member(images) for member in self.members])  # (M, B, K)
        scaled = torch.log_softmax(logits / self.temperatures[:, None, None], dim=-1)
        return torch.logsumexp(scaled, dim=0) - torch.log(torch.tensor(float(len(self.members))))
