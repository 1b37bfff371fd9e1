"""Light against large: which runs no other beats, and P3's demands on a light model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.stats import binom

from eosin.artifacts.comparison import (
    COST_NAMES,
    ComparedRun,
    Cost,
    Criterion,
    LightAgainstLarge,
)
from eosin.artifacts.metrics import Metric
from eosin.core.types import FloatArray

#: What P3 asks: at least, at most (bytes of 1,000,000 a megabyte; seconds), and shares saved.
_AT_LEAST = {"recall": 0.90, "f1": 0.85}
_MOST_BYTES, _MOST_SECONDS = 3e6, 0.5
_SMALLER, _FASTER = 0.80, 0.50

_Of = Literal["judged", "deployed"]


def cost_of(run: ComparedRun, name: str) -> float | None:
    """Return what a run's model folder takes; ``None`` where it is not known.

    Args:
        run: The run.
        name: One of :data:`COST_NAMES`.
    """
    if name == "training_seconds":
        return run.training_seconds
    if name == "latency":
        latency = run.deployed.latency
        return None if latency is None else latency.median
    value: int | None = getattr(run.deployed, name)
    return value


def find_fronts(runs: Sequence[ComparedRun], metric: str) -> dict[str, list[str]]:
    """Return, for each cost, the runs that no other matches in both and beats in one.

    Args:
        runs: Those judged on what their training saw, and heads on features, never count.
        metric: The metric, of which more is better.
    """
    fronts = {}
    for cost in COST_NAMES:
        points = [
            (run.name, spent, value)
            for run in runs
            if (spent := cost_of(run, cost)) is not None
            and (value := run.image[metric].value) is not None
            and run.is_weighed
        ]
        fronts[cost] = [
            name
            for name, spent, value in points
            if not any(
                less <= spent and more >= value and (less, more) != (spent, value)
                for _, less, more in points
            )
        ]
    return {cost: names for cost, names in fronts.items() if names}


def light_against_large(runs: Sequence[ComparedRun], metric: str) -> LightAgainstLarge | None:
    """Ask P3's question of the smallest run against the largest, by their weights.

    Args:
        runs: Those judged on what their training saw, and heads on features, are not asked.
        metric: What decides between runs of one size: more is better.

    Returns:
        ``None`` where no two runs of known size differ in it.
    """
    known = [run for run in runs if run.deployed.params and run.is_weighed]
    if not known:
        return None
    best = sorted(known, key=lambda run: -(run.image[metric].value or 0.0))
    light = min(best, key=lambda run: run.deployed.params or 0)
    large = max(best, key=lambda run: run.deployed.params or 0)
    if light.deployed.params == large.deployed.params:
        return None
    criteria = [
        _reached(name, of, block[name], limit)
        for name, limit in _AT_LEAST.items()
        for of, block in (("argmax", light.image), ("threshold", light.at_threshold))
        if name in block
    ]
    ways: tuple[_Of, ...] = ("judged", "deployed") if light.networks > 1 else ("deployed",)
    for of in ways:
        criteria += _spent(of, getattr(light, of), getattr(large, of))
    return LightAgainstLarge(light=light.name, large=large.name, criteria=criteria)


def _reached(name: str, of: str, metric: Metric, limit: float) -> Criterion:
    is_met = None
    if metric.low is not None and metric.high is not None:
        is_met = True if metric.low >= limit else False if metric.high < limit else None
    return Criterion.model_validate(
        {"name": name, "of": of, "limit": limit, "is_met": is_met}
        | {"value": metric.value, "low": metric.low, "high": metric.high}
    )


def _spent(of: _Of, light: Cost, large: Cost) -> list[Criterion]:
    size, time = light.onnx_bytes, light.latency
    saved = 1 - size / large.onnx_bytes if size and large.onnx_bytes else None
    rows = [
        Criterion(
            name="bytes",
            of=of,
            value=size,
            limit=_MOST_BYTES,
            is_met=None if size is None else size < _MOST_BYTES,
        ),
        Criterion(
            name="seconds",
            of=of,
            value=time and time.median,
            low=time and time.low,
            high=time and time.high,
            limit=_MOST_SECONDS,
            is_met=time and _below(time.low, time.high, _MOST_SECONDS),
        ),
        Criterion(
            name="smaller",
            of=of,
            value=saved,
            limit=_SMALLER,
            is_met=None if saved is None else saved >= _SMALLER,
        ),
    ]
    if time is None or large.latency is None:
        return [*rows, Criterion(name="faster", of=of, value=None, limit=_FASTER, is_met=None)]
    # Round by round: what slows the machine for a while slows both.
    shares = 1 - np.array(time.rounds) / np.array(large.latency.rounds)
    low, middle, high = median_interval(shares)
    is_met = True if low >= _FASTER else False if high < _FASTER else None
    return [
        *rows,
        Criterion(
            name="faster", of=of, value=middle, low=low, high=high, limit=_FASTER, is_met=is_met
        ),
    ]


def median_interval(values: Sequence[float] | FloatArray) -> tuple[float, float, float]:
    """Return the lower end, the median and the upper end of the median's 95 % interval.

    The ends are two of the values, as far from the middle as chance takes it (the sign test's
    interval): no assumption is made on how times are spread.
    """
    ranked = np.sort(np.asarray(values, dtype=np.float64))
    tail = max(1, int(binom.ppf(0.025, len(ranked), 0.5)))
    return float(ranked[tail - 1]), float(np.median(ranked)), float(ranked[-tail])


def _below(low: float, high: float, limit: float) -> bool | None:
    return True if high < limit else False if low >= limit else None
