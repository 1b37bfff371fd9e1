"""The mean of several networks' probabilities, as one network.

Each member keeps its own temperature; the output is the logarithm of the mean probability, so
that a soft-max over it (at temperature 1) gives the mean back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Rescale(nn.Module):
    """Carries input as the ensemble normalises it over to a member's own normalisation.

    The ensemble's images are prepared once. Each member gets the values that its own means,
    deviations, order of channels and windows of counts would have given. Where windows of
    fluorescence channels differ that holds up to the ensemble's step of 1/255: it reads with the
    widest.

    Args:
        order: For each channel of the member, its position in the ensemble's input.
        factor: A number a channel.
        offset: A number a channel, added after that.
        low: What the values are clipped to from below then, a number a channel; may be infinite.
        high: From above.
    """

    order: torch.Tensor
    factor: torch.Tensor
    offset: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def __init__(
        self,
        order: Sequence[int],
        factor: Sequence[float],
        offset: Sequence[float],
        low: Sequence[float],
        high: Sequence[float],
    ) -> None:
        super().__init__()
        self.register_buffer("order", torch.tensor(order))
        for name, values in (("factor", factor), ("offset", offset), ("low", low), ("high", high)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the member's input, shape (B, C, H, W) as that of ``images``."""
        moved = images[:, self.order] * self.factor + self.offset
        return torch.minimum(torch.maximum(moved, self.low), self.high)


class Ensemble(nn.Module):
    """Mean of probabilities.

    Args:
        members: Networks of one input and one label set.
        temperatures: Divisor of each member's logits.
    """

    temperatures: torch.Tensor

    def __init__(self, members: Sequence[nn.Module], temperatures: Sequence[float]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("temperatures", torch.tensor(temperatures, dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the mean probability.

        Args:
            images: float32, shape (B, C, H, W).

        Returns:
            Shape (B, K).
        """
        logits = torch.stack([member(images) for member in self.members])  # (M, B, K)
        scaled = torch.log_softmax(logits / self.temperatures[:, None, None], dim=-1)
        return torch.logsumexp(scaled, dim=0) - torch.log(torch.tensor(float(len(self.members))))
