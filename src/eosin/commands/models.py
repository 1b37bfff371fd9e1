"""Command ``models``: list of registered networks."""

from __future__ import annotations

import sys
from dataclasses import dataclass

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
    """

    name: str
    paper: str
    input_px: int
    params: int
    macs: int
    offline_weights: bool


def models() -> list[ModelLine]:
    """List every registered network with its size.

    Raises:
        MissingPartError: PyTorch is not installed.
    """
    if version_of("torch") is None and "torch" not in sys.modules:
        from eosin.runtime.door import missing_train_extra

        raise missing_train_extra()
    import torch

    from eosin.networks import NETWORKS, build_network, count_params
    from eosin.networks.registry import count_macs

    lines = []
    for name in NETWORKS:
        spec = NETWORKS.get(name)
        # Shapes suffice for counting: no weight is drawn, no image computed.
        with torch.device("meta"):
            network = build_network(
                name,
                num_classes=spec.num_classes,
                input_px=spec.input_px,
                in_channels=spec.in_channels,
                arguments={},
            )
            macs = count_macs(network, spec.input_px, spec.in_channels)
        lines.append(
            ModelLine(
                name=name,
                paper=spec.paper,
                input_px=spec.input_px,
                params=count_params(network),
                macs=macs,
                offline_weights=spec.offline_weights,
            )
        )
    return lines
