"""Optimisers and learning-rate schedules, counted in evaluations."""

from __future__ import annotations

from torch import nn, optim
from torch.optim import lr_scheduler

from eosin.recipe.schema import ScheduleSection, TrainSection
from eosin.training.tuning import Tuning

Scheduler = lr_scheduler.LRScheduler


def make_optimizer(
    network: nn.Module, section: TrainSection, tuning: Tuning | None = None
) -> optim.Optimizer:
    """Build the recipe's optimiser over the weights that are ever trained.

    Args:
        network: The network.
        section: The recipe's training section.
        tuning: Which weights those are, and how much slower some of them learn; by default all
            that are not frozen, at one rate.
    """
    weights = [
        {"params": weights, "lr": section.lr * factor}
        for weights, factor in (tuning or Tuning()).rates(network)
    ]
    decay = section.weight_decay
    if section.optimizer == "sgd":
        return optim.SGD(weights, section.lr, momentum=section.momentum, weight_decay=decay)
    kind = optim.AdamW if section.optimizer == "adamw" else optim.Adam
    return kind(weights, section.lr, betas=section.betas, weight_decay=decay)


def make_scheduler(
    optimizer: optim.Optimizer, section: ScheduleSection, *, evaluations: int, higher_better: bool
) -> Scheduler | None:
    """Build the recipe's schedule.

    Args:
        optimizer: Whose rate changes.
        section: Name and numbers.
        evaluations: How many evaluations the whole training has.
        higher_better: Whether the monitored value shall grow (``plateau``).

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
