"""Comparison of models on the same images: paired differences, intervals and tests.

Differences have intervals from resamples of whole groups, the same for both models (:func:`draw`,
:func:`difference`), and a permutation test that exchanges whole groups (:func:`flip_test`).
McNemar's and DeLong's tests take images as independent.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binom, norm, rankdata

from eosin.core.errors import DataError
from eosin.core.seeding import generator
from eosin.core.types import BoolArray, Estimate, FloatArray
from eosin.metrics.catalogue import RANKING
from eosin.metrics.intervals import estimate_difference, support
from eosin.metrics.measurement import ROWS_AT_ONCE, Measurement, bootstrap, of_class
from eosin.metrics.predictions import Predictions
from eosin.metrics.ranking import ranking_scores

#: Random exchanges; the least p-value is 1 / (FLIPS + 1).
FLIPS = 4999
#: Differences up to this are rounding (sums in another order).
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Draws:
    """Metrics of one model, of the data and of every resample of its groups.

    Attributes:
        predictions: The measured predictions.
        points: By metric, of the data; NaN where it is undefined.
        samples: By metric, of each resample, shape (R,).
    """

    predictions: Predictions
    points: dict[str, float]
    samples: dict[str, FloatArray]


def draw(
    predictions: Predictions,
    names: Sequence[str],
    *,
    among: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Draws:
    """Measure the data and resamples of whole groups; equal groups give equal resamples.

    Args:
        predictions: At least one row.
        names: Metrics; one that exists per class is the positive class's, or the macro average.
        among: The groups that are resampled, at least those of the predictions, which are all by
            default; two sets of images that share groups get equal resamples of them by it.
        resamples: How many resamples of the groups.
        seed: The run's seed.
    """
    measure = Measurement(predictions, names, predictions.ranked_classes)
    n_groups, positive = predictions.n_groups, predictions.positive
    points = measure(np.ones((1, n_groups)))
    own = np.arange(n_groups)
    if among is not None:
        place = {group: number for number, group in enumerate(among)}
        own = np.array([place[group] for group in dict.fromkeys(predictions.groups)])
        n_groups = len(place)
    samples = bootstrap(
        lambda weights: measure(weights[:, own]),
        n_groups,
        len(predictions),
        resamples=resamples,
        seed=seed,
    )
    return Draws(
        predictions,
        {name: float(of_class(points[name], positive)[0]) for name in names},
        {name: of_class(samples[name], positive) for name in names},
    )


def difference(one: Draws, other: Draws, name: str) -> Estimate:
    """Return the difference of a metric, with a 95 % interval clustered by group.

    Args:
        one: The minuend.
        other: The subtrahend, of the same rows in the same order.
        name: A metric that both were drawn for.

    Raises:
        DataError: Rows or groups differ.
    """
    check_paired(one.predictions, other.predictions)
    return _estimate(one, other, name)


def differences_of_sets(
    one: Predictions,
    other: Predictions,
    names: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return the differences of metrics between two sets of images that may share groups.

    Groups of either are resampled together, so that a group in both varies both.

    Args:
        one: The minuend.
        other: The subtrahend; its groups have the same names.
        names: Metrics.
        resamples: How many resamples of the groups.
        seed: The run's seed.

    Returns:
        By metric the difference, with a 95 % interval clustered by group.
    """
    among = list(dict.fromkeys([*one.groups, *other.groups]))
    mine, theirs = (
        draw(part, names, among=among, resamples=resamples, seed=seed) for part in (one, other)
    )
    return {name: _estimate(mine, theirs, name) for name in names}


def _estimate(one: Draws, other: Draws, name: str) -> Estimate:
    values = one.points[name], other.points[name]
    if np.isnan(values).any():
        return Estimate(None, reason="undefined for one of the two")
    supports = [support(own.predictions, name, own.predictions.positive) for own in (one, other)]
    rests_on = min(supports, key=lambda own: own.n_groups)
    return estimate_difference(values, (one.samples[name], other.samples[name]), name, rests_on)


def selection_optimism(draws: Sequence[Draws], name: str) -> float | None:
    """Estimate by how much the best of several models looks better than it is.

    Bootstrap of the choice: in each resample the best model is chosen; its value there minus its
    value on all data is the optimism (Efron, JASA 78(382), 1983), here the mean over resamples.

    Args:
        draws: Of at least two models, for the same rows in the same order.
        name: A metric of which more is better.

    Returns:
        ``None`` where the metric is undefined, for the data or in every resample.
    """
    for other in draws[1:]:
        check_paired(draws[0].predictions, other.predictions)
    points = np.array([one.points[name] for one in draws])
    samples = np.array([one.samples[name] for one in draws])  # (T, R)
    samples = samples[:, np.isfinite(samples).all(axis=0)]
    if np.isnan(points).any() or not samples.shape[1]:
        return None
    chosen = samples.argmax(axis=0)
    return float((samples.max(axis=0) - points[chosen]).mean())


def check_paired(one: Predictions, other: Predictions) -> None:
    """Check that two sets of predictions are of the same rows.

    Raises:
        DataError: Their targets or their groups differ.
    """
    same = np.array_equal(one.targets, other.targets) and one.positive == other.positive
    if not (same and np.array_equal(one.group_codes, other.group_codes)):
        raise DataError("paired predictions must have the same targets and groups in one order")


def flip_test(
    one: Predictions, other: Predictions, names: Sequence[str], *, flips: int = FLIPS, seed: int = 0
) -> dict[str, float | None]:
    """Test by exchanging both models' predictions of whole groups (a permutation test).

    The two-sided p-value is the share of random exchanges that give at least the observed
    difference. Metrics of ranking exchange ranks, so that two scales of scores are not mixed.

    Args:
        one: Predictions of the first model.
        other: Predictions of the second, of the same rows in the same order.
        names: Metrics.
        flips: Number of random exchanges.
        seed: The run's seed.

    Returns:
        A p-value per metric; ``None`` where it is undefined for one of the two.

    Raises:
        DataError: Rows or groups differ.
    """
    check_paired(one, other)
    found: dict[str, float | None] = {}
    ranking = [name for name in names if name in RANKING]
    rest = [name for name in names if name not in RANKING]
    if rest:
        found |= _flip(one, other, rest, flips, seed)
    if ranking:
        found |= _flip(_by_rank(one), _by_rank(other), ranking, flips, seed)
    return {name: found[name] for name in names}


def _flip(
    one: Predictions, other: Predictions, names: Sequence[str], flips: int, seed: int
) -> dict[str, float | None]:
    n_groups = one.n_groups
    both = replace(
        one,
        probabilities=np.concatenate([one.probabilities, other.probabilities]),
        targets=np.concatenate([one.targets, other.targets]),
        predicted=np.concatenate([one.predicted, other.predicted]),
        # The groups of one model, then those of the other: what an exchange swaps.
        groups=np.concatenate([one.group_codes, n_groups + one.group_codes]),
    )
    measure, random = Measurement(both, names, one.ranked_classes), generator(seed, "flips")
    parts = [_gaps(measure, np.zeros((1, n_groups)), names, one.positive)]
    at_once = max(1, ROWS_AT_ONCE // max(len(both), 1))
    for start in range(0, flips, at_once):
        drawn = random.integers(0, 2, size=(min(at_once, flips - start), n_groups))
        parts.append(_gaps(measure, drawn.astype(np.float64), names, one.positive))
    found: dict[str, float | None] = {}
    for place, name in enumerate(names):
        gaps = np.abs(np.concatenate([part[place] for part in parts]))
        # An exchange that leaves the metric undefined counts against a difference.
        is_far = ~(gaps < gaps[0] - _ROUNDING)
        found[name] = None if np.isnan(gaps[0]) else float(is_far.mean())
    return found


def _gaps(
    measure: Measurement, flipped: FloatArray, names: Sequence[str], positive: int | None
) -> list[FloatArray]:
    """Return the difference of each metric where the groups of ``flipped`` (R, G) are exchanged."""
    first = measure(np.hstack([1 - flipped, flipped]))
    second = measure(np.hstack([flipped, 1 - flipped]))
    return [of_class(first[n], positive) - of_class(second[n], positive) for n in names]


def _by_rank(predictions: Predictions) -> Predictions:
    """Replace binary scores by ranks in (0, 1); probabilities of more than two classes stay."""
    if predictions.positive is None:
        return predictions
    ranks = rankdata(ranking_scores(predictions.probabilities, predictions.positive))
    share = ranks / (len(ranks) + 1)
    columns = [1 - share, share] if predictions.positive == 1 else [share, 1 - share]
    return replace(predictions, probabilities=np.column_stack(columns))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values, in their order (Holm, Scandinavian Journal of Statistics 1979)."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(value) for value in corrected]


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two models' decisions, for independent images.

    Attributes:
        only_one: Images that only the first model gets right.
        exact: Two-sided exact p-value.
        mid: Two-sided mid-p-value, which is less cautious and keeps the level in practice
            (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 2013).
    """

    only_one: int
    only_other: int
    exact: float
    mid: float


def mcnemar(right_one: BoolArray, right_other: BoolArray) -> McNemar:
    """Test whether two models, each right (N,) or not, are right equally often.

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
