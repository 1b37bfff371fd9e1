"""Fusion over the magnifications of a slide: ``fusion:NAME`` of any network here.

Source: P3's future work (a network that fuses the magnifications of one slide; see docs/papers.md);
the mean over a set of embeddings is that of Zaheer et al., "Deep Sets", NeurIPS 2017.

All branches share one backbone, that of the named network, with its ImageNet weights, stages and
freezing. The feature vectors of the available magnifications are averaged, and one head classifies
the mean, whose scale a missing magnification does not change.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from eosin.core.errors import RecipeError
from eosin.core.registry import NetworkSpec
from eosin.networks.registry import FAMILIES, find_spec
from eosin.recipe.schema import EMBEDDING

FAMILY = "fusion"
_COLOURS = 3
#: A missing image is black and stays constant, within rounding, when it is resized, rotated and
#: scaled; one grey level in one pixel of any other image is 0.004 or more.
_ROUNDING = 1e-3


class Fusion(nn.Module):
    """A backbone for every magnification, the mean of their features, and a head.

    Args:
        backbone: From (B, 3, H, W) to vectors (B, D).
        head: From (B, D) to logits (B, K).
        n_branches: M, the magnifications of a stack.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, n_branches: int) -> None:
        super().__init__()
        self.n_branches = n_branches
        self.backbone = backbone
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K) of stacks (B, 3 · M, H, W); missing images are constant."""
        branches = torch.unflatten(images, 1, (self.n_branches, _COLOURS))  # (B, M, 3, H, W)
        shown = find_shown(branches)  # (B, M)
        # An available image replaces missing ones, whose black would enter batch-norm's
        # statistics. It has no weight in the mean.
        first = shown * (shown.cumsum(dim=1) == 1)  # (B, M)
        stand_in = (branches * first[:, :, None, None, None]).sum(dim=1, keepdim=True)
        seen = torch.where(shown[:, :, None, None, None] > 0, branches, stand_in)
        vectors = self.backbone(seen.flatten(0, 1))  # (B · M, D)
        vectors = torch.unflatten(vectors, 0, (-1, self.n_branches))
        weights = shown / shown.sum(dim=1, keepdim=True).clamp(min=1)
        logits: torch.Tensor = self.head((vectors * weights[:, :, None]).sum(dim=1))  # (B, K)
        return logits


def find_shown(branches: torch.Tensor) -> torch.Tensor:
    """Return 1 for each available image of stacks (B, M, 3, H, W), else 0: float, shape (B, M)."""
    spread = branches.amax(dim=(3, 4)) - branches.amin(dim=(3, 4))  # (B, M, 3)
    return (spread.amax(dim=2) > _ROUNDING).to(branches.dtype)


def find_fusion(rest: str) -> NetworkSpec:
    """Return the specification of the fused form of network ``rest``.

    Raises:
        EosinError: There is no such network.
        RecipeError: It takes no images, or is fused already.
    """
    if rest.partition(":")[0] in (FAMILY, EMBEDDING):
        raise RecipeError(f"'model.name': {FAMILY}:NAME fuses what sees one image, got {rest!r}")
    spec = find_spec(rest)
    return replace(
        spec,
        name=f"{FAMILY}:{rest}",
        build=partial(build_fusion, spec),
        stages={
            name: "head" if name == "head" else _inside(path) for name, path in spec.stages.items()
        },
    )


def _inside(path: str) -> str:
    """Return a stage's path in the fused network, whose backbone may be all but a head."""
    return path if path.split(".")[0] == "backbone" else f"backbone.{path}"


def build_fusion(spec: NetworkSpec, in_channels: int = _COLOURS, **arguments: Any) -> Fusion:
    """Build a network's fused form; ``RecipeError`` unless three channels a magnification."""
    n_branches, left = divmod(in_channels, _COLOURS)
    if left:
        raise RecipeError(
            f"{FAMILY}:{spec.name} takes RGB images, three channels each, got {in_channels}"
        )
    network = spec.build(in_channels=_COLOURS, **arguments)
    path = spec.stages["head"]
    head = network.get_submodule(path)
    if path == "head":
        return Fusion(network.get_submodule("backbone"), head, n_branches)
    # All but the last layer, with the original names below `backbone`.
    network.set_submodule(path, nn.Identity())
    return Fusion(network, head, n_branches)


FAMILIES.add(FAMILY, find_fusion)
