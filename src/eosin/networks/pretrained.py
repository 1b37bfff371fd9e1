"""Loading of pretrained weights into a network's backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from eosin.core.errors import ArtifactError
from eosin.core.networks import NetworkSpec
from eosin.networks.sources import HUB, Weights, find_weights
from eosin.runtime.door import import_companion

#: Least share of the backbone's tensors, by count; less is another network.
LEAST_SHARE = 0.9
_BACKBONE = "backbone."
#: Batch-norm's counter, which nothing reads and older files lack.
_COUNTER = ".num_batches_tracked"
_NAMED = 3


@dataclass(frozen=True)
class Loaded:
    """Provenance of loaded weights. The lists exclude the head, which is always initialised anew.

    Attributes:
        source: Origin of the weights, for people.
        licence: As named by the source; None if it names none.
        sha256: Of the file.
        matched: The backbone's tensors that were loaded.
        missing: The backbone's tensors that kept their values: the source has none of that name, or
            one of another shape.
        unexpected: The source's tensors that the backbone lacks.
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
    """Load weights into a network's backbone; the head stays as it is.

    A first convolution for another number of channels is averaged over the source's channels and
    repeated, scaled so that the output for a grey image stays the same: no channel of a
    fluorescence image is the red one.

    Args:
        network: As built from ``spec``. Changed only if all goes well.
        spec: Its entry in the registry.
        source: ``imagenet``, or the path of a safetensors file: of a model folder, of
            ``eosin convert``, or with timm's names.

    Raises:
        RecipeError: There are no ImageNet weights for this network.
        MissingPartError: They need a package that is not installed.
        DownloadError: They need network access, which is forbidden or fails.
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
    """Return the prefixes of a head's tensors: Eosin's, and that of the hub's network."""
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
    """Rename the tensors to the network's names."""
    given = weights.tensors
    if weights.is_ordered:
        return _rename_by_order(weights, target)
    prefixed = {_BACKBONE + key: value for key, value in given.items()}
    # Eosin's own weights have the network's names already; timm's lack the backbone's prefix.
    return prefixed if len(prefixed.keys() & target) > len(given.keys() & target) else given


def _rename_by_order(
    weights: Weights, target: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Rename the tensors by their order; the last part of each name must agree."""
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
    # Tensors that sources of this kind lack do not count as missing, unless some are there.
    excused = [
        part
        for part in (*spec.added, _COUNTER)
        if not any(part in key for key in (*matched, *unexpected))
    ]
    wanted = [key for key in (*matched, *missing) if not any(part in key for part in excused)]
    count = sum(key in filled for key in wanted)
    if count < LEAST_SHARE * len(wanted):
        lacking = [key for key in wanted if key not in filled]
        foreign = f"; it has {_name(unexpected)}" if unexpected else ""
        raise ArtifactError(
            f"{weights.source} fills {count} of {len(wanted)} tensors of {spec.name}'s backbone, "
            f"less than {LEAST_SHARE:.0%}: {_name(lacking)} lacking{foreign}",
            mend="Is it of another network?",
        )


def _name(keys: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more


def _check_finite(weights: Weights, tensors: Mapping[str, torch.Tensor]) -> None:
    for key, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ArtifactError(f"{weights.source} holds values that are not finite, in {key}")
