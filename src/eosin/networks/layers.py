"""A network's layers: names, kinds, output shapes and numbers of weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from eosin.artifacts.layers import Block, LayerRow, LayerTable
from eosin.networks.registry import count_buffers


def list_layers(network: nn.Module, input_px: int, in_channels: int = 3) -> LayerTable:
    """Return a network's layers in the order of their definition, from input to output.

    One image of zeros goes through the network, on the network's own device. Of a module that is
    called several times the first output counts; modules that are never called and have no weights
    are left out, as are those that pass their input on.
    """
    names = {module: name for name, module in network.named_modules()}
    shapes: dict[str, tuple[int, ...]] = {}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        shapes.setdefault(names[module], _shape(output))

    hooks = [module.register_forward_hook(note) for module in names]
    weight = next(network.parameters(), torch.empty(0))
    shape = (in_channels, input_px, input_px)
    was_training = network.training
    try:
        network.eval()
        with torch.inference_mode():
            network(torch.zeros(1, *shape, device=weight.device, dtype=weight.dtype))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    rows = [
        _describe(name, module, shapes.get(name, ()))
        for module, name in names.items()
        if _is_layer(module)
    ]
    return LayerTable(
        input_shape=shape,
        layers=[row for row in rows if row.name in shapes or row.params],
        blocks={
            name: Block(kind=type(module).__name__, output_shape=shapes.get(name, ()))
            for module, name in names.items()
            if _is_block(module)
        },
    )


def _is_block(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _is_layer(module: nn.Module) -> bool:
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return bool(own) or not (_is_block(module) or isinstance(module, nn.Identity))


def _describe(name: str, module: nn.Module, shape: tuple[int, ...]) -> LayerRow:
    own = list(module.parameters(recurse=False))
    return LayerRow(
        name=name,
        kind=type(module).__name__,
        output_shape=shape,
        params=sum(weight.numel() for weight in own),
        trainable=sum(weight.numel() for weight in own if weight.requires_grad),
        buffers=count_buffers(module, recurse=False),
    )


def _shape(output: Any) -> tuple[int, ...]:
    """Return the shape of a module's (first) output, without the batch."""
    if isinstance(output, tuple | list):
        return _shape(output[0]) if output else ()
    return tuple(output.shape[1:]) if isinstance(output, torch.Tensor) else ()
