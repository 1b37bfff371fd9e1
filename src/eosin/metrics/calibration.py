"""Calibration of probabilities: temperature scaling, expected calibration error, Brier score.

Both follow Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017). The error is that of
the top label: the confidence is the largest probability of a row, and a row is right where that
class is its own. This holds for binary tasks too, so that the error can be compared across tasks
and depends on no decision threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eosin.core.errors import DataError
from eosin.core.types import FloatArray, IntArray
from eosin.metrics.predictions import check_classes, check_finite, divide, sum_by

#: Bins of equal width on [0, 1], each closed on the right, as Guo et al. use them.
N_BINS = 15
#: The range that a fitted temperature may take.
TEMPERATURES = (0.1, 10.0)
#: Deviation of the prior on the temperature's logarithm: a factor of two either way is ordinary.
PRIOR_LOG_DEVIATION = float(np.log(2.0))


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """Bins of a reliability diagram.

    Attributes:
        edges: Limits of the bins, from 0 to 1, shape (bins + 1,).
        weight: Rows in each bin, (bins,).
        confidence: Mean confidence in each bin, (bins,); NaN where it is empty.
        accuracy: Share of rows right in each bin, (bins,); NaN where it is empty.
    """

    edges: FloatArray
    weight: FloatArray
    confidence: FloatArray
    accuracy: FloatArray


def squared_errors(
    targets: IntArray, probabilities: FloatArray, positive: int | None = None
) -> FloatArray:
    """Return each row's term of the Brier score, shape (N,).

    Args:
        targets: Class index of each row, (N,).
        probabilities: One column per class, each row summing to one, (N, C).
        positive: In a binary task (p - y)² of this class, in [0, 1]. With ``None`` the sum over
            all classes, in [0, 2] (Brier, 1950): for two classes that is twice the binary number.
    """
    truth = targets[:, None] == np.arange(probabilities.shape[1])
    errors = np.square(probabilities - truth)
    return np.asarray(errors.sum(axis=1) if positive is None else errors[:, positive])


def top_label(targets: IntArray, probabilities: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return each row's bin, and its confidence minus one if it is right, both shape (N,).

    The calibration error is the sum over bins of the absolute value of the summed differences,
    over the number of rows.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    return _bins(confidence), confidence - right


def reliability_bins(targets: IntArray, probabilities: FloatArray) -> ReliabilityBins:
    """Return confidence and accuracy of the top label by bin.

    Args:
        targets: Class index of each row, shape (N,).
        probabilities: One column per class, each row summing to one, (N, C).

    Raises:
        DataError: Shapes differ, or a value is out of range.
    """
    targets, probabilities = _check_shapes(targets, probabilities)
    if probabilities.size and (probabilities.min() < 0 or probabilities.max() > 1):
        raise DataError(
            f"`probabilities` must be between 0 and 1, "
            f"got {probabilities.min():g} to {probabilities.max():g}"
        )
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    bins = _bins(confidence)
    weight, sums, hits = (
        sum_by(bins, values, N_BINS) for values in (np.ones(len(targets)), confidence, right)
    )
    edges = np.linspace(0.0, 1.0, N_BINS + 1)
    return ReliabilityBins(edges, weight, divide(sums, weight), divide(hits, weight))


def softmax(logits: FloatArray, temperature: float = 1.0) -> FloatArray:
    """Return probabilities (N, C), each row summing to one, of logits (N, C) over a temperature.

    Raises:
        DataError: A logit is not finite, or the temperature is not above zero.
    """
    if not temperature > 0:
        raise DataError(f"`temperature` must be above 0, got {temperature}")
    scaled = check_finite(np.asarray(logits, dtype=np.float64)) / temperature
    # As SciPy's, whose import takes a fifth of a prediction's time.
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(logits: FloatArray, targets: IntArray, n_groups: int | None = None) -> float:
    """Fit the temperature (maximum a posteriori).

    The mean negative log-likelihood counts once per group, because images of one patient are not
    independent. A normal prior on the temperature's logarithm (deviation
    :data:`PRIOR_LOG_DEVIATION`) keeps a few patients that are separated without an error from
    turning every probability into 0 or 1; with hundreds of groups it has no effect. Without rows,
    or with rows of a single class, the temperature is 1.

    Args:
        logits: Outputs of the network before softmax, shape (N, C).
        targets: Class index of each row, (N,).
        n_groups: Independent units among the rows; by default every row is one.

    Returns:
        A temperature within :data:`TEMPERATURES`.

    Raises:
        DataError: Shapes differ, an index is out of range or a logit is not finite.
    """
    # Imported here: takes half a second, which every reader of metrics would pay.
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    targets, logits = _check_shapes(targets, logits)
    if len(np.unique(targets)) < 2:
        return 1.0
    rows = np.arange(len(targets))
    weight = len(targets) if n_groups is None else n_groups

    def loss(log_temperature: float) -> float:
        likelihood = log_softmax(logits / np.exp(log_temperature), axis=1)
        prior = 0.5 * (log_temperature / PRIOR_LOG_DEVIATION) ** 2
        return float(prior - weight * likelihood[rows, targets].mean())

    bounds = np.log(TEMPERATURES)
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x))


def _bins(confidence: FloatArray) -> IntArray:
    inner = np.linspace(0.0, 1.0, N_BINS + 1)[1:-1]
    return np.searchsorted(inner, confidence, side="left")


def _check_shapes(targets: IntArray, table: FloatArray) -> tuple[IntArray, FloatArray]:
    table = check_finite(np.asarray(table, dtype=np.float64))
    if table.ndim != 2 or len(table) != len(targets):
        raise DataError(
            f"one row of numbers per target ({len(targets)}) is needed, got the shape {table.shape}"
        )
    return check_classes("targets", targets, table.shape[1]), table
