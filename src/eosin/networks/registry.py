"""Registry of networks, and counts of their weights and operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from eosin.core.registry import NetworkSpec, Registry, check_arguments
from eosin.core.seeding import derive_seed
from eosin.runtime.device import DRAWING

NETWORKS: Registry[NetworkSpec] = Registry("model", "eosin.networks")

#: Prefix of a name before the colon → function from the rest to a specification.
FAMILIES: Registry[Callable[[str], NetworkSpec]] = Registry("family of models")


def find_spec(name: str) -> NetworkSpec:
    """Return the specification of a registered network, or of a family, such as ``timm:resnet18``.

    Raises:
        EosinError: There is none; a family may also need network access, or a file.
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
        seed: The run's seed; the process's own random state does not change.

    Raises:
        UnknownNameError: No such network.
        RecipeError: An argument that it does not take, or an input that it cannot take.
    """
    spec = find_spec(name)
    check_arguments(spec, input_px, arguments)
    with DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        network: nn.Module = spec.build(
            num_classes=num_classes, input_px=input_px, in_channels=in_channels, **arguments
        )
        return network


def count_params(network: nn.Module, *, trained_only: bool = False) -> int:
    """Return the number of learnable weights, without buffers; of those not frozen, if asked."""
    chosen = (w for w in network.parameters() if w.requires_grad or not trained_only)
    return sum(weight.numel() for weight in chosen)


def count_buffers(network: nn.Module, *, recurse: bool = True) -> int:
    """Return the number of values that are not learnt, such as running means and variances."""
    # Batch-norm's whole number counts batches: it is no statistic.
    found = (b for b in network.buffers(recurse=recurse) if b.is_floating_point())
    return sum(buffer.numel() for buffer in found)


def count_macs(network: nn.Module, input_px: int, in_channels: int = 3) -> int:
    """Return the multiply-accumulates of convolutions and dense layers for one image."""
    was_training = network.training
    try:
        network.eval()
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, in_channels, input_px, input_px))
    finally:
        network.train(was_training)
    total: int = counter.get_total_flops()
    return total // 2
