"""Comparison of several models on the same images: metrics, paired and range tests, size limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.stats import binom

from eosin.artifacts.comparison import (
    ComparedPair,
    ComparedRun,
    Cost,
    Criterion,
    IndependentTest,
    LightAgainstLarge,
    PairedMetric,
    RangeRow,
    RangeTest,
)
from eosin.artifacts.metrics import Metric, MetricBlock
from eosin.core.progress import progress_bar
from eosin.core.types import BoolArray, FloatArray, IntArray
from eosin.metrics import Predictions, ranking_scores, summarise
from eosin.metrics.comparison import (
    FLIPS,
    Draws,
    block_error,
    critical_ranges,
    delong,
    difference,
    draw,
    flip_test,
    holm,
    homogeneous_letters,
    mcnemar,
)

#: Factors that P2 varies and whose ranges it tests.
Factor = Literal["model", "preprocessing"]


#: Limits of P3: at least, at most (bytes of 1,000,000 a megabyte; seconds), and shares saved.
_AT_LEAST = {"recall": 0.90, "f1": 0.85}
_MOST_BYTES, _MOST_SECONDS = 3e6, 0.5
_SMALLER, _FASTER = 0.80, 0.50
_Of = Literal["judged", "deployed"]


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """Predictions of one finished run for the images in common.

    Attributes:
        predictions: Rows in the same order and the same groups as those of all other runs.
        decided: Decided class at the tuned threshold, shape (N,); ``None`` without one.
    """

    name: str
    predictions: Predictions
    decided: IntArray | None

    @property
    def right(self) -> BoolArray:
        """True where the most probable class is the true one, (N,)."""
        return np.asarray(self.predictions.predicted == self.predictions.targets)


def measure_alone(
    compared_model: ComparedModel, resamples: int, seed: int
) -> tuple[MetricBlock, ...]:
    """Return all metrics of the most probable class, and those at the tuned threshold."""
    blocks = [summarise(compared_model.predictions, resamples=resamples, seed=seed)]
    if compared_model.decided is not None:
        decided = replace(compared_model.predictions, predicted=compared_model.decided)
        blocks.append(summarise(decided, resamples=resamples, seed=seed))
    found = [{name: Metric.of(one) for name, one in block.items()} for block in blocks]
    return found[0], found[1] if len(found) == 2 else {}


def compare_pairs(
    compared_models: Sequence[ComparedModel],
    metrics: Sequence[str],
    *,
    resamples: int = 2000,
    flips: int = FLIPS,
    seed: int = 0,
) -> list[ComparedPair]:
    """Compare each pair of models; p-values are corrected over all pairs, each test by itself."""
    draws = [
        draw(one.predictions, metrics, resamples=resamples, seed=seed) for one in compared_models
    ]
    pairs, places = [], list(combinations(range(len(compared_models)), 2))
    with progress_bar("Comparing pairs") as advance:
        for a, b in places:
            pairs.append(
                _compare(
                    compared_models[a], compared_models[b], draws[a], draws[b], metrics, flips, seed
                )
            )
            advance(len(pairs), len(places))
    for name in metrics:
        entries = [pair.metrics[name] for pair in pairs]
        corrected = _corrected([entry.p for entry in entries])
        for place, entry in enumerate(entries):
            shown = {name: entry.model_copy(update={"p_holm": corrected[place]})}
            pairs[place] = pairs[place].model_copy(
                update={"metrics": {**pairs[place].metrics, **shown}}
            )
    for test in ("mcnemar", "delong"):
        found = [getattr(pair, test) for pair in pairs]
        corrected = _corrected([None if one is None else one.p for one in found])
        pairs = [
            pair.model_copy(update={test: one and one.model_copy(update={"p_holm": p})})
            for pair, one, p in zip(pairs, found, corrected, strict=True)
        ]
    return pairs


def _compare(
    one: ComparedModel,
    other: ComparedModel,
    draws_one: Draws,
    draws_other: Draws,
    metrics: Sequence[str],
    flips: int,
    seed: int,
) -> ComparedPair:
    p_values = flip_test(one.predictions, other.predictions, metrics, flips=flips, seed=seed)
    found = mcnemar(one.right, other.right)
    return ComparedPair(
        one=one.name,
        other=other.name,
        metrics={
            name: PairedMetric(
                difference=Metric.of(difference(draws_one, draws_other, name)), p=p_values[name]
            )
            for name in metrics
        },
        mcnemar=IndependentTest(
            p=found.mid,
            exact=found.exact,
            only_one=found.only_one,
            only_other=found.only_other,
        ),
        delong=_delong(one.predictions, other.predictions),
    )


def _delong(one: Predictions, other: Predictions) -> IndependentTest | None:
    positive = one.positive
    if positive is None or min(np.bincount(one.targets, minlength=2)) < 2:
        return None
    scores = [ranking_scores(each.probabilities, positive) for each in (one, other)]
    found = delong(scores[0], scores[1], one.targets == positive)
    gap = Metric(value=found.value, low=found.low, high=found.high)
    return IndependentTest(p=found.p, difference=gap)


def _corrected(p_values: Sequence[float | None]) -> list[float | None]:
    known = [p for p in p_values if p is not None]
    corrected = iter(holm(known))
    return [None if p is None else next(corrected) for p in p_values]


def range_tests(
    values: FloatArray,
    names: Sequence[str],
    factors: Mapping[Factor, Sequence[str]],
    *,
    metric: str,
    blocks: Sequence[str],
) -> list[RangeTest]:
    """Test the runs' means, and those of each factor in a full factorial design.

    Args:
        values: One row per block, one column per run, finite, shape (B, T), both at least two.
        names: Names of the T runs.
        factors: For each factor the level of every run.
        metric: Name of the metric of the values.
        blocks: Names of the B blocks.
    """
    error = block_error(values)

    def test(factor: Factor | Literal["run"], of: Sequence[str]) -> RangeTest:
        levels = list(dict.fromkeys(of))
        means = [float(values[:, [own == level for own in of]].mean()) for level in levels]
        n_each = values.size // len(levels)
        tukey, duncan = (
            critical_ranges(len(levels), error, n_each, method) for method in ("tukey", "duncan")
        )
        letters = zip(*(homogeneous_letters(means, each) for each in (tukey, duncan)), strict=True)
        rows = [
            RangeRow(name=level, mean=mean, tukey=a, duncan=b)
            for level, mean, (a, b) in zip(levels, means, letters, strict=True)
        ]
        return RangeTest(
            factor=factor,
            metric=metric,
            blocks=list(blocks),
            n_each=n_each,
            mean_square=error.mean_square,
            freedom=error.freedom,
            tukey=float(tukey[0]),
            duncan=[float(value) for value in duncan],
            rows=sorted(rows, key=lambda row: -row.mean),
        )

    sizes = [len(set(of)) for of in factors.values()]
    n_cells = len(set(zip(*factors.values(), strict=True)))
    is_crossed = n_cells == len(names) == np.prod(sizes) and min(sizes) > 1
    by_factor = [test(factor, of) for factor, of in factors.items()] if is_crossed else []
    return [test("run", names), *by_factor]


def light_against_large(runs: Sequence[ComparedRun], metric: str) -> LightAgainstLarge | None:
    """Check P3's limits for the run of the fewest parameters against that of the most.

    Between runs of one size ``metric`` decides, of which more is better. Runs evaluated on images
    of their training, and heads on features, are left out; ``None`` if no two sizes remain.
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
    # Interleaved rounds: whatever slows the machine for a while slows both.
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

    The ends are order statistics (the sign test's interval), without assumptions on the
    distribution.
    """
    ranked = np.sort(np.asarray(values, dtype=np.float64))
    tail = max(1, int(binom.ppf(0.025, len(ranked), 0.5)))
    return float(ranked[tail - 1]), float(np.median(ranked)), float(ranked[-tail])


def _below(low: float, high: float, limit: float) -> bool | None:
    return True if high < limit else False if low >= limit else None
