"""Class balancing and fixed copies of the training subset.

Sources: oversampling by augmentation, P3, section 2.3; N. V. Chawla et al., "SMOTE: Synthetic
Minority Over-sampling Technique", JAIR 16, 2002, by imbalanced-learn. Validation and test images
are never used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eosin.artifacts.run import BalanceReport, ClassBalance
from eosin.augment import POLICIES, Policy, augment_bytes
from eosin.core.errors import DataError
from eosin.core.seeding import derive_seed, generator
from eosin.core.types import Image, IntArray
from eosin.recipe.schema import TrainSection
from eosin.runtime.door import import_companion
from eosin.training.data import FitInputs, ImagePart, class_weights, shown_counts

#: Neighbours of SMOTE, as Chawla et al. chose; fewer if a class has no more.
_NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class FixedCopies:
    """Images augmented once and for all, each a function of its own row, computed on access.

    Attributes:
        images: N images.
        rows: The image of each copy, shape (M,).
        policy: Augmentation policy.
        seed: The run's seed.
    """

    images: Any
    rows: IntArray
    policy: Policy
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """M, H, W, C."""
        return (len(self.rows), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | IntArray) -> Image:
        """Return copies, uint8, shape (B, H, W, C)."""
        index = np.arange(len(self))[chosen]
        drawn = self.policy.draw(self.seed, 0, index.tolist(), channels=self.shape[-1])
        return augment_bytes(self.images[self.rows[index]], drawn)


def arrange(inputs: FitInputs, section: TrainSection, copies: int | None) -> FitInputs:
    """Return the inputs with the training subset as an epoch shows it; no image is held twice.

    Copies come first: row r is a copy of image r // K. Then rows of smaller classes are repeated,
    each under an index of its own, so that its augmentation differs.

    Args:
        inputs: With the original training subset.
        section: The recipe's training section.
        copies: K fixed copies of each image; ``None`` if every epoch draws anew.
    """
    plain = inputs.train
    rows = np.repeat(np.arange(len(plain)), copies or 1)
    if section.balance == "oversample":
        rows = rows[oversampled_rows(plain.targets[rows], inputs.seed)]
    if copies is not None and not inputs.policy.changes_nothing:
        fixed = FixedCopies(plain.images, rows, inputs.policy, inputs.seed)
        train = plain.replaced(fixed, rows)
        return replace(inputs, train=train, plain=plain, policy=POLICIES.get("none"))
    if len(rows) == len(plain):
        return inputs
    return replace(inputs, train=plain.at(rows), plain=plain)


def oversampled_rows(targets: IntArray, seed: int) -> IntArray:
    """Return every row, then repeat those of smaller classes until all are as large as the largest.

    Within a class, numbers of repetitions differ by one at most.

    Args:
        targets: Class index of each row, shape (N,).
        seed: Seed of the choice of rows that are repeated once more.
    """
    found = [np.arange(len(targets))]
    largest = np.bincount(targets).max()
    for target in np.unique(targets):
        rows = np.flatnonzero(targets == target)
        rounds, rest = divmod(largest - len(rows), len(rows))
        drawn = generator(seed, "oversample", int(target)).permutation(rows)[:rest]
        found += [np.tile(rows, rounds), drawn]
    return np.concatenate(found)


def add_synthetic(part: ImagePart, seed: int) -> ImagePart:
    """Return a part's vectors, then new ones between neighbours of a class (SMOTE).

    Args:
        part: Vectors (N, D), at least two of each class.
        seed: The run's seed.
    """
    counts = np.bincount(part.targets)
    smallest = int(counts[counts > 0].min())
    if smallest == counts.max():
        return part
    over_sampling = import_companion("imblearn.over_sampling")
    smote = over_sampling.SMOTE(
        k_neighbors=min(_NEIGHBOURS, smallest - 1),
        random_state=derive_seed(seed, "smote") % 2**32,
    )
    vectors, targets = smote.fit_resample(part.images, part.targets)
    return ImagePart(vectors, targets)


def check_neighbours(targets: IntArray, class_names: Sequence[str]) -> None:
    """Refuse SMOTE if a class has a single training image, which has no neighbour.

    Raises:
        DataError: Names the class.
    """
    counts = np.bincount(targets, minlength=len(class_names))
    for name, n_images in zip(class_names, counts, strict=True):
        if n_images == 1:
            raise DataError(
                f"'train.balance' is \"smote\", but the class {name!r} has one training image: "
                "SMOTE needs at least two",
                hint='Set train.balance = "oversample"',
            )


def describe_balance(
    targets: IntArray, class_names: Sequence[str], section: TrainSection, copies: int | None
) -> BalanceReport:
    """Describe what an epoch shows of each class.

    Args:
        targets: Class indices of the original training subset, shape (N,).
        class_names: In the order of the network's outputs.
        section: The recipe's training section.
        copies: Fixed copies of each image, if any.
    """
    n_images = np.bincount(targets, minlength=len(class_names))
    copied = n_images * (copies or 1)
    shown = shown_counts(copied, section.balance)
    weights = class_weights(shown, section.class_weights)
    synthetic = shown - copied if section.balance == "smote" else np.zeros_like(shown)
    classes = {
        name: ClassBalance(
            images=int(n_images[k]),
            shown=float(shown[k]),
            synthetic=int(synthetic[k]),
            weight=float(weights[k]),
        )
        for k, name in enumerate(class_names)
    }
    return BalanceReport(
        method=section.balance,
        loss=section.loss,
        focal_gamma=section.focal_gamma if section.loss == "focal" else None,
        copies=copies,
        classes=classes,
    )
