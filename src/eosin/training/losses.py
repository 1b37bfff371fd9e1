"""What a training makes small: cross-entropy, or the focal loss.

Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equations 4 and 5;
here over a soft-max, so that any number of classes can be told apart.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from eosin.recipe.schema import TrainSection


def mean_loss(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, section: TrainSection
) -> torch.Tensor:
    """Return the recipe's loss of a batch: a mean in which each image counts by its class's weight.

    Args:
        logits: Shape (B, K).
        targets: Class indices, shape (B,).
        weights: Of each class, shape (K,).
        section: The recipe's training section.
    """
    if section.loss == "focal":
        return focal_loss(logits, targets, weights, section.focal_gamma)
    return functional.cross_entropy(logits, targets, weight=weights)


def focal_loss(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, gamma: float
) -> torch.Tensor:
    """Return the weighted mean of −(1 − p)^γ · ln p, where p is the true class's probability.

    Args:
        logits: Shape (B, K).
        targets: Class indices, shape (B,).
        weights: Of each class, shape (K,).
        gamma: 0 is cross-entropy; the larger, the less counts what is right already.
    """
    log_p = functional.log_softmax(logits.float(), dim=1).gather(1, targets[:, None])[:, 0]
    # At p = 1 the gradient of a power below 1 is infinite, times a loss of 0: no number.
    wrong = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    counted = weights[targets]
    return -(counted * wrong.pow(gamma) * log_p).sum() / counted.sum()
