"""95 % confidence intervals clustered by group, and the conditions under which there is none.

The variance is that of resamples of whole groups; the interval is symmetric on the logit scale (a
share near 1 can fall far and rise little), its width from quantiles of Student's t. Percentiles of
the resamples are too narrow and too high: ``benchmarks/interval_coverage.py`` simulates both,
``docs/adr/0005-intervals.md`` compares them. The simulated coverage is in ``coverage.json``; it is
given beside an interval from fewer than 40 groups, or wherever it is less than 93 %.

The interval of a difference is combined from those of its two terms, as Zou does ("Toward using
confidence intervals to compare correlations", Psychological Methods 2007), but only for the part of
their variance that they do not share.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from scipy.special import expit, logit, stdtrit

from eosin.core.errors import DataError
from eosin.core.types import Estimate, FloatArray, IntArray
from eosin.metrics.catalogue import METRICS, PATIENT_METRICS, MetricDefinition
from eosin.metrics.measurement import bootstrap, measure_rows
from eosin.metrics.predictions import Predictions, encode

#: Fewer groups than this in a class that a metric needs: no interval.
MIN_GROUPS = 5
#: Fewer groups than this: the interval comes with its measured coverage.
FEW_GROUPS = 40
#: Likewise where the simulated coverage is less than this.
GOOD_COVERAGE = 0.93
#: A larger share of undefined resamples: no interval.
MAX_UNDEFINED = 0.05
#: Sums that differ by no more differ by rounding alone.
_ROUNDING = 1e-12
#: The 97.5 % quantile of the normal distribution.
_Z = 1.959963984540054
#: Probabilities one standard deviation to either side of the median of a normal distribution.
_ONE_DEVIATION = (0.15865525393145707, 0.8413447460685429)


def wilson(successes: int, n: int) -> Estimate:
    """Return a share with Wilson's score interval, for independent draws.

    Images of one patient are not independent: this is for counts of patients or of groups.

    Raises:
        DataError: ``successes`` is out of range.
    """
    if not 0 <= successes <= n:
        raise DataError(f"`successes` must be between 0 and `n` ({n}), got {successes}")
    if n == 0:
        return Estimate(None, reason="nothing was counted")
    share, z2 = successes / n, _Z**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    # Rounding must not move the ends past the share.
    low, high = max(0.0, float(centre - half)), min(1.0, float(centre + half))
    return Estimate(share, min(low, share), max(high, share))


@dataclass(frozen=True)
class Support:
    """Number of groups that a metric rests on.

    Attributes:
        n_groups: Groups that the metric draws from.
        by_class: Name and number of groups of each class that must be present.
        comparable: Number of groups of a balanced set with as many groups in its smallest class;
            the coverage is looked up by it.
        of: Ends the phrase "12 groups": empty, or `` of 'malignant'``.
        most: The largest value that the metric can have.
    """

    n_groups: int
    by_class: tuple[tuple[str, int], ...]
    comparable: int
    of: str = ""
    most: float = 1.0


def support(predictions: Predictions, name: str, positive: int | None) -> Support:
    """Count the groups that a metric rests on.

    Recall needs groups of its class alone, specificity those of the other classes alone. Accuracy,
    the Brier score and the calibration error are means over all rows: all groups count, and a class
    without a row limits nothing. The other metrics need each class and are limited by the smallest.
    """
    table, total = predictions.class_in_group, predictions.n_groups
    per_class = [
        (predictions.class_name(index), int(table[:, index].sum()))
        for index in range(predictions.n_classes)
    ]
    if positive is not None and predictions.n_classes > 2:
        others = np.delete(table, positive, axis=1).any(axis=1)
        rest = (f"classes other than {per_class[positive][0]}", int(others.sum()))
        per_class = [per_class[positive], rest]
        positive = 0
    metric = METRICS[name]
    if positive is not None and metric.support in ("class", "others"):
        who, count = per_class[positive if metric.support == "class" else 1 - positive]
        return Support(count, ((who, count),), count, f" of {who}")
    if metric.support == "all":
        present = tuple(entry for entry in per_class if entry[1])
        most = metric.most if predictions.positive is None else metric.most_of_class
        return Support(total, present, total, most=most)
    even = min(count for _, count in per_class) * len(per_class) + len(per_class) - 1
    return Support(total, tuple(per_class), min(total, even))


def estimate(
    value: float,
    samples: FloatArray,
    name: str,
    rests_on: Support,
    *,
    simulated_as: str | None = None,
) -> Estimate:
    """Return a defined value with its interval, or with the reason why there is none.

    Args:
        value: The point estimate, not NaN.
        samples: The metric in each resample, NaN where undefined, shape (R,).
        name: The metric, for its scale and its coverage.
        rests_on: The groups that it rests on.
        simulated_as: Name to look its coverage up by, where that is not ``name``.
    """
    defined = samples[~np.isnan(samples)]
    refused = _refuse(1 - len(defined) / len(samples), rests_on)
    if refused is None and not _varies(defined):
        # No variation: errors are rare, not impossible.
        refused = "identical in every resample: no bootstrap interval"
    if refused is not None:
        return Estimate(value, reason=refused)
    low, high = _interval(value, defined, _metric(name), rests_on)
    return Estimate(value, low, high, _remark(simulated_as or name, rests_on))


def _metric(name: str) -> MetricDefinition:
    return METRICS.get(name) or PATIENT_METRICS[name]


def interval(
    predictions: Any,
    function: Callable[[Any], float],
    groups: Sequence[Hashable] | str | None = None,
    *,
    bounds: tuple[float, float] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return any function of predictions with a 95 % interval by the clustered bootstrap.

    Args:
        predictions: A pandas table such as a run's ``predictions``, a :class:`Predictions`, or an
            array whose first axis is the rows.
        function: From such an object, with rows left out and repeated, to a number; NaN or a
            ``ValueError`` where it is undefined.
        groups: Group of each row, such as its patient, or the table's column of them; by default
            the column ``group``, or the groups of the :class:`Predictions`.
        bounds: Least and largest value, where the function has them: the interval is then symmetric
            on the logit scale between them.
        resamples: Number of resamples of the groups.
        seed: Equal seeds and groups give equal resamples.

    Raises:
        DataError: There is no row, the number of groups is another, or the function fails or
            returns anything but a number in its bounds.
    """
    least, most = bounds or (-np.inf, np.inf)
    take, codes = _rows_of(predictions, groups)
    if not len(codes):
        raise DataError("there are no predictions to measure")
    n_groups = int(codes.max()) + 1

    def measure(weights: FloatArray) -> dict[str, FloatArray]:
        return {
            "value": measure_rows(function, take, codes, weights, "the function", (least, most))
        }

    value = float(measure(np.ones((1, n_groups)))["value"][0])
    if np.isnan(value):
        return Estimate(None, reason="undefined")
    samples = bootstrap(measure, n_groups, len(codes), resamples=resamples, seed=seed)["value"]
    defined = samples[~np.isnan(samples)]
    rests_on = Support(n_groups, (("the data", n_groups),), n_groups)
    refused = _refuse(1 - len(defined) / len(samples), rests_on)
    if refused is None and not _varies(defined):
        refused = "the same in every resample: no interval from resampling"
    if refused is not None:
        return Estimate(value, reason=refused)
    metric = MetricDefinition("", "", least=least, most=most, is_logit=bounds is not None)
    low, high = _interval(value, defined, metric, replace(rests_on, most=most))
    return Estimate(value, low, high, _few(rests_on) if n_groups < FEW_GROUPS else None)


def _rows_of(
    predictions: Any, groups: Sequence[Hashable] | str | None
) -> tuple[Callable[[IntArray], Any], IntArray]:
    """Return a function that takes rows of predictions, and the number of each row's group."""
    if isinstance(predictions, Predictions):
        take: Callable[[IntArray], Any] = predictions.take
        found = predictions.group_codes if groups is None else _number(groups)
    elif hasattr(predictions, "iloc"):
        take = predictions.iloc.__getitem__
        groups = "group" if groups is None else groups
        if isinstance(groups, str) and groups not in predictions:
            raise DataError(f"the table has no column {groups!r}", hint="Name it: groups='patient'")
        found = _number(predictions[groups] if isinstance(groups, str) else groups)
    else:
        rows = np.asarray(predictions)
        take = rows.__getitem__
        if groups is None or isinstance(groups, str):
            raise DataError("an array needs `groups`, one per row")
        found = _number(groups)
    if len(found) != len(predictions):
        raise DataError(f"`groups` must be {len(predictions)}, one per row, got {len(found)}")
    return take, found


def _number(groups: Sequence[Hashable]) -> IntArray:
    """Number groups; a row whose group is unknown is a group of its own."""
    labels = [group if is_known else object() for group, is_known in _with_known(groups)]
    try:
        return encode(labels)
    except TypeError as error:
        raise DataError(f"a group must be a name or a number: {error}") from None


def _with_known(groups: Sequence[Hashable]) -> Iterator[tuple[Hashable, bool]]:
    for group in groups:
        # Of NaN, NaT and None the texts are these, whichever library made them.
        yield group, str(group) not in {"", "nan", "NaT", "<NA>", "None"}


def _few(rests_on: Support) -> str:
    return f"{_groups(rests_on.n_groups)}: the coverage of such intervals was not simulated"


def estimate_difference(
    values: tuple[float, float],
    samples: tuple[FloatArray, FloatArray],
    name: str,
    rests_on: Support,
) -> Estimate:
    """Return the difference of a metric between two models, with its interval.

    Args:
        values: Both models' point estimates, not NaN.
        samples: Both models' metric in the same resamples, NaN where undefined, (R,) each.
        name: The metric.
        rests_on: The groups that it rests on.
    """
    value = values[0] - values[1]
    defined = ~np.isnan(samples[0]) & ~np.isnan(samples[1])
    refused = _refuse(1 - float(defined.mean()), rests_on)
    drawn = [sample[defined] for sample in samples]
    if refused is None and not _varies(drawn[0] - drawn[1]):
        refused = "identical in every resample: no bootstrap interval"
    if refused is not None:
        return Estimate(value, reason=refused)
    metric = _metric(name)
    one, other = (
        _interval(point, sample, metric, rests_on) if _varies(sample) else (point, point)
        for point, sample in zip(values, drawn, strict=True)
    )
    both_vary = _varies(drawn[0]) and _varies(drawn[1])
    correlation = float(np.corrcoef(drawn[0], drawn[1])[0, 1]) if both_vary else 0.0
    paired = _quantile(rests_on) * float((drawn[0] - drawn[1]).std())

    def reach(own: float, others: float) -> float:
        # What both share moves both alike: one's lower end never comes with the other's upper one.
        apart = (1 - max(0.0, correlation)) * (own**2 + others**2)
        apart -= 2 * min(0.0, correlation) * own * others
        return max(float(np.sqrt(apart)), paired)

    most = rests_on.most - metric.least
    low = max(-most, value - reach(values[0] - one[0], other[1] - values[1]))
    high = min(most, value + reach(one[1] - values[0], values[1] - other[0]))
    return Estimate(value, low, high, _remark(f"{name}_difference", rests_on))


def _varies(samples: FloatArray) -> bool:
    return bool(np.ptp(samples) > _ROUNDING)


def _refuse(missing: float, rests_on: Support) -> str | None:
    """Return the reason against an interval: undefined resamples, or too few groups."""
    for who, count in rests_on.by_class:
        if count < MIN_GROUPS:
            return f"{_groups(count)} of {who}: an interval needs at least {MIN_GROUPS}"
    if missing > MAX_UNDEFINED:
        return f"undefined in {missing:.0%} of the resamples: no interval"
    return None


def _quantile(rests_on: Support) -> float:
    """Return by how many deviations of the resamples an interval reaches to either side."""
    n_groups = min(rests_on.n_groups, rests_on.comparable)
    # Resamples of G groups vary by (G - 1) / G of what new groups would.
    return float(stdtrit(n_groups - 1, 0.975) * np.sqrt(n_groups / (n_groups - 1)))


def _interval(
    value: float, samples: FloatArray, metric: MetricDefinition, rests_on: Support
) -> tuple[float, float]:
    """Return both ends around a value whose defined samples (R,) vary."""
    reach, spread = _quantile(rests_on), float(samples.std())
    if not metric.is_logit or not metric.least < value < metric.most:
        return max(metric.least, value - reach * spread), min(metric.most, value + reach * spread)
    width = metric.most - metric.least
    share = (value - metric.least) / width
    spread /= width * share * (1 - share)
    low, high = np.quantile(samples, _ONE_DEVIATION)
    if metric.basis == "ranking" and low > 0 and high < 1:
        # A few groups decide an area near 1: its deviation misses how skewed the samples are.
        spread = max(spread, float(logit(high) - logit(low)) / 2)
    ends = metric.least + width * expit(logit(share) + reach * spread * np.array([-1.0, 1.0]))
    return float(ends[0]), min(rests_on.most, float(ends[1]))


def _remark(name: str, rests_on: Support) -> str | None:
    """Return what limits an interval, if anything does."""
    own = METRICS.get(name.removesuffix("_difference"))
    if own is not None and own.function is not None:
        return _few(rests_on) if rests_on.comparable < FEW_GROUPS else None
    remarks = []
    row = measured_coverage(name, rests_on.comparable)
    if rests_on.comparable < FEW_GROUPS or row["coverage"] < GOOD_COVERAGE:
        remarks.append(coverage_remark(name, rests_on))
    metric = METRICS.get(name)
    if metric is not None and metric.remark:
        remarks.append(metric.remark)
    return "; ".join(remarks) or None


def coverage_remark(name: str, rests_on: Support) -> str:
    """Return a sentence on the simulated coverage at so few groups."""
    row = measured_coverage(name, rests_on.comparable)
    groups = f"{_groups(rests_on.n_groups)}{rests_on.of}"
    if rests_on.comparable < rests_on.n_groups:
        who, count = min(rests_on.by_class, key=lambda entry: entry[1])
        groups += f", {count} of {who}"
    simulated = "" if row["n_groups"] == rests_on.n_groups else f" of {row['n_groups']} groups"
    return (
        f"{groups}: nominal 95 % intervals covered {100 * row['coverage']:.0f} % "
        f"in simulation{simulated}"
    )


def measured_coverage(metric: str, n_groups: int) -> dict[str, Any]:
    """Return the simulated coverage at the nearest lower number of groups.

    Args:
        metric: Its name; of a difference ``<name>_difference``. A metric that was not simulated
            has the coverage of the one that it equals, or of accuracy.
        n_groups: Number of groups; below the smallest simulated number, that one is used.

    Returns:
        ``n_groups`` and ``coverage`` as simulated.
    """
    simulated = coverage_table()["clustered"]
    plain = metric.removesuffix("_difference")
    if plain in METRICS and METRICS[plain].same_as:
        metric = METRICS[plain].same_as + metric[len(plain) :]
    rows: list[dict[str, Any]] = simulated.get(metric, simulated["accuracy"])
    lower = [row for row in rows if row["n_groups"] <= n_groups]
    return max(lower, key=_size) if lower else min(rows, key=_size)


@cache
def coverage_table() -> dict[str, Any]:
    """Return ``coverage.json``, as written by ``python -m benchmarks.interval_coverage``."""
    text = resources.files("eosin.metrics").joinpath("coverage.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def _size(row: dict[str, Any]) -> int:
    return int(row["n_groups"])


def _groups(count: int) -> str:
    return f"{count} group" if count == 1 else f"{count} groups"
