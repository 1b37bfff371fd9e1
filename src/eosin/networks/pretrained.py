"""Start a network from weights that were learnt elsewhere, and say how much of it they filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from eosin.core.errors import ArtifactError
from eosin.core.networks import NetworkSpec
from eosin.core.text import some
from eosin.networks.sources import HUB, Weights, find_weights
from eosin.runtime.door import import_companion

#: Of the backbone's tensors, by count; less is another network.
LEAST_SHARE = 0.9
_BACKBONE = "backbone."
#: Batch-norm's counter, which nothing reads and older files lack.
_COUNTER = ".num_batches_tracked"
_NAMED = 3


@dataclass(frozen=True)
class Loaded:
    """What came from where. The head is in none of the lists: it is always learnt anew.

    Attributes:
        source: Where the weights come from, for people.
        licence: As the source names it; nothing where it names none.
        sha256: Of the file.
        matched: The backbone's tensors that the source filled.
        missing: The backbone's tensors that stayed as they were: the source has none of that name,
            or one of another shape.
        unexpected: The source's tensors that the backbone has no place for.
        averaged: The first convolution, if it was made for another number of channels.
    """

    source: str
    licence: str | None
    sha256: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    averaged: str | None = None


def load_pretrained(network: nn.Module, spec: NetworkSpec, source: str | Path) -> Loaded:
    """Fill a network's backbone; the head stays as it is.

    A first convolution for another number of channels is averaged over the source's channels and
    repeated, scaled so that a grey image gives what it gave: no channel of a fluorescence image is
    the red one.

    Args:
        network: As built from ``spec``. Changed only if all goes well.
        spec: Its entry in the registry.
        source: ``imagenet``, or the path of a safetensors file: of a model folder, of
            ``eosin convert``, or with timm's names.

    Raises:
        RecipeError: There are no ImageNet weights for this network.
        MissingPartError: They need a package that is not installed.
        DownloadError: They need the network, which is forbidden or fails.
        ArtifactError: The file cannot be read, or fills less than 90 % of the backbone.
    """
    weights = find_weights(spec, source)
    heads = _heads(spec)
    target = _without(network.state_dict(), heads)
    given = _without(_rename(weights, target), heads)
    averaged = _average_first(given, target)
    matched = tuple(k for k in target if k in given and given[k].shape == target[k].shape)
    missing = tuple(key for key in target if key not in matched)
    unexpected = tuple(key for key in given if key not in matched)
    _check_share(spec, weights, matched, missing, unexpected)
    _check_finite(weights, {key: given[key] for key in matched})
    with torch.no_grad():
        for key in matched:
            target[key].copy_(given[key])
    return Loaded(
        weights.source, weights.licence, weights.sha256, matched, missing, unexpected, averaged
    )


def _heads(spec: NetworkSpec) -> tuple[str, ...]:
    """What the names of a head's tensors begin with: ours, and that of the hub's network."""
    heads = [f"{spec.stages['head']}."]
    if spec.hub is not None and not spec.hub.startswith(HUB):
        config = import_companion("timm.models").get_pretrained_cfg(spec.hub)
        heads.append(f"{_BACKBONE}{config.classifier}.")
    return tuple(heads)


def _without(
    tensors: Mapping[str, torch.Tensor], heads: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    return {key: value for key, value in tensors.items() if not key.startswith(heads)}


def _rename(weights: Weights, target: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give the tensors the network's names."""
    given = weights.tensors
    if weights.is_ordered:
        return _rename_by_order(weights, target)
    prefixed = {_BACKBONE + key: value for key, value in given.items()}
    # One of the network's own has its names already; timm's lack where the backbone is here.
    return prefixed if len(prefixed.keys() & target) > len(given.keys() & target) else given


def _rename_by_order(
    weights: Weights, target: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Pair the tensors in order; what each is, the last part of its name must say alike."""
    renamed = dict(zip(target, weights.tensors.values(), strict=False))
    for name, foreign in zip(target, weights.tensors, strict=False):
        if name.rpartition(".")[2] != foreign.rpartition(".")[2]:
            raise ArtifactError(f"{weights.source}: {foreign} does not stand for {name}")
    return renamed


def _average_first(
    given: dict[str, torch.Tensor], target: Mapping[str, torch.Tensor]
) -> str | None:
    first = next((key for key, value in target.items() if value.ndim == 4), None)
    if first is None or first not in given:
        return None
    (out, channels, *kernel), shape = target[first].shape, given[first].shape
    if shape == target[first].shape or (shape[:1], shape[2:]) != ((out,), tuple(kernel)):
        return None
    mean = given[first].float().sum(dim=1, keepdim=True) / channels
    given[first] = mean.expand(-1, channels, -1, -1)
    return first


def _check_share(
    spec: NetworkSpec,
    weights: Weights,
    matched: tuple[str, ...],
    missing: tuple[str, ...],
    unexpected: tuple[str, ...],
) -> None:
    filled = set(matched)
    # What no source of its kind has is not held against this one, unless it has some of it.
    excused = [
        part
        for part in (*spec.added, _COUNTER)
        if not any(part in key for key in (*matched, *unexpected))
    ]
    wanted = [key for key in (*matched, *missing) if not any(part in key for part in excused)]
    count = sum(key in filled for key in wanted)
    if count < LEAST_SHARE * len(wanted):
        lacking = [key for key in wanted if key not in filled]
        foreign = f"; it has {some(unexpected, _NAMED, counted=True)}" if unexpected else ""
        raise ArtifactError(
            f"{weights.source} fills {count} of {len(wanted)} tensors of {spec.name}'s backbone, "
            f"less than {LEAST_SHARE:.0%}: {some(lacking, _NAMED, counted=True)} lacking{foreign}",
            mend="Is it of another network?",
        )


def _check_finite(weights: Weights, tensors: Mapping[str, torch.Tensor]) -> None:
    for key, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ArtifactError(f"{weights.source} holds values that are not finite, in {key}")
