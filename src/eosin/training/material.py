"""What a training works on, whatever runs it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from eosin.artifacts.model import Preprocessing
from eosin.augment import Policy
from eosin.core.types import FloatArray, IntArray
from eosin.runtime.placement import Placement
from eosin.training.parts import ImagePart
from eosin.training.tuning import Tuning


@dataclass(frozen=True)
class FitInputs:
    """What a training works on.

    Attributes:
        train: The training part, as an epoch shows it; see :func:`eosin.training.balance.arrange`.
        val: The validation part, which stops the training and chooses its best state.
        preprocessing: From 8-bit images to the network's input.
        policy: Augmentation of training images.
        positive: Index of the positive class; ``None`` without one.
        n_classes: Outputs.
        seed: The run's seed.
        placement: Device and precision.
        tuning: Which weights are trained when, and how fast.
        is_embedded: Whether the parts hold what a frozen backbone made of the images.
        plain: The training part's images once each, where ``train`` shows them otherwise.
    """

    train: ImagePart
    val: ImagePart
    preprocessing: Preprocessing
    policy: Policy
    positive: int | None
    n_classes: int
    seed: int
    placement: Placement
    tuning: Tuning = field(default_factory=Tuning)
    is_embedded: bool = False
    plain: ImagePart | None = None

    @property
    def once(self) -> ImagePart:
        """The training part's images once each, neither copied nor repeated."""
        return self.train if self.plain is None else self.plain


def shown_counts(counts: IntArray, balance: str) -> FloatArray:
    """Return how many images of each class an epoch shows, shape (K,).

    Args:
        counts: Images of each class, fixed copies counted, shape (K,).
        balance: As the recipe's; of ``sampler`` it is what is expected. What is balanced already
            stays as it is.
    """
    present = counts > 0
    if balance == "sampler":
        return np.where(present, counts.sum() / present.sum(), 0.0)
    if balance != "none":
        return np.where(present, float(counts.max()), 0.0)
    return counts.astype(np.float64)


def class_weights(counts: FloatArray, kind: str) -> FloatArray:
    """Return the weight of each class in the loss, shape (K,).

    Args:
        counts: Images of each class that an epoch shows, shape (K,).
        kind: ``none``: all one; ``balanced``: N / (K · N_class), as scikit-learn.
    """
    if kind == "none":
        return np.ones(len(counts))
    weights: FloatArray = counts.sum() / (len(counts) * np.maximum(counts, 1))
    return weights
