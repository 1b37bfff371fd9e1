"""Multiple-range tests: which of several means differ, given values in blocks.

Two sorted means differ where the range between them exceeds a critical one. Tukey's honestly
significant difference uses one critical range for all; Duncan's new multiple-range test (Duncan,
Biometrics 1955) a smaller one the fewer means lie between, at the protection level
(1 - α)^(p - 1) for p means: it finds more differences, and more false ones. The error is the
residual of a two-way layout without interaction, of blocks (folds) and treatments.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy.stats import studentized_range

from eosin.core.errors import DataError
from eosin.core.types import FloatArray

Method = Literal["tukey", "duncan"]
#: Differences up to this are rounding (sums in another order).
_ROUNDING = 1e-12


@dataclass(frozen=True)
class BlockError:
    """Residual variance of a two-way layout of blocks and treatments."""

    mean_square: float
    freedom: int


def block_error(values: FloatArray) -> BlockError:
    """Return the residual variance of a two-way layout (B, T): rows are blocks, columns treatments.

    Raises:
        DataError: A side is less than two, or a value is not finite.
    """
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise DataError(f"finite values of two blocks and treatments needed, got {values.shape}")
    by_block, by_treatment = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    rest = values - by_block - by_treatment + values.mean()
    freedom = (values.shape[0] - 1) * (values.shape[1] - 1)
    return BlockError(float(np.square(rest).sum() / freedom), freedom)


def critical_ranges(
    n_means: int, error: BlockError, n_each: int, method: Method, alpha: float = 0.05
) -> FloatArray:
    """Return the critical ranges of 2, 3 … ``n_means`` neighbouring means.

    Args:
        n_means: Number of means, at least two.
        error: The residual variance.
        n_each: Number of values per mean.
        method: ``tukey`` or ``duncan``.
        alpha: Probability of a false difference: in all comparisons together (Tukey), or in one of
            neighbours (Duncan).

    Returns:
        Shape (n_means - 1,).
    """
    spans = range(2, n_means + 1)
    if method == "tukey":
        quantiles = [_quantile(1 - alpha, n_means, error.freedom) for _ in spans]
    else:
        quantiles = [_quantile((1 - alpha) ** (span - 1), span, error.freedom) for span in spans]
    # A wider span never has the smaller critical range (Duncan's own rule).
    found = np.maximum.accumulate(quantiles)
    return np.asarray(found * np.sqrt(error.mean_square / n_each))


@cache
def _quantile(level: float, n_means: int, freedom: int) -> float:
    """Return a quantile of the studentized range (half a second in SciPy)."""
    return float(studentized_range.ppf(level, n_means, freedom))


def homogeneous_letters(means: Sequence[float], ranges: FloatArray) -> list[str]:
    """Give the same letter to means that do not differ significantly.

    Args:
        means: In any order.
        ranges: Critical range of 2, 3 … neighbouring means, shape (len(means) - 1,).

    Returns:
        Letters of each mean, in the order given, ``a`` for the subset with the highest. Two means
        without a common letter differ.
    """
    values = np.asarray(means, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    ranked, letters = values[order], [""] * len(values)
    reached, n_subsets = 0, 0
    for start in range(len(ranked)):
        end = start + 1
        for stop in range(len(ranked), start + 1, -1):
            if ranked[start] - ranked[stop - 1] <= ranges[stop - start - 2] + _ROUNDING:
                end = stop
                break
        # Means inside a wider homogeneous subset do not differ, whatever a narrower one gives.
        if end > reached:
            for place in order[start:end]:
                letters[place] += string.ascii_letters[n_subsets % len(string.ascii_letters)]
            reached, n_subsets = end, n_subsets + 1
    return letters
