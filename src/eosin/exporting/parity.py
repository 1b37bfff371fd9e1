"""Comparison of an exported network's probabilities and labels with those of its original."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eosin.core.types import FloatArray


@dataclass(frozen=True)
class Parity:
    """Difference of two networks' probabilities on the same images.

    Attributes:
        n_images: Number of images.
        gap: Largest difference of a probability; NaN where one is not a number.
        n_other_labels: Images with another most probable class, ties left out.
    """

    n_images: int
    gap: float
    n_other_labels: int

    def holds(self, largest: float) -> bool:
        """Return True if no probability differs by more than ``largest``, and no label does."""
        return self.gap <= largest and self.n_other_labels == 0

    def __str__(self) -> str:
        return (
            f"{self.gap:.2g} in probability, and in the label of {self.n_other_labels} of "
            f"{self.n_images} images"
        )


def compare(expected: FloatArray, found: FloatArray, largest: float) -> Parity:
    """Compare probabilities (N, K).

    Of a tie, two classes that are closer than twice the difference ``largest`` that is allowed,
    either may be the most probable one.
    """
    rows = np.arange(len(expected))
    label, other = expected.argmax(axis=1), found.argmax(axis=1)
    margin = expected[rows, label] - expected[rows, other]
    gap = float(np.abs(expected - found).max(initial=0.0))
    return Parity(len(expected), gap, int((margin > 2 * largest).sum()))
