"""The mean of several networks' probabilities, as one network.

Each member keeps its own temperature; the output is the logarithm of the mean probability, so
that a soft-max over it (at temperature 1) gives the mean back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


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
