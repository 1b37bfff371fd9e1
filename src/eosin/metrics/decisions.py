"""What decisions are worth to those who act upon them.

Predictive values follow from recall and specificity by Bayes' theorem at any prevalence; net
benefit is that of Vickers and Elkin, "Decision Curve Analysis: A Novel Method for Evaluating
Prediction Models" (Medical Decision Making 2006).
"""

from __future__ import annotations

import numpy as np

from eosin.core.errors import DataError
from eosin.core.types import BoolArray, Estimate, FloatArray
from eosin.metrics.checks import check_finite
from eosin.metrics.counts import divide
from eosin.metrics.intervals import estimate, support
from eosin.metrics.measurement import Measurement
from eosin.metrics.predictions import Predictions
from eosin.metrics.resampling import bootstrap

#: Probabilities from which one would act, where a decision curve is drawn.
CURVE_THRESHOLDS: FloatArray = np.arange(1, 100) / 100


def summarise_predictive_values(
    predictions: Predictions, prevalence: float, *, resamples: int = 2000, seed: int = 0
) -> dict[str, Estimate]:
    """Return the positive and negative predictive value at a prevalence.

    Each resample of the groups has a recall and a specificity of its own, and its values follow
    from both at the same prevalence.

    Args:
        predictions: Of a binary task with a positive class; at least one row.
        prevalence: Share of the positive class, in [0, 1].
        resamples: How many resamples of the groups to draw.
        seed: The run's seed.

    Returns:
        ``ppv`` and ``npv``, 95 % clustered by group; ``None`` with a reason where a class has no
        image, or nothing was called positive (or negative).

    Raises:
        DataError: There is no positive class, or the prevalence is out of range.
    """
    positive = predictions.positive
    if positive is None or not 0 <= prevalence <= 1:
        raise DataError(
            f"a positive class and a prevalence from 0 to 1 are needed, got {prevalence}"
        )
    measure = Measurement(predictions, ("recall", "specificity"), ())
    n_groups, n_rows = predictions.n_groups, len(predictions)
    drawn = bootstrap(measure, n_groups, n_rows, resamples=resamples, seed=seed)
    points = _by_bayes(measure(np.ones((1, n_groups))), positive, prevalence)
    samples = _by_bayes(drawn, positive, prevalence)
    rests_on = support(predictions, "precision", positive)
    told = {}
    for name, called in (("ppv", positive), ("npv", 1 - positive)):
        value = float(points[name][0])
        told[name] = (
            Estimate(None, reason=_why_undefined(predictions, called))
            if np.isnan(value)
            else estimate(value, samples[name], "precision", rests_on)
        )
    return told


def net_benefit(
    prob_positive: FloatArray, is_positive: BoolArray, thresholds: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return what acting on a model is worth, in true positives an image.

    A false positive costs the odds of the threshold: who acts from a probability of 0.1 holds
    nine needless actions for as bad as one omission.

    Args:
        prob_positive: Probability of the positive class, shape (N,), N at least 1.
        is_positive: Which images are positive, (N,).
        thresholds: Probabilities from which one would act, each in (0, 1), (T,).

    Returns:
        Net benefit of acting where the probability is at least the threshold, and of acting on
        every image, both (T,).

    Raises:
        DataError: Shapes differ, nothing is there, or a threshold is out of range.
    """
    scores = check_finite(np.asarray(prob_positive, dtype=np.float64))
    positive = np.asarray(is_positive, dtype=bool)
    cuts = np.asarray(thresholds, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != positive.shape or not len(scores):
        raise DataError(f"`is_positive` must have the shape {scores.shape}, got {positive.shape}")
    if not ((cuts > 0) & (cuts < 1)).all():
        raise DataError("`thresholds` must lie between 0 and 1")
    hits, false = (_count_from(scores[own], cuts) for own in (positive, ~positive))
    odds, n = cuts / (1 - cuts), len(scores)
    share = positive.mean()
    return (hits - false * odds) / n, share - (1 - share) * odds


def _count_from(scores: FloatArray, cuts: FloatArray) -> FloatArray:
    """Count the scores that are at least each cut."""
    below = np.searchsorted(np.sort(scores), cuts, side="left")
    return (len(scores) - below).astype(np.float64)


def _by_bayes(
    measured: dict[str, FloatArray], positive: int, prevalence: float
) -> dict[str, FloatArray]:
    """Return both predictive values of recall and specificity, each (R, 2); NaN if undefined."""
    recall, specificity = (measured[name][:, positive] for name in ("recall", "specificity"))
    hits, misses = recall * prevalence, (1 - recall) * prevalence
    right, false = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    return {"ppv": divide(hits, hits + false), "npv": divide(right, right + misses)}


def _why_undefined(predictions: Predictions, called: int) -> str:
    for index in range(predictions.n_classes):
        if not (predictions.targets == index).any():
            return f"no image of {predictions.class_name(index)}"
    if not (predictions.predicted == called).any():
        return f"nothing was predicted as {predictions.class_name(called)}"
    return "undefined at this prevalence"
