"""Fine-tuning: trainable weights in each epoch, and their learning rates.

Sources: gradual unfreezing from the head down, Howard & Ruder, "Universal Language Model
Fine-tuning for Text Classification", ACL 2018, section 3.3; layer-wise learning-rate decay, Clark
et al., "ELECTRA", ICLR 2020, appendix B, as BEiT and MAE use it on images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # recipes are read without PyTorch
    from torch import nn


@dataclass(frozen=True)
class Tuning:
    """Fine-tuning of initial weights.

    Attributes:
        stages: Stages of the network's :class:`~eosin.core.registry.NetworkSpec`.
        freeze: Frozen part; see :func:`~eosin.networks.freezing.find_cut`.
        unfreeze_every: Epochs after which one more stage is trained, from the cut towards the
            input; ``None`` keeps the cut.
        layer_decay: Factor on the learning rate from each stage to the one before.
        standardise: True if a head that is trained alone takes standardised features.
        untrained: Tensors of the backbone that no training has included, which no cut freezes; see
            :mod:`eosin.networks.freezing`.
    """

    stages: Mapping[str, str] = field(default_factory=dict)
    freeze: str = "none"
    unfreeze_every: int | None = None
    layer_decay: float = 1.0
    standardise: bool = False
    untrained: tuple[str, ...] = ()

    @property
    def is_head_only(self) -> bool:
        """True if only the head is ever trained."""
        is_cut = self.freeze in ("backbone", "before:head") and self.unfreeze_every is None
        return is_cut and not self.untrained

    def cut(self, network: nn.Module, epoch: int) -> str | None:
        """Return the path of the first module that is trained in an epoch; ``None`` for all.

        A pure function of the epoch, so that a resumed training continues unchanged.
        """
        from eosin.networks.branches import named_paths
        from eosin.networks.freezing import find_cut

        first = find_cut(network, self.stages, self.freeze)
        if first is None or self.unfreeze_every is None:
            return first
        thawed = epoch // self.unfreeze_every
        if thawed == 0:
            return first
        order = {path: place for place, (path, _) in enumerate(named_paths(network))}
        earlier = [path for path in self.stages.values() if order[path] < order[first]]
        # The last stage to be unfrozen is the network's first: nothing is frozen.
        return earlier[-thawed] if thawed < len(earlier) else None

    def rates(self, network: nn.Module) -> list[tuple[list[nn.Parameter], float]]:
        """Return trainable weights with learning-rate factors, by stage, from the head down."""
        kept = self._ever_trained(network)
        if self.layer_decay == 1.0:
            return [(kept, 1.0)]
        chosen = {id(weight) for weight in kept}
        groups = []
        for depth, weights in enumerate(reversed(self._by_stage(network))):
            trained = [weight for weight in weights if id(weight) in chosen]
            if trained:
                groups.append((trained, self.layer_decay**depth))
        return groups

    def _ever_trained(self, network: nn.Module) -> list[nn.Parameter]:
        if self.unfreeze_every is not None:
            return list(network.parameters())
        return [weight for weight in network.parameters() if weight.requires_grad]

    def _by_stage(self, network: nn.Module) -> list[list[nn.Parameter]]:
        """Group the weights by the stage that last began before them, from input to output."""
        from eosin.networks.branches import named_paths

        starts, last = set(self.stages.values()), ""
        groups: list[list[nn.Parameter]] = [[]]
        for path, module in named_paths(network):
            if path in starts and path != last and groups[-1]:
                groups.append([])
            groups[-1] += module.parameters(recurse=False)
            last = path
        return groups
