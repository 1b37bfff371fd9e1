"""Named networks, what they expect, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from eosin.core.errors import RecipeError, close_matches
from eosin.core.registry import Registry
from eosin.core.seeding import derive_seed


@dataclass(frozen=True)
class NetworkSpec:
    """A registered network.

    Attributes:
        name: Registered name.
        paper: Where it comes from, e.g. ``"P1"``, with a short reference.
        build: ``build(num_classes=…, input_px=…, in_channels=…, **arguments)`` → a module from
            (B, C, H, W) to logits (B, K).
        input_px: The paper's input height and width.
        min_input_px: The smallest input that its strides leave something of.
        num_classes: The paper's number of classes, with which ``params`` is counted.
        preprocessing: The paper's style of preprocessing.
        arguments: Further arguments that a recipe may give, with their defaults.
        stages: Name → path of the module that the stage begins with, from input to output; a
            stage ends where the next begins, in the order of definition. The last is ``head``,
            one module: the network's output is what it makes of its input.
        hub: Name under which timm's hub has ImageNet weights; nothing where there are none.
        added: Parts of the names of tensors that this network has beside those of the network
            under ``hub``; weights that have none of them are not held against it.
        offline_weights: Whether pretrained weights come without a network connection.
        is_fixed: Whether it takes images of ``input_px`` only.
        licence: Of the weights under ``hub``; nothing where nobody says.
    """

    name: str
    paper: str
    build: Callable[..., nn.Module]
    input_px: int
    min_input_px: int
    num_classes: int
    preprocessing: Literal["unit", "centred", "caffe", "imagenet"]
    arguments: Mapping[str, Any]
    stages: Mapping[str, str]
    hub: str | None = None
    added: tuple[str, ...] = ()
    offline_weights: bool = False
    is_fixed: bool = False
    licence: str | None = None


NETWORKS: Registry[NetworkSpec] = Registry("model")

#: What stands before the colon of a name → what makes an entry of the rest.
FAMILIES: Registry[Callable[[str], NetworkSpec]] = Registry("family of models")


def find_spec(name: str) -> NetworkSpec:
    """Look up a registered network, or one of a family, such as ``timm:resnet18``.

    Raises:
        EosinError: There is none; a family may also need the network, or a file.
    """
    family, colon, rest = name.partition(":")
    return FAMILIES.get(family)(rest) if colon else NETWORKS.get(name)


def build_network(
    name: str,
    *,
    num_classes: int,
    input_px: int,
    arguments: Mapping[str, Any],
    in_channels: int = 3,
    seed: int = 0,
) -> nn.Module:
    """Build a registered network with seeded initial weights.

    Args:
        name: Registered name.
        num_classes: Outputs.
        input_px: Height and width of the input.
        arguments: Further arguments of the network.
        in_channels: Channels of the input; other than three for fluorescence.
        seed: The run's seed; the process's own random state is left alone.

    Raises:
        UnknownNameError: No such network.
        RecipeError: An argument that it does not take, or an input that it cannot take.
    """
    spec = find_spec(name)
    check_arguments(spec, input_px, arguments)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        return spec.build(
            num_classes=num_classes, input_px=input_px, in_channels=in_channels, **arguments
        )


def check_arguments(spec: NetworkSpec, input_px: int, arguments: Mapping[str, Any]) -> None:
    """Refuse, by name, arguments and sizes that the network does not take."""
    for key in arguments:
        if key not in spec.arguments:
            raise RecipeError(
                f"'model.arguments.{key}': {spec.name} takes no such argument",
                mend=close_matches(key, spec.arguments),
            )
    if spec.is_fixed and input_px != spec.input_px:
        raise RecipeError(
            f"'model.input_px': {spec.name} takes {spec.input_px} pixels only, got {input_px}"
        )
    if input_px < spec.min_input_px:
        raise RecipeError(
            f"'model.input_px': {spec.name} needs at least {spec.min_input_px} pixels, "
            f"got {input_px}"
        )


def check_rate(name: str, value: Any) -> None:
    """Refuse a dropout rate that is not a number of at least 0 and below 1.

    Args:
        name: Of the argument, for the message.
        value: What the recipe gives.

    Raises:
        RecipeError: It is none.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 <= value < 1):
        raise RecipeError(f"'model.arguments.{name}' must be at least 0 and below 1, got {value!r}")


def count_params(network: nn.Module) -> int:
    """Return the number of learnable weights (buffers such as running means are none)."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, input_px: int, in_channels: int = 3) -> int:
    """Return the multiply-accumulate operations of convolutions and dense layers for one image.

    Args:
        network: Any network of the registry.
        input_px: Height and width of the input.
        in_channels: Channels of the input.
    """
    total = 0

    def add(module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            taps = module.weight[0].numel()  # C_in / groups * kernel height * kernel width
            total += taps * output.numel()
        elif isinstance(module, nn.Linear):
            total += module.in_features * output.numel()

    hooks = [module.register_forward_hook(add) for module in network.modules()]
    was_training = network.training
    try:
        network.eval()
        with torch.inference_mode():
            network(torch.zeros(1, in_channels, input_px, input_px))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return total
