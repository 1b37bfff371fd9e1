"""Evaluation of predictions: the blocks of ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict

import numpy as np

from eosin.artifacts.metrics import (
    AbstentionMetrics,
    Calibration,
    Confusion,
    Decisions,
    Metric,
    MetricBlock,
    NetBenefit,
    ReliabilityBin,
    SplitMetrics,
)
from eosin.core.types import BoolArray, Estimate
from eosin.evaluation.judged import Judged
from eosin.metrics import (
    CURVE_THRESHOLDS,
    Predictions,
    count_patients,
    net_benefit,
    reliability_bins,
    summarise,
    summarise_by_class,
    summarise_patients,
    summarise_predictive_values,
)
from eosin.metrics.catalogue import OF_DECISIONS, OF_PROBABILITIES
from eosin.metrics.conformal import contradicts
from eosin.recipe.schema import EvaluateSection


class Draw(TypedDict):
    """How often and with which seed the groups are drawn anew."""

    resamples: int
    seed: int


def to_block(estimates: Mapping[str, Estimate]) -> MetricBlock:
    """Return estimates as they are written."""
    return {name: Metric.of(estimate) for name, estimate in estimates.items()}


def describe_calibration(judged: Judged, draw: Draw) -> Calibration:
    """Say what the calibration error is made of, and what it was before the temperature."""
    bins = reliability_bins(judged.samples.targets, judged.probabilities.clip(0.0, 1.0))
    told = [
        ReliabilityBin(
            low=float(bins.edges[place]),
            high=float(bins.edges[place + 1]),
            n=int(n),
            confidence=float(bins.confidence[place]) if n else None,
            accuracy=float(bins.accuracy[place]) if n else None,
        )
        for place, n in enumerate(bins.weight)
    ]
    before: MetricBlock = {}
    if judged.uncalibrated is not None:
        raw = replace(judged.predictions(judged.predicted), probabilities=judged.uncalibrated)
        before = to_block(summarise(raw, names=OF_PROBABILITIES, **draw))
    return Calibration(
        temperature=judged.temperature,
        source=judged.temperature_source,
        bins=told,
        uncalibrated=before,
    )


def describe_decisions(
    judged: Judged, at_threshold: MetricBlock, prevalence: float | None, draw: Draw
) -> Decisions | None:
    """Say what the decisions at the locked threshold mean; nothing where there is none.

    Args:
        judged: At least one row.
        at_threshold: The metrics of these decisions.
        prevalence: Share of the positive class to hold for; by default that of the rows.
        draw: Resamples and seed.
    """
    positive = judged.positive
    if positive is None or judged.threshold.target_recall is None:
        return None
    is_positive = judged.samples.targets == positive
    share = float(is_positive.mean()) if prevalence is None else prevalence
    values = summarise_predictive_values(judged.predictions(judged.decided), share, **draw)
    curve = net_benefit(judged.probabilities[:, positive], is_positive, CURVE_THRESHOLDS)
    return Decisions(
        false_positives=_of_a_hundred(at_threshold["specificity"]),
        prevalence=share,
        is_stated=prevalence is not None,
        ppv=Metric.of(values["ppv"]),
        npv=Metric.of(values["npv"]),
        curve=[
            NetBenefit(threshold=float(cut), model=float(model), everyone=float(everyone))
            for cut, model, everyone in zip(CURVE_THRESHOLDS, *curve, strict=True)
        ],
    )


def _of_a_hundred(specificity: Metric) -> Metric:
    """Return the false positives per 100 negative images, the interval's ends exchanged."""
    value, low, high = (
        None if end is None else 100.0 * (1.0 - end)
        for end in (specificity.value, specificity.high, specificity.low)
    )
    return Metric(value=value, low=low, high=high, reason=specificity.reason)


def describe_abstention(judged: Judged, draw: Draw) -> AbstentionMetrics | None:
    """Say how the conformal sets did; nothing where the model has no rule for them."""
    rule, sets, names = judged.abstention, judged.sets, judged.samples.class_names
    if rule is None:
        return None
    if sets is None:
        refused = Metric(value=None, reason=rule.reason)
        return AbstentionMetrics(
            rule=rule,
            coverage=refused,
            coverage_by_class=dict.fromkeys(names, refused),
            abstention_rate=refused,
            kept={},
            n_empty=0,
            n_several=0,
        )
    held = sets.sum(axis=1)
    covered = _as_hits(judged, sets[np.arange(len(sets)), judged.samples.targets])
    abstained = _as_hits(judged, judged.abstained)
    by_class = summarise_by_class(covered, names=("recall",), **draw)
    kept = judged.predictions(judged.decided, ~judged.abstained)
    return AbstentionMetrics(
        rule=rule,
        coverage=Metric.of(summarise(covered, names=("accuracy",), **draw)["accuracy"]),
        coverage_by_class={
            names[index]: Metric.of(block["recall"]) for index, block in by_class.items()
        },
        abstention_rate=Metric.of(summarise(abstained, names=("accuracy",), **draw)["accuracy"]),
        kept=to_block(summarise(kept, names=OF_DECISIONS, **draw)),
        n_empty=int((held == 0).sum()),
        n_several=int((held > 1).sum()),
        n_contradicted=int(contradicts(sets, judged.decided).sum()),
    )


def _as_hits(judged: Judged, hits: BoolArray) -> Predictions:
    """Return predictions that are right where ``hits`` (N,): their accuracy is its share."""
    targets = judged.samples.targets
    other = (targets + 1) % len(judged.samples.class_names)
    return judged.predictions(np.where(hits, targets, other))


def judge(judged: Judged, section: EvaluateSection, seed: int) -> SplitMetrics:
    """Measure everything that the contract asks for on one split.

    Args:
        judged: At least one row.
        section: Resamples of the bootstrap, and the prevalence that predictive values hold for.
        seed: The run's seed.
    """
    draw = Draw(resamples=section.resamples, seed=seed)
    samples = judged.samples
    by_argmax = judged.predictions(judged.predicted)
    at_threshold = to_block(summarise(judged.predictions(judged.decided), **draw))
    patients = list(samples.frame["patient"])
    names = samples.class_names
    return SplitMetrics(
        n_images=int(samples.frame["path"].nunique()),
        n_patients=count_patients(patients),
        n_groups=by_argmax.n_groups,
        positive=samples.positive,
        image=to_block(summarise(by_argmax, **draw)),
        at_threshold=at_threshold,
        patient=to_block(summarise_patients(by_argmax, patients, **draw)),
        by_magnification=_by_column(judged, "magnification", draw),
        by_class={
            names[index]: to_block(block)
            for index, block in summarise_by_class(by_argmax, **draw).items()
        },
        by_site=_by_column(judged, "site", draw),
        confusion=Confusion(labels=list(names), matrix=by_argmax.confusion.tolist()),
        threshold=judged.threshold,
        by_subtype=_by_subtype(judged, draw),
        calibration=describe_calibration(judged, draw),
        decisions=describe_decisions(judged, at_threshold, section.prevalence, draw),
        abstention=describe_abstention(judged, draw),
    )


def _by_subtype(judged: Judged, draw: Draw) -> dict[str, MetricBlock]:
    """Judge the rows of each subtype; nothing where the labels are the subtypes."""
    frame = judged.samples.frame
    if "subtype" in frame and list(frame["subtype"]) == list(frame["label"]):
        return {}
    return _by_column(judged, "subtype", draw)


def _by_column(judged: Judged, column: str, draw: Draw) -> dict[str, MetricBlock]:
    """Judge the rows of each value of a column; nothing where the column is absent or empty."""
    if column not in judged.samples.frame:
        return {}
    cells = np.asarray(judged.samples.frame[column], dtype=str)
    values = sorted({cell for cell in cells if cell}, key=_numbers_first)
    return {
        value: to_block(summarise(judged.predictions(judged.predicted, cells == value), **draw))
        for value in values
    }


def _numbers_first(value: str) -> tuple[int, float, str]:
    """Sort 40 before 100, and numbers before words."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value
