"""Networks of timm: ``timm:NAME``, ``timm:hf-hub:ID`` and ``timm:local-dir:FOLDER``.

Source: timm's own registry for names such as ``resnet18`` or ``resnet18.tv_in1k``; for the other
two, the ``config.json`` in timm's format beside the weights on the hub, where the foundation models
of pathology are, or in a folder that was copied from there.

What differs from the networks of the papers: all facts come from the configuration of the weights.
Their mean and deviation become the nearest of Eosin's styles (those of CLIP's, for one, are taken
for ImageNet's). The stages are the backbone and the head; ``before:PATH`` cuts at any module, where
timm defined its modules in order. Some networks reject a size only when they run: an empty image is
sent through, and an output that is not one vector is an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from eosin.core.errors import ArtifactError, RecipeError, UnknownNameError, close_matches
from eosin.core.places import expand_path
from eosin.core.registry import NetworkSpec
from eosin.networks.classifier import Classifier
from eosin.networks.pretrained import HUB, fetch_file
from eosin.networks.registry import FAMILIES
from eosin.runtime.door import import_companion

FOLDER = "local-dir:"
_CONFIGURATION = "config.json"

#: Mean and deviation of a channel, averaged over the three.
_STYLES: Mapping[Literal["unit", "centred", "imagenet"], tuple[float, float]] = {
    "unit": (0.0, 1.0),
    "centred": (0.5, 0.5),
    "imagenet": (0.449, 0.226),
}
#: Total stride of nearly every convolutional network; default of the smallest input.
_USUAL_STRIDE = 32
#: Exceptions of a layer that does not fit; timm asserts, too.
_MISFITS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,  # timm's, for an argument that a network does not support
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Configuration:
    """A network's configuration in timm's format.

    Attributes:
        source: Argument of ``timm.create_model``; needs no connection.
        values: The weights' configuration, by timm's keys.
        hub: Name of the weights on the hub, if they are there.
    """

    source: str
    values: Mapping[str, Any]
    hub: str | None


def find_timm(rest: str) -> NetworkSpec:
    """Return the specification of timm's network ``rest``.

    Raises:
        UnknownNameError: timm has no such network, or no such weights of it.
        DownloadError: Its configuration is on the hub, and access is forbidden or fails.
        ArtifactError: The configuration cannot be used.
        RecipeError: It takes no square images.
        MissingPartError: timm is not installed.
    """
    found = _configuration(rest)
    values = found.values
    _, height, width = values["input_size"]
    if height != width:
        raise RecipeError(
            f"timm:{rest} takes {height} × {width} pixels, but only square images are supported"
        )
    is_fixed = bool(values.get("fixed_input_size"))
    return NetworkSpec(
        name=f"timm:{rest}",
        paper="timm",
        build=partial(build_timm, rest),
        input_px=height,
        min_input_px=height if is_fixed else _least_px(values),
        num_classes=2,
        preprocessing=nearest_style(values["mean"], values["std"]),
        arguments={"head_dropout": 0.0},
        stages={"backbone": "backbone", "head": "head"},
        hub=found.hub,
        is_fixed=is_fixed,
        licence=values.get("license"),
    )


def build_timm(
    rest: str,
    num_classes: int = 2,
    input_px: int = 224,
    in_channels: int = 3,
    head_dropout: float = 0.0,
) -> Classifier:
    """Build timm's network ``rest`` without its weights, with Eosin's head.

    Raises:
        RecipeError: It does not take such an input, or its output for an image is no vector.
    """
    source = _configuration(rest).source
    what = f"{in_channels} channels of {input_px} × {input_px} pixels"
    try:
        backbone = import_companion("timm").create_model(
            source, pretrained=False, num_classes=0, in_chans=in_channels
        )
        vectors = _try_out(backbone, torch.zeros(1, in_channels, input_px, input_px))
    except _MISFITS as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise RecipeError(
            f"timm:{rest} does not take {what}: {reason}",
            hint="Change 'model.input_px', or leave it out for the network's own",
        ) from error
    if not isinstance(vectors, torch.Tensor) or vectors.ndim != 2:
        shape = tuple(vectors.shape) if isinstance(vectors, torch.Tensor) else type(vectors)
        raise RecipeError(f"timm:{rest} does not return one vector per image, but {shape}")
    return Classifier(backbone, vectors.shape[1], num_classes, head_dropout)


def nearest_style(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> Literal["unit", "centred", "imagenet"]:
    """Return the preprocessing style with the nearest mean and deviation, of values in 0…1."""
    place = (sum(mean) / len(mean), sum(std) / len(std))
    return min(
        _STYLES,
        key=lambda style: sum((a - b) ** 2 for a, b in zip(place, _STYLES[style], strict=True)),
    )


def _try_out(backbone: nn.Module, image: torch.Tensor) -> Any:
    backbone.eval()
    with torch.inference_mode():
        output = backbone(image)
    backbone.train()
    return output


def _least_px(values: Mapping[str, Any]) -> int:
    """Return the smallest input by the configuration: often the total stride."""
    side: int = values["input_size"][1]
    if least := values.get("min_input_size"):
        return int(least[1])
    if pool := values.get("pool_size"):
        return min(side, -(-side // int(pool[0])))
    return min(side, _USUAL_STRIDE)


def _configuration(rest: str) -> Configuration:
    if rest.startswith(FOLDER):
        return _read_folder(expand_path(rest.removeprefix(FOLDER)), hub=None)
    if rest.startswith(HUB):
        return _read_folder(hub_folder(rest.removeprefix(HUB)), hub=rest)
    models = import_companion("timm.models")
    if not models.is_model(rest) or models.get_pretrained_cfg(rest.partition(".")[0]) is None:
        raise _unknown(rest, models.list_models())
    tagged = models.list_pretrained(f"{rest.partition('.')[0]}.*")
    if "." in rest and rest not in tagged:
        raise UnknownNameError(
            f"timm has no weights called {rest!r}", hint=close_matches(rest, tagged)
        )
    config = models.get_pretrained_cfg(rest)
    hub = f"{config.architecture}.{config.tag}" if config.hf_hub_id and config.tag else None
    return Configuration(rest, config.to_dict(), hub)


@lru_cache
def hub_folder(repository: str) -> Path:
    """Return the cached folder of the configuration of a repository on the hub."""
    return fetch_file(repository, _CONFIGURATION).parent


def _read_folder(folder: Path, hub: str | None) -> Configuration:
    path = folder / _CONFIGURATION
    loader = import_companion("timm.models._hub")
    try:
        given, architecture, _ = loader.load_model_config_from_path(folder)
    except FileNotFoundError:
        raise ArtifactError(
            f"{path} does not exist", hint="Name a folder that was copied from timm's hub"
        ) from None
    except (OSError, *_MISFITS) as error:
        raise ArtifactError(f"{path} is not a configuration of timm's") from error
    models = import_companion("timm.models")
    if not models.is_model(str(architecture)):
        raise ArtifactError(f"{path} names {architecture!r}, a network that timm does not have")
    # As in timm, the architecture's configuration has the defaults.
    own = models.get_pretrained_cfg(architecture)
    values = {**({} if own is None else own.to_dict()), "license": None, **given}
    for key in ("input_size", "mean", "std"):
        if not _is_triple(values.get(key)):
            raise ArtifactError(f"{path}: {key!r} must be three numbers, got {values.get(key)!r}")
    return Configuration(f"{FOLDER}{folder}", values, hub)


def _is_triple(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(part, int | float) for part in value)
    )


def _unknown(rest: str, names: list[str]) -> UnknownNameError:
    if "/" in rest:
        hint = f"A repository of the hub is 'timm:{HUB}{rest}'"
    elif near := difflib.get_close_matches(rest.partition(".")[0], names, n=3, cutoff=0.6):
        hint = close_matches(rest.partition(".")[0], near)
    else:  # timm has more than a thousand
        hint = "timm.list_models() lists those that it has"
    return UnknownNameError(f"timm has no model {rest!r}", hint=hint)


FAMILIES.add("timm", find_timm)
