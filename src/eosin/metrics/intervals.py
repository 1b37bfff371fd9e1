"""95 % intervals, and when not to give one.

Percentile intervals are too narrow where groups are few. How much is simulated by
``benchmarks/interval_coverage.py``, kept in ``coverage.json`` and said beside an interval from
fewer than 40 groups. The area under the curve needs more groups than accuracy does: read its
rows before trusting an interval from 40 to 100 groups to the percent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from eosin.core.errors import DataError
from eosin.core.types import Estimate, FloatArray
from eosin.metrics.measurement import RANKING
from eosin.metrics.predictions import Predictions

#: Fewer groups than this in a class that a metric speaks of: no interval.
MIN_GROUPS = 5
#: Fewer groups than this: the interval comes with its measured coverage.
FEW_GROUPS = 40
#: A larger share of undefined resamples: no interval.
MAX_UNDEFINED = 0.05
#: The 97.5 % quantile of the normal distribution.
_Z = 1.959963984540054


def wilson(successes: int, n: int) -> Estimate:
    """Return a share with Wilson's score interval, for independent draws.

    Images of one patient are not independent: this is for counts of patients or of groups.

    Args:
        successes: How many succeeded, at least 0 and at most ``n``.
        n: Out of how many.

    Raises:
        DataError: ``successes`` is out of range.
    """
    if not 0 <= successes <= n:
        raise DataError(f"`successes` must lie in 0 to `n` ({n}), got {successes}")
    if n == 0:
        return Estimate(None, reason="nothing was counted")
    share, z2 = successes / n, _Z**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    # Rounding must not push the ends past the share that they surround.
    low, high = max(0.0, float(centre - half)), min(1.0, float(centre + half))
    return Estimate(share, min(low, share), max(high, share))


@dataclass(frozen=True)
class Support:
    """How many groups a metric rests on.

    Attributes:
        n_groups: Groups that the metric draws from.
        by_class: What each class that must be present is called, and in how many groups it is.
        comparable: The number of groups of an evenly filled set with as many groups in its
            smallest class: what the coverage is looked up by.
        of: Ends the phrase "12 groups": empty, or `` of 'malignant'``.
    """

    n_groups: int
    by_class: tuple[tuple[str, int], ...]
    comparable: int
    of: str = ""


def support(predictions: Predictions, name: str, positive: int | None) -> Support:
    """Count the groups that a metric rests on.

    Recall of one class speaks of that class alone and specificity of the others alone: five
    groups there are enough. All other metrics need each class. Accuracy, the Brier score and
    the calibration error are means over all rows, so that all groups count for their coverage;
    the rest are no better known than their smallest class.

    Args:
        predictions: What is judged.
        name: The metric.
        positive: The class that it speaks of; ``None`` for all.
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
    if positive is not None and name in ("recall", "specificity"):
        who, count = per_class[positive if name == "recall" else 1 - positive]
        return Support(count, ((who, count),), count, f" of {who}")
    if name in ("accuracy", "brier", "ece"):
        return Support(total, tuple(per_class), total)
    even = min(count for _, count in per_class) * len(per_class) + len(per_class) - 1
    return Support(total, tuple(per_class), min(total, even))


def estimate(value: float, samples: FloatArray, name: str, rests_on: Support) -> Estimate:
    """Put a percentile interval around a defined value, or say why there is none.

    Args:
        value: The point estimate, not NaN.
        samples: The metric in each resample, NaN where undefined, shape (R,).
        name: The metric, for its coverage.
        rests_on: The groups behind it.
    """
    scarce = [(who, count) for who, count in rests_on.by_class if count < MIN_GROUPS]
    if scarce:
        who, count = scarce[0]
        return Estimate(
            value,
            reason=f"{_groups(count)} of {who}: an interval needs at least {MIN_GROUPS}",
        )
    defined = samples[~np.isnan(samples)]
    missing = 1 - len(defined) / len(samples)
    if missing > MAX_UNDEFINED:
        return Estimate(value, reason=f"undefined in {missing:.0%} of the resamples: no interval")
    if defined.min() == defined.max():
        # Nothing varies, which says that errors are rare, not that there are none.
        return Estimate(value, reason="the same in every resample: no interval from resampling")
    low, high = (float(end) for end in np.quantile(defined, (0.025, 0.975)))
    return Estimate(value, low, high, _limits(value, low, high, name, rests_on))


def _limits(value: float, low: float, high: float, name: str, rests_on: Support) -> str | None:
    """Say what limits an interval, if anything does."""
    remarks = []
    if rests_on.comparable < FEW_GROUPS:
        remarks.append(coverage_remark(name, rests_on))
    # A resample looks worse calibrated than the data it is drawn from, never better: the
    # percentiles of the calibration error can lie above its value.
    if not low <= value <= high:
        remarks.append("resampling shifts this metric: the interval lies beside its value")
    return "; ".join(remarks) or None


def coverage_remark(name: str, rests_on: Support) -> str:
    """Say how often intervals covered the truth at so few groups, as simulated."""
    row = measured_coverage("auc" if name in RANKING else "accuracy", rests_on.comparable)
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
    """Look up the simulated coverage at the nearest lower number of groups.

    Args:
        metric: ``"accuracy"`` or ``"auc"``.
        n_groups: The number of groups at hand; below the smallest simulated, that one is used.

    Returns:
        ``n_groups`` and ``coverage`` as simulated.
    """
    rows: list[dict[str, Any]] = [
        row for row in coverage_table()["clustered"][metric] if row["coverage"] is not None
    ]
    lower = [row for row in rows if row["n_groups"] <= n_groups]
    return max(lower, key=_size) if lower else min(rows, key=_size)


@cache
def coverage_table() -> dict[str, Any]:
    """Return ``coverage.json``, which ``python -m benchmarks.interval_coverage`` wrote."""
    text = resources.files("eosin.metrics").joinpath("coverage.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def _size(row: dict[str, Any]) -> int:
    return int(row["n_groups"])


def _groups(count: int) -> str:
    return f"{count} group" if count == 1 else f"{count} groups"
