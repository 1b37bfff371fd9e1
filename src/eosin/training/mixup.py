"""Mixup: each image of a batch is mixed with another, and so is its loss.

Source: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, with one share for
a batch as in the authors' code. Both images are of one batch, so that a class weighs in the loss as
it does without mixup.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from eosin.core.seeding import generator


@dataclass(frozen=True)
class Mixup:
    """Partners of a batch, and the share of each image in its mixture.

    Attributes:
        partner: Row of the other image, shape (B,).
        share: Of an image itself, from 0.5 to 1: its own class stays that of the larger share.
    """

    partner: torch.Tensor
    share: float

    @classmethod
    def draw(cls, alpha: float, batch_size: int, seed: int, number: int) -> Mixup:
        """Draw the mixture of a step, a pure function of (seed, number).

        Args:
            alpha: Of Beta(α, α), from which the share is drawn.
            batch_size: Images.
            seed: The run's seed.
            number: The step, counted from 0.
        """
        random = generator(seed, "mixup", number)
        share = float(random.beta(alpha, alpha))
        # The distribution is symmetric, and so is a pair.
        return cls(torch.from_numpy(random.permutation(batch_size)), max(share, 1.0 - share))

    def mix(self, inputs: torch.Tensor) -> torch.Tensor:
        """Mix inputs (B, …), floats."""
        return torch.lerp(inputs[self.partner.to(inputs.device)], inputs, self.share)

    def mean_loss(self, loss: Callable[[slice | torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Mix the batch's loss for the targets of its own rows with that for its partners'."""
        return self.share * loss(slice(None)) + (1.0 - self.share) * loss(self.partner)
