"""Command ``models``: list of registered networks, or one network with its layers."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from importlib import resources
from typing import Any

from pydantic import TypeAdapter

from eosin.artifacts.layers import LayerTable
from eosin.core.errors import UnknownNameError, close_matches
from eosin.core.registry import NetworkSpec
from eosin.experiment.backends.engine import SPECS, count_macs, list_layers
from eosin.experiment.environment import version_of
from eosin.runtime.door import missing_train_extra

_LOG = logging.getLogger(__name__)


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

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values, without a layer table if there is none."""
        values: dict[str, Any] = TypeAdapter(ModelLine).dump_python(
            self, mode="json", exclude_none=True
        )
        return values


def models(name: str | None = None) -> list[ModelLine]:
    """List every registered network with its size, or one network with its layers.

    Without PyTorch, the facts of the networks come from a file of the package, and only networks of
    the NumPy engine have a layer table.

    Args:
        name: A registered network, or one of a family, such as ``timm:resnet18``.

    Raises:
        UnknownNameError: There is none of this name.
        MissingPartError: Its family needs PyTorch, which is not installed.
    """
    if not has_torch():
        return _list_without_torch(name)
    from eosin.networks import NETWORKS, find_spec

    if name is not None:
        return [_describe(find_spec(name), with_layers=True)]
    return [_describe(NETWORKS.get(one), with_layers=False) for one in NETWORKS]


def has_torch() -> bool:
    """Return True if PyTorch is installed."""
    return version_of("torch") is not None or "torch" in sys.modules


def _list_without_torch(name: str | None) -> list[ModelLine]:
    text = resources.files("eosin.commands").joinpath("models.json").read_text(encoding="utf-8")
    listed = TypeAdapter(list[ModelLine]).validate_json(text)
    if name is None:
        return listed
    if name in SPECS:
        return [_describe_engine(SPECS.get(name))]
    if ":" in name:  # a family's networks are built from a library's, or from a file
        raise missing_train_extra()
    known = {line.name: line for line in listed}
    if name not in known:
        raise UnknownNameError(f"unknown network {name!r}", hint=close_matches(name, known))
    _LOG.info(f"The layers of {name} are listed with PyTorch: pip install 'eosin[train]'")
    return [known[name]]


def _describe_engine(spec: NetworkSpec) -> ModelLine:
    network = spec.build(num_classes=spec.num_classes, input_px=spec.input_px)
    table = list_layers(network)
    return _line(spec, count_macs(network), table.total.params, table.total.buffers, table)


def _describe(spec: NetworkSpec, *, with_layers: bool) -> ModelLine:
    import torch

    from eosin.networks import build_network, count_params
    from eosin.networks.layers import list_layers as list_torch_layers
    from eosin.networks.registry import count_buffers
    from eosin.networks.registry import count_macs as count_torch_macs

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
        macs = count_torch_macs(network, px, channels)
        table = list_torch_layers(network, px, channels) if with_layers else None
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
