"""Comparison of several models on the same images: metrics, paired and range tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.stats import binom

from eosin.artifacts.comparison import (
    ComparedPair,
    IndependentTest,
    PairedMetric,
    RangeRow,
    RangeTest,
)
from eosin.artifacts.metrics import Metric, MetricBlock
from eosin.core.progress import progress_bar
from eosin.core.types import BoolArray, FloatArray, IntArray
from eosin.metrics.comparison import (
    FLIPS,
    Draws,
    delong,
    difference,
    draw,
    flip_test,
    holm,
    mcnemar,
    selection_optimism,
)
from eosin.metrics.predictions import Predictions
from eosin.metrics.range_tests import (
    block_error,
    critical_ranges,
    homogeneous_letters,
)
from eosin.metrics.ranking import ranking_scores
from eosin.metrics.summary import summarise

#: Factors that P2 varies and whose ranges it tests.
Factor = Literal["model", "preprocessing"]


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


def estimate_optimism(
    compared_models: Sequence[ComparedModel], metric: str, *, resamples: int, seed: int
) -> float | None:
    """Estimate how much too high the best model's metric is for being chosen by it.

    ``None`` where there is no choice, or the metric is undefined.
    """
    if len(compared_models) < 2:
        return None
    draws = [
        draw(one.predictions, [metric], resamples=resamples, seed=seed) for one in compared_models
    ]
    return selection_optimism(draws, metric)


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


def median_interval(values: Sequence[float] | FloatArray) -> tuple[float, float, float]:
    """Return the lower end, the median and the upper end of the median's 95 % interval.

    The ends are order statistics (the sign test's interval), without assumptions on the
    distribution.
    """
    ranked = np.sort(np.asarray(values, dtype=np.float64))
    tail = max(1, int(binom.ppf(0.025, len(ranked), 0.5)))
    return float(ranked[tail - 1]), float(np.median(ranked)), float(ranked[-tail])
