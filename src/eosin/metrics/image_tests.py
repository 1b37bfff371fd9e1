"""McNemar's and DeLong's tests of two models, which take images as independent.

Where a patient has several images they claim too much: they are told for comparison with other
work. DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 1988) is computed from mid-ranks, as
Sun and Xu, IEEE Signal Processing Letters 2014, do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, norm, rankdata

from eosin.core.errors import DataError
from eosin.core.types import BoolArray, FloatArray

#: A deviation that is none.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models' decisions, for independent images.

    Attributes:
        only_one: Images that only the first model gets right.
        only_other: Images that only the second gets right.
        exact: Two-sided exact p-value.
        mid: Two-sided mid-p-value, which is less cautious and keeps the level in practice
            (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 2013).
    """

    only_one: int
    only_other: int
    exact: float
    mid: float


def mcnemar(right_one: BoolArray, right_other: BoolArray) -> McNemar:
    """Test whether two models are right equally often.

    Args:
        right_one: Whether the first model is right, shape (N,).
        right_other: Whether the second is, (N,).

    Raises:
        DataError: The shapes differ.
    """
    if right_one.shape != right_other.shape:
        raise DataError(f"both must have one shape, got {right_one.shape} and {right_other.shape}")
    only_one = int((right_one & ~right_other).sum())
    only_other = int((right_other & ~right_one).sum())
    fewer, n = min(only_one, only_other), only_one + only_other
    tail, point = 2 * float(binom.cdf(fewer, n, 0.5)), float(binom.pmf(fewer, n, 0.5))
    mid = tail - point if only_one != only_other else 1 - point / 2
    return McNemar(only_one, only_other, min(1.0, tail), mid if n else 1.0)


@dataclass(frozen=True)
class DeLong:
    """DeLong's test of two areas under the ROC curve, for independent images.

    Attributes:
        value: The first area minus the second.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided p-value.
    """

    value: float
    low: float
    high: float
    p: float


def delong(one: FloatArray, other: FloatArray, positive: BoolArray) -> DeLong:
    """Compare two scores' areas under the ROC curve on the same rows.

    Args:
        one: Scores, higher for positive, shape (N,).
        other: Those of the second model, (N,).
        positive: Which rows are positive, (N,).

    Raises:
        DataError: A class has fewer than two rows.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        raise DataError(f"DeLong's test needs two rows of each class, got {m} and {n}")
    found, missed = zip(*(_placements(scores, positive) for scores in (one, other)), strict=True)
    gap_found, gap_missed = found[0] - found[1], missed[0] - missed[1]
    value = float(gap_found.mean())
    spread = float(np.sqrt(gap_found.var(ddof=1) / m + gap_missed.var(ddof=1) / n))
    if spread < _ROUNDING:
        return DeLong(value, value, value, 1.0 if abs(value) < _ROUNDING else 0.0)
    reach = float(norm.ppf(0.975)) * spread
    return DeLong(value, value - reach, value + reach, 2 * float(norm.sf(abs(value) / spread)))


def _placements(scores: FloatArray, positive: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return each positive's share of lower negatives, and each negative's of higher positives.

    Ties count one half; the mean of either is the area.
    """
    found, missed = scores[positive], scores[~positive]
    ranks = rankdata(np.concatenate([found, missed]))
    m, n = len(found), len(missed)
    return (ranks[:m] - rankdata(found)) / n, 1 - (ranks[m:] - rankdata(missed)) / m
