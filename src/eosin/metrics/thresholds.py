"""Where to cut a probability into a decision."""

from __future__ import annotations

import numpy as np

from eosin.core.errors import DataError
from eosin.core.types import BoolArray, FloatArray
from eosin.metrics.checks import check_finite


def choose_threshold(
    prob_positive: FloatArray, is_positive: BoolArray, target_recall: float = 0.90
) -> float | None:
    """Return the highest threshold at which enough of the positive rows are found.

    A row is called positive where its probability is at least the threshold. The threshold is
    therefore the probability of one of the positive rows; rows that share it are called
    together, so the recall reached may exceed the target.

    Args:
        prob_positive: Probability of the positive class, shape (N,).
        is_positive: Which rows are positive, (N,).
        target_recall: The recall to reach, above 0 and at most 1.

    Returns:
        The threshold; ``None`` where no row is positive.

    Raises:
        DataError: Shapes differ, a probability is not finite or the target out of range.
    """
    scores = check_finite(np.asarray(prob_positive, dtype=np.float64))
    positive = np.asarray(is_positive, dtype=bool)
    if scores.ndim != 1 or scores.shape != positive.shape:
        raise DataError(f"`is_positive` must have the shape {scores.shape}, got {positive.shape}")
    if not 0 < target_recall <= 1:
        raise DataError(f"`target_recall` must be above 0 and at most 1, got {target_recall}")
    found = np.sort(scores[positive])[::-1]
    if not len(found):
        return None
    # Compare shares, not counts: 0.9 * 10 is 9.000000000000002 in one order of evaluation.
    reached = np.arange(1, len(found) + 1) / len(found) >= target_recall
    return float(found[int(np.argmax(reached))])
