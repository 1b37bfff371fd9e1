"""Command ``models``: list of registered networks, or one network with its layers."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from eosin.artifacts.layers import LayerTable
from eosin.core.registry import NetworkSpec
from eosin.experiment.environment import version_of


@dataclass(frozen=True)
class ModelLine:
    """Facts of one registered network, as ``models --json`` prints them.

    Attributes:
        name: Registered name.
        paper: Source.
        input_px: Input height and width of the paper.
        params: Trainable parameters with the paper's number of classes and channels.
        macs: Multiply-accumulates per image.
        offline_weights: True if pretrained weights are available without a network connection.
        buffers: Values that are not learnt: batch-norm's running means and variances.
        layer_table: Its layers at that input, of a network that was named.
    """

    name: str
    paper: str
    input_px: int
    params: int
    macs: int
    offline_weights: bool
    buffers: int
    layer_table: LayerTable | None = None


def models(name: str | None = None) -> list[ModelLine]:
    """List every registered network with its size, or one network with its layers.

    Without PyTorch, a network of the NumPy engine can be named.

    Args:
        name: A registered network, or one of a family, such as ``timm:resnet18``.

    Raises:
        UnknownNameError: There is none of this name.
        MissingPartError: PyTorch is not installed.
    """
    if version_of("torch") is None and "torch" not in sys.modules:
        return [_describe_engine(name)]
    from eosin.networks import NETWORKS, find_spec

    if name is not None:
        return [_describe(find_spec(name), with_layers=True)]
    return [_describe(NETWORKS.get(one), with_layers=False) for one in NETWORKS]


def _describe_engine(name: str | None) -> ModelLine:
    from eosin.experiment.backends.engine import SPECS, count_macs, list_layers

    if name not in SPECS:
        from eosin.runtime.door import missing_train_extra

        raise missing_train_extra()
    spec = SPECS.get(str(name))
    network = spec.build(num_classes=spec.num_classes, input_px=spec.input_px)
    table = list_layers(network)
    return _line(spec, count_macs(network), table.total.params, table.total.buffers, table)


def _describe(spec: NetworkSpec, *, with_layers: bool) -> ModelLine:
    import torch

    from eosin.networks import build_network, count_params
    from eosin.networks.layers import list_layers
    from eosin.networks.registry import count_buffers, count_macs

    px, channels = spec.input_px, spec.in_channels
    # Shapes suffice for counting: no weight is drawn, no image computed.
    with torch.device("meta"):
        network = build_network(
            spec.name,
            num_classes=spec.num_classes,
            input_px=px,
            in_channels=channels,
            arguments={},
        )
        macs = count_macs(network, px, channels)
        table = list_layers(network, px, channels) if with_layers else None
    return _line(spec, macs, count_params(network), count_buffers(network), table)


def _line(
    spec: NetworkSpec, macs: int, params: int, buffers: int, table: LayerTable | None
) -> ModelLine:
    return ModelLine(
        name=spec.name,
        paper=spec.paper,
        input_px=spec.input_px,
        params=params,
        macs=macs,
        offline_weights=spec.offline_weights,
        buffers=buffers,
        layer_table=table,
    )
