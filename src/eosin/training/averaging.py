"""Weight averaging: the mean of a network's weights along the training, which is then evaluated.

Sources: exponential moving average, B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic
Approximation by Averaging", SIAM J. Control Optim. 30, 1992, in the form of M. Tan and Q. Le,
"EfficientNet", ICML 2019, with TensorFlow's lower decay in the first steps, as the initial weights
would otherwise stay in the mean of a short training. Stochastic weight averaging (SWA), P.
Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from eosin.recipe.schema import TrainSection

#: Share of the epochs after which SWA begins, Izmailov et al.'s.
SWA_START = 0.75


class WeightAverage:
    """A network's averaged weights; those of frozen layers are equal to the network's.

    Args:
        network: The network in training.
        section: The recipe's training section.
    """

    def __init__(self, network: nn.Module, section: TrainSection) -> None:
        self._section = section
        self._is_ema = section.weight_averaging == "ema"
        self.model = AveragedModel(
            network,
            multi_avg_fn=self._decay if self._is_ema else None,
            use_buffers=self._is_ema,
        )

    @property
    def has_begun(self) -> bool:
        """True if anything was averaged: the averaged network is the one to evaluate."""
        return bool(self.model.n_averaged > 0)

    @property
    def network(self) -> nn.Module:
        """The network with averaged weights; SWA's batch-norm statistics are not yet its own."""
        return self.model.module

    def add_step(self, network: nn.Module) -> None:
        """Average after a step, if the average is an exponential moving one."""
        if self._is_ema:
            self.model.update_parameters(network)

    def add_evaluation(self, network: nn.Module, epoch: int) -> None:
        """Average before an evaluation in an epoch, counted from 0, if the average is SWA's."""
        if not self._is_ema and epoch + 1 > SWA_START * self._section.epochs:
            self.model.update_parameters(network)

    def _decay(self, averaged: Any, current: Any, n_averaged: Any) -> None:
        """Average tensors of one type, as ``multi_avg_fn`` of :class:`AveragedModel`."""
        n_steps = int(n_averaged)
        decay = min(self._section.ema_decay, (1 + n_steps) / (10 + n_steps))
        average: Any = get_ema_multi_avg_fn
        average(decay)(averaged, current, n_averaged)
