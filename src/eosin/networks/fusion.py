"""Fusion over the magnifications of a slide: ``fusion:NAME`` of any network here.

Source: P3's future work (a network that fuses the magnifications of one slide; see docs/papers.md);
the mean over a set of embeddings is that of Zaheer et al., "Deep Sets", NeurIPS 2017.

The backbone is that of the named network, with its ImageNet weights, stages and freezing: one that
all magnifications share, or a branch with weights of its own for each (``branches = "separate"``).
The feature vectors of the available magnifications are averaged, and one head classifies the mean,
whose scale a missing magnification does not change.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from eosin.core.errors import RecipeError
from eosin.core.registry import NetworkSpec
from eosin.networks.branches import Branches
from eosin.networks.registry import FAMILIES, find_spec
from eosin.recipe.schema import EMBEDDING

FAMILY = "fusion"
#: Values of the argument ``branches``.
SHARED, SEPARATE = "shared", "separate"
_COLOURS = 3
#: A missing image is black and stays constant, within rounding, when it is resized, rotated and
#: scaled; one grey level in one pixel of any other image is 0.004 or more.
_ROUNDING = 1e-3


class Fusion(nn.Module):
    """A backbone for every magnification, the mean of their features, and a head.

    Args:
        backbone: From (B, 3, H, W) to vectors (B, D); or one for each magnification.
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
        vectors = self._embed(seen, shown)  # (B, M, D)
        weights = shown / shown.sum(dim=1, keepdim=True).clamp(min=1)
        logits: torch.Tensor = self.head((vectors * weights[:, :, None]).sum(dim=1))  # (B, K)
        return logits

    def _embed(self, seen: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        if not isinstance(self.backbone, Branches):
            vectors = self.backbone(seen.flatten(0, 1))  # (B · M, D)
            return torch.unflatten(vectors, 0, (-1, self.n_branches))
        if any(module.training for module in self.backbone.modules()):
            seen = _refill(seen, shown)
        return torch.stack(
            [branch(seen[:, place]) for place, branch in enumerate(self.backbone)], dim=1
        )


def _refill(seen: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Replace missing images of a batch by others of their magnification, in turn, if there are.

    A branch of its own would otherwise learn statistics of other magnifications.
    """
    available = torch.argsort(shown, dim=0, descending=True, stable=True)  # (B, M), first those
    missing = (1 - shown).cumsum(dim=0) - 1  # place of each missing image among the missing ones
    turns = (missing % shown.sum(dim=0).clamp(min=1)).long().clamp(min=0)
    itself = torch.arange(len(seen), device=seen.device)[:, None].expand_as(available)
    rows = torch.where(shown > 0, itself, available.gather(0, turns))
    return seen[rows, torch.arange(seen.shape[1], device=seen.device)]


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
        raise RecipeError(
            f"'model.name': {FAMILY}:NAME fuses networks that take one image, got {rest!r}"
        )
    spec = find_spec(rest)
    return replace(
        spec,
        name=f"{FAMILY}:{rest}",
        build=partial(build_fusion, spec),
        arguments={**spec.arguments, "branches": SHARED},
        stages={
            name: "head" if name == "head" else _inside(path) for name, path in spec.stages.items()
        },
    )


def _inside(path: str) -> str:
    """Return a stage's path in the fused network, whose backbone may be all but a head."""
    return path if path.split(".")[0] == "backbone" else f"backbone.{path}"


def build_fusion(
    spec: NetworkSpec, in_channels: int = _COLOURS, branches: str = SHARED, **arguments: Any
) -> Fusion:
    """Build a network's fused form.

    Args:
        spec: The network.
        in_channels: Three channels a magnification.
        branches: ``shared``: one backbone for all magnifications; ``separate``: one for each.
        arguments: Those of the network.

    Raises:
        RecipeError: Other channels or branches.
    """
    n_branches, left = divmod(in_channels, _COLOURS)
    if left:
        raise RecipeError(
            f"{FAMILY}:{spec.name} takes RGB images, three channels each, got {in_channels}"
        )
    if branches not in (SHARED, SEPARATE):
        raise RecipeError(
            f"'model.arguments.branches' must be '{SHARED}' or '{SEPARATE}', got {branches!r}"
        )
    n_backbones = n_branches if branches == SEPARATE else 1
    built = [
        _without_head(spec, spec.build(in_channels=_COLOURS, **arguments))
        for _ in range(n_backbones)
    ]
    backbones, (head, *_) = [backbone for backbone, _ in built], [head for _, head in built]
    backbone = Branches(backbones) if branches == SEPARATE else backbones[0]
    return Fusion(backbone, head, n_branches)


def _without_head(spec: NetworkSpec, network: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return all of a network but its last layer, with the original names; its last layer."""
    path = spec.stages["head"]
    head = network.get_submodule(path)
    if path == "head":
        return network.get_submodule("backbone"), head
    network.set_submodule(path, nn.Identity())
    return network, head


FAMILIES.add(FAMILY, find_fusion)
