"""Decision thresholds, predictive values and decision curves."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from eosin.core.errors import DataError
from eosin.core.types import BoolArray, Estimate, FloatArray
from eosin.metrics.intervals import estimate, support
from eosin.metrics.measurement import Measurement, bootstrap
from eosin.metrics.predictions import Predictions, check_finite, divide

#: Threshold probabilities of a decision curve.
CURVE_THRESHOLDS: FloatArray = np.arange(1, 100) / 100


def choose_threshold(
    prob_positive: FloatArray, is_positive: BoolArray, target_recall: float = 0.90
) -> float | None:
    """Return the highest threshold that reaches a target recall.

    A row is predicted positive where its probability is at least the threshold. The threshold is
    therefore the probability of one of the positive rows; rows that share it are predicted
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


def choose_threshold_by_bound(
    predictions: Predictions,
    target_recall: float,
    *,
    resamples: int = 2000,
    seed: int = 0,
    at_once: int = 256,
) -> float | None:
    """Return the highest threshold at which the lower end of recall's interval reaches a target.

    The interval is the 95 % interval clustered by group that a summary gives. Candidates are the
    distinct probabilities of positive rows, from the highest at which the recall itself reaches the
    target downwards; all are tried until one does, since an interval may widen on the way.

    Args:
        predictions: Of a binary task with a positive class; ``predicted`` is ignored.
        target_recall: Target of the lower end, above 0 and at most 1.
        resamples: Number of resamples of the groups.
        seed: The run's seed.
        at_once: Candidates evaluated in one pass over the resamples.

    Returns:
        The threshold; ``None`` where no interval reaches the target, or where there is no interval:
        fewer than five groups hold a positive row, or all are found in every resample.

    Raises:
        DataError: There is no positive class, or the target is out of range.
    """
    positive = predictions.positive
    if positive is None:
        raise DataError("a threshold by its bound needs a positive class, got none")
    scores, own = predictions.probabilities[:, positive], predictions.targets == positive
    highest = choose_threshold(scores, own, target_recall)
    candidates = -np.unique(-scores[own & (scores <= (highest or 0.0))])
    for start in range(0, len(candidates), at_once):
        tried = candidates[start : start + at_once]
        recalls = _recalls(predictions, positive, tried, resamples, seed)
        for threshold, recall in zip(tried, recalls, strict=True):
            if recall.low is not None and recall.low >= target_recall:
                return float(threshold)
    return None


def _recalls(
    predictions: Predictions, positive: int, thresholds: FloatArray, resamples: int, seed: int
) -> list[Estimate]:
    """Return the recall at each threshold, these descending."""
    own = predictions.targets == positive
    scores, groups = predictions.probabilities[own, positive], predictions.group_codes[own]
    # The number of thresholds above a row is the index of the first that finds it.
    places = np.searchsorted(-thresholds, -scores, side="left")
    shape = (predictions.n_groups, len(thresholds) + 1)
    sums = csr_array((np.ones(len(scores)), (groups, places)), shape=shape)

    def measure(weights: FloatArray) -> dict[str, FloatArray]:
        seen = np.cumsum(weights @ sums, axis=1)
        return {"recall": divide(seen[:, :-1], seen[:, -1:])}

    n_groups, n_rows = predictions.n_groups, len(predictions)
    points = measure(np.ones((1, n_groups)))["recall"][0]
    samples = bootstrap(measure, n_groups, n_rows, resamples=resamples, seed=seed)["recall"]
    rests_on = support(predictions, "recall", positive)
    return [
        estimate(float(point), samples[:, place], "recall", rests_on)
        for place, point in enumerate(points)
    ]


def summarise_predictive_values(
    predictions: Predictions, prevalence: float, *, resamples: int = 2000, seed: int = 0
) -> dict[str, Estimate]:
    """Return the positive and negative predictive value at a prevalence.

    Each resample of the groups has its own recall and specificity, from which its predictive values
    follow.

    Args:
        predictions: Of a binary task with a positive class; at least one row.
        prevalence: Share of the positive class, in [0, 1].
        resamples: Number of resamples of the groups.
        seed: The run's seed.

    Returns:
        ``ppv`` and ``npv``, 95 % clustered by group; ``None`` with a reason where a class has no
        image, or no image is predicted positive (or negative).

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
    shown = {}
    for name, called in (("ppv", positive), ("npv", 1 - positive)):
        value = float(points[name][0])
        shown[name] = (
            Estimate(None, reason=_why_undefined(predictions, called))
            if np.isnan(value)
            else estimate(value, samples[name], "precision", rests_on)
        )
    return shown


def net_benefit(
    prob_positive: FloatArray, is_positive: BoolArray, thresholds: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the net benefit of acting on a model, in true positives per image.

    A false positive costs the odds of the threshold: at 0.1, nine needless actions weigh as much as
    one omission.

    Args:
        prob_positive: Probability of the positive class, shape (N,), N at least 1.
        is_positive: Which images are positive, (N,).
        thresholds: Probabilities from which one would act, each in (0, 1), (T,).

    Returns:
        Net benefit of acting where the probability is at least the threshold, and of acting on
        every image, both (T,).

    Raises:
        DataError: Shapes differ, there is no image, or a threshold is out of range.
    """
    scores = check_finite(np.asarray(prob_positive, dtype=np.float64))
    positive = np.asarray(is_positive, dtype=bool)
    cuts = np.asarray(thresholds, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != positive.shape or not len(scores):
        raise DataError(f"`is_positive` must have the shape {scores.shape}, got {positive.shape}")
    if not ((cuts > 0) & (cuts < 1)).all():
        raise DataError("`thresholds` must be between 0 and 1")
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
