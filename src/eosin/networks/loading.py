"""Networks of model folders, with their weights: single networks and ensembles, in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from eosin.artifacts.model import ModelInfo, Preprocessing
from eosin.artifacts.weights import Arrays, read_arrays
from eosin.core.errors import ArtifactError
from eosin.images.preprocess import channel_affine
from eosin.networks.classifier import Ensemble
from eosin.networks.multi_crop import MultiCrop, take_fields
from eosin.networks.registry import build_network

_OWN = ("input_px", "architecture", "members")


class Member(nn.Module):
    """A network of an ensemble, with its own normalisation and input size."""

    def __init__(self, network: nn.Module, scale: Arrays, side: tuple[int, int] | None) -> None:
        super().__init__()
        self.network, self.side, self.is_rescaled = network, side, bool(scale)
        for name, values in scale.items():
            self.register_buffer(name, torch.as_tensor(values))

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """Return the member's input from the ensemble's, both (B, C, H, W)."""
        if self.is_rescaled:
            images = images[:, self.get_buffer("order")] * self.get_buffer("factor")
            images = images + self.get_buffer("offset")
            images = torch.maximum(images, self.get_buffer("low"))
            images = torch.minimum(images, self.get_buffer("high"))
        if self.side is not None:
            images = functional.interpolate(images, self.side, mode="bilinear", antialias=True)
        return images

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K)."""
        logits: torch.Tensor = self.network(self.prepare(images))
        return logits


class Calibrated(nn.Module):
    """From decoded images, float32 in 0…1, (B, C, H, W), to logits divided by the temperature."""

    def __init__(self, network: nn.Module, info: ModelInfo) -> None:
        super().__init__()
        order, factor, offset = channel_affine(info.preprocessing)
        self.network, self.temperature = network, info.temperature
        self.has_views = info.test_time == "dihedral"
        height, width = info.preprocessing.input_px
        self.is_square = height == width
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("factor", torch.from_numpy(255 * factor)[:, None, None])
        self.register_buffer("offset", torch.from_numpy(offset)[:, None, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return calibrated logits (B, K); of views the logarithm of their mean probability."""
        images = images[:, self.get_buffer("order")] * self.get_buffer("factor")
        images = images + self.get_buffer("offset")
        if not self.has_views:
            logits: torch.Tensor = self.network(images) / self.temperature
            return logits
        views = [images, images.flip(2), images.flip(3), images.flip(2, 3)]
        if self.is_square:
            views += [view.transpose(2, 3) for view in views]
        logs = torch.stack([torch.log_softmax(self.network(view), dim=-1) for view in views])
        mean = torch.logsumexp(logs, dim=0) - math.log(len(views))
        return mean / self.temperature


@dataclass(frozen=True)
class Leaf:
    """A single network inside a model.

    Attributes:
        network: From its own input to logits (B, K).
        prepare: From the model's input (B, C, H, W) to its own; in multi-crop evaluation to the
            crops.
        temperature: Divisor of its logits.
    """

    network: nn.Module
    prepare: Callable[[torch.Tensor], torch.Tensor]
    temperature: float


def load_network(weights: Path, info: ModelInfo) -> nn.Module:
    """Build the network of a model, or its ensemble, with its weights, in evaluation mode.

    Raises:
        ArtifactError: The weights are absent, damaged, or not those of the network.
        UnknownNameError: The network is of a plugin that is not loaded.
    """
    arrays = read_arrays(weights)
    try:
        return _build(arrays, info, info.architecture, info.arguments, info.preprocessing)
    except (KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ArtifactError(f"{weights} does not fit the network: {reason}") from error


def _build(
    arrays: Arrays,
    info: ModelInfo,
    architecture: str,
    arguments: Mapping[str, Any],
    given: Preprocessing,
) -> nn.Module:
    """Build a network, or an ensemble of networks, with its weights, for inputs as ``given``."""
    own = {name: value for name, value in arguments.items() if name not in _OWN}
    if architecture != "ensemble":
        network = build_network(
            architecture,
            num_classes=len(info.class_names),
            input_px=given.network_px,
            in_channels=len(info.preprocessing.channels),
            arguments=own,
        )
        network.load_state_dict({name: torch.as_tensor(value) for name, value in arrays.items()})
        return take_fields(network, given).eval()
    listed = arguments["members"]
    if not isinstance(listed, list):
        sizes = {"input_px": given.input_px, "crop_px": given.crop_px}
        one = {"architecture": arguments["architecture"], "arguments": own, **sizes}
        listed = [one] * listed
    members = []
    for number, member in enumerate(listed):
        side = (int(member["input_px"][0]), int(member["input_px"][1]))
        sizes = {"input_px": side, "crop_px": member.get("crop_px")}
        mine = given.model_copy(update=sizes)
        weights = _part(arrays, f"members.{number}.")
        network = _build(weights, info, member["architecture"], member["arguments"], mine)
        scale = _part(arrays, f"rescales.{number}.")
        members.append(Member(network, scale, None if side == given.input_px else side))
    return Ensemble(members, arrays["temperatures"].tolist()).eval()


def _part(arrays: Arrays, prefix: str) -> Arrays:
    return {n.removeprefix(prefix): value for n, value in arrays.items() if n.startswith(prefix)}


def take_apart(network: nn.Module, temperature: float) -> list[Leaf]:
    """Return the single networks of a model, in the order of its members.

    Args:
        network: As :func:`load_network` returns it.
        temperature: That of the whole, which divides each one's logits.
    """
    return list(_leaves(network, lambda images: images, temperature))


def _leaves(
    network: nn.Module,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    temperature: float,
) -> Iterator[Leaf]:
    if isinstance(network, MultiCrop):
        crops = network
        yield Leaf(crops.network, lambda images: crops.cut(prepare(images)), temperature)
        return
    if not isinstance(network, Ensemble):
        yield Leaf(network, prepare, temperature)
        return
    members = [module for module in network.members if isinstance(module, Member)]
    for member, own in zip(members, network.temperatures.tolist(), strict=True):

        def chain(images: torch.Tensor, member: Member = member) -> torch.Tensor:
            return member.prepare(prepare(images))

        yield from _leaves(member.network, chain, temperature * own)
