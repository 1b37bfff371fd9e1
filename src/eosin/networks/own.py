"""Check of a user's own network as it is built, before any of its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from eosin.core.errors import UsageError
from eosin.core.plugins import describe_error


def check_network(
    network: Any,
    name: str,
    stages: Mapping[str, str],
    *,
    num_classes: int,
    input_px: int,
    in_channels: int,
) -> nn.Module:
    """Return what a user's function built, if it maps images to one logit per class.

    Args:
        network: As the function returned it.
        name: Its registered name, for errors.
        stages: Name → path of a module, as registered.
        num_classes: Outputs, K.
        input_px: Height and width of the input.
        in_channels: Channels of the input, C.

    Raises:
        UsageError: It is no module, a stage is not part of it, it fails for images of this size,
            or its output is of another shape or is a softmax.
    """
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"the network {name!r} must be a torch.nn.Module, got {type(network).__name__}"
        )
    modules = {path for path, _ in network.named_modules()}
    for stage, path in stages.items():
        if path not in modules:
            children = ", ".join(path for path, _ in network.named_children()) or "none"
            raise UsageError(
                f"the network {name!r} has no module {path!r}, its stage {stage!r}. "
                f"Its modules: {children}"
            )
    shape = (2, in_channels, input_px, input_px)
    output = _run(network, name, shape)
    if not isinstance(output, torch.Tensor) or output.shape != (2, num_classes):
        is_tensor = isinstance(output, torch.Tensor)
        got = f"the shape {tuple(output.shape)}" if is_tensor else type(output).__name__
        raise UsageError(
            f"the network {name!r} must return logits of shape {(2, num_classes)}, one per class, "
            f"for images of shape {shape}; got {got}"
        )
    if not output.is_meta and _is_softmax(output):
        raise UsageError(
            f"the network {name!r} must return logits, got probabilities: leave its softmax out"
        )
    return network


def _run(network: nn.Module, name: str, shape: tuple[int, ...]) -> Any:
    """Return the output for images that differ from each other and from pixel to pixel."""
    was_training = network.training
    images = torch.linspace(-1, 1, shape[0] * shape[1] * shape[2] * shape[3]).reshape(shape)
    try:
        with torch.inference_mode():
            return network.eval()(images)
    except Exception as error:
        raise UsageError(
            f"the network {name!r} fails for images of shape {shape}: {describe_error(error)}"
        ) from error
    finally:
        network.train(was_training)


def _is_softmax(output: torch.Tensor) -> bool:
    sums = output.sum(dim=1)
    return bool((output >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-5))
