"""Optimisers, learning-rate schedules counted in evaluations, and losses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn, optim
from torch.nn import functional
from torch.optim import lr_scheduler

from eosin.recipe.schema import ScheduleSection, TrainSection
from eosin.training.tuning import Tuning

Scheduler = lr_scheduler.LRScheduler


def make_optimizer(
    network: nn.Module, section: TrainSection, tuning: Tuning | None = None
) -> optim.Optimizer:
    """Build the recipe's optimiser over the trainable weights.

    Args:
        network: The network.
        section: The recipe's training section.
        tuning: Trainable weights and their learning-rate factors; by default all that are not
            frozen, at one rate.
    """
    weights = [
        {"params": weights, "lr": section.lr * factor}
        for weights, factor in (tuning or Tuning()).rates(network)
    ]
    decay = section.weight_decay
    if section.optimizer == "sgd":
        return optim.SGD(
            weights, section.lr, momentum=section.momentum, weight_decay=decay, fused=True
        )
    kind = optim.AdamW if section.optimizer == "adamw" else optim.Adam
    # One kernel for all weights: of a small network's step, the update took a tenth.
    return kind(weights, section.lr, betas=section.betas, weight_decay=decay, fused=True)


def make_scheduler(
    optimizer: optim.Optimizer, section: ScheduleSection, *, evaluations: int, higher_better: bool
) -> Scheduler | None:
    """Build the recipe's schedule.

    Args:
        optimizer: Optimiser whose rate changes.
        section: Name and numbers.
        evaluations: Number of evaluations of the whole training.
        higher_better: True if a larger monitored value is better (``plateau``).

    Returns:
        ``None`` for a constant rate.
    """
    if section.name == "plateau":
        return lr_scheduler.ReduceLROnPlateau(
            optimizer,
            mode="max" if higher_better else "min",
            factor=section.factor,
            patience=section.patience,
            min_lr=section.min_lr,
        )
    if section.name == "step":
        return lr_scheduler.StepLR(optimizer, section.every, section.factor)
    if section.name == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, evaluations, eta_min=section.min_lr)
    return None


def step_scheduler(scheduler: Scheduler | None, monitored: float) -> None:
    """Advance the schedule by one evaluation."""
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        scheduler.step(monitored)
    elif scheduler is not None:
        scheduler.step()


@contextmanager
def warming_up(optimizer: optim.Optimizer, factor: float) -> Iterator[None]:
    """Lower every learning rate by a factor for one step; the schedule's own rates stay."""
    before = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] *= factor
    try:
        yield
    finally:
        for group, lr in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = lr


def mean_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    section: TrainSection,
    *,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Return the recipe's loss of a batch: a mean weighted by class.

    Args:
        logits: Shape (B, K).
        targets: Class indices, shape (B,).
        weights: Weight of each class, shape (K,).
        section: The recipe's training section.
        label_smoothing: Share of the target that is spread over all classes, of cross-entropy.
    """
    if section.loss == "focal":
        return focal_loss(logits, targets, weights, section.focal_gamma)
    return functional.cross_entropy(
        logits, targets, weight=weights, label_smoothing=label_smoothing
    )


def focal_loss(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, gamma: float
) -> torch.Tensor:
    """Return the weighted mean of −(1 − p)^γ · ln p, where p is the true class's probability.

    Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equations 4 and 5;
    here over a soft-max, for any number of classes.

    Args:
        logits: Shape (B, K).
        targets: Class indices, shape (B,).
        weights: Weight of each class, shape (K,).
        gamma: 0 is cross-entropy; larger values down-weight confident correct predictions.
    """
    log_p = functional.log_softmax(logits.float(), dim=1).gather(1, targets[:, None])[:, 0]
    # At p = 1 the gradient of a power below 1 is infinite, times a loss of 0: NaN.
    wrong = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    counted = weights[targets]
    return -(counted * wrong.pow(gamma) * log_p).sum() / counted.sum()


def teacher_loss(
    logits: torch.Tensor, probabilities: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return the weighted mean Kullback-Leibler divergence from teachers' probabilities.

    The teachers' probabilities are calibrated, so that no temperature softens them.

    Args:
        logits: Shape (B, K).
        probabilities: Of each class, shape (B, K).
        weights: Weight of each image, shape (B,).
    """
    log_q = functional.log_softmax(logits.float(), dim=1)
    divergence = functional.kl_div(log_q, probabilities, reduction="none").sum(dim=1)
    return (weights * divergence).sum() / weights.sum()
