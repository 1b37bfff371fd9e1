"""Training data: the parts of a split, and the inputs of either backend."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eosin.artifacts.model import Embedding, Preprocessing
from eosin.augment import Policy
from eosin.core.types import DeviceSettings, FloatArray, ImageSource, IntArray
from eosin.recipe.schema import TrainSection
from eosin.training.tuning import Tuning

#: Training images over which precise batch-norm statistics are estimated.
RECALIBRATED = 2048


@dataclass(frozen=True)
class FitInputs:
    """Inputs of a training.

    Attributes:
        train: The training subset, as an epoch uses it; see
            :func:`eosin.training.balance.arrange`.
        val: The validation subset, which stops the training and chooses its best state.
        preprocessing: Conversion of 8-bit images to the network's input.
        policy: Augmentation of training images.
        positive: Index of the positive class; ``None`` without one.
        n_classes: Outputs.
        seed: The run's seed.
        device_settings: Device and precision.
        tuning: Which weights are trained when, and how fast.
        is_embedded: True if the parts hold features of a frozen backbone, not images.
        plain: The training subset's images once each, if they differ from ``train``.
        since: Time of the monotonic clock when the work on features began, if there was any.
    """

    train: ImagePart
    val: ImagePart
    preprocessing: Preprocessing
    policy: Policy
    positive: int | None
    n_classes: int
    seed: int
    device_settings: DeviceSettings
    tuning: Tuning = field(default_factory=Tuning)
    is_embedded: bool = False
    plain: ImagePart | None = None
    since: float | None = None

    @property
    def once(self) -> ImagePart:
        """The training subset's images once each, neither copied nor repeated."""
        return self.train if self.plain is None else self.plain

    def class_weights(self, section: TrainSection) -> FloatArray:
        """Return the weight of each class in the loss, given what an epoch shows, shape (K,)."""
        counts = np.bincount(self.train.targets, minlength=self.n_classes)
        return class_weights(shown_counts(counts, section.balance), section.class_weights)


def shown_counts(counts: IntArray, balance: str) -> FloatArray:
    """Return how many images of each class an epoch shows, shape (K,).

    Args:
        counts: Images of each class, fixed copies counted, shape (K,).
        balance: As in the recipe; for ``sampler`` the expected numbers. Balanced classes stay.
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


def needs_features_only(inputs: FitInputs) -> bool:
    """Return True if every epoch shows the head the same vectors, possibly of fixed copies.

    Not where it sees random crops.
    """
    is_whole = inputs.preprocessing.crop_px is None
    is_frozen = inputs.tuning.is_head_only and inputs.policy.changes_nothing and is_whole
    return is_frozen or isinstance(inputs.preprocessing, Embedding)


def embedded_part(inputs: FitInputs) -> ImagePart:
    """Return the part of the training data to embed: mere repetitions only once."""
    return inputs.once if isinstance(inputs.train.images, ChosenRows) else inputs.train


@dataclass(frozen=True)
class Probe:
    """Measurements of a few training steps.

    Attributes:
        step_s: Median time of one training step with loading and augmentation.
        evaluate_image_s: Time to evaluate one validation image.
        peak_bytes: Peak memory of the process or the accelerator; ``None`` if the system does not
            report it.
        on_accelerator: True if it is the accelerator's.
    """

    step_s: float
    evaluate_image_s: float
    peak_bytes: int | None
    on_accelerator: bool = False


def read_peak_bytes() -> int | None:
    """Return the peak memory of this process; ``None`` if the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike ru_maxrss, it starts anew with the program: ru_maxrss begins at the value of the
        # program that started this one.
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@dataclass(frozen=True)
class ImagePart:
    """Decoded images of one split, or their features.

    Attributes:
        images: uint8, shape (N, H, W, C); features float32, shape (N, D).
        targets: Class index of each, shape (N,).
        soft: Teachers' probabilities of each class, float32, shape (N, K); ``None`` without.
    """

    images: ImageSource | FloatArray
    targets: IntArray
    soft: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def at(self, rows: IntArray) -> ImagePart:
        """Return a subset of the rows, which may repeat; no image is read or copied."""
        return self.replaced(ChosenRows(self.images, rows), rows)

    def replaced(self, images: Any, rows: IntArray) -> ImagePart:
        """Return other images or features, those of some rows."""
        soft = None if self.soft is None else self.soft[rows]
        return ImagePart(images, self.targets[rows], soft)


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Lazy selection of rows from an image source.

    Attributes:
        images: N images, or their features.
        rows: Selected rows in order, shape (M,), possibly repeated.
    """

    images: Any
    rows: IntArray

    @property
    def shape(self) -> tuple[int, ...]:
        """M, then the shape of an image."""
        return (len(self.rows), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | IntArray) -> Any:
        """Return the images of some rows."""
        return self.images[self.rows[chosen]]
