"""Evaluation of a model's predictions: from probabilities to the blocks of ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import pandas as pd

from eosin.artifacts.metrics import (
    Abstention,
    AbstentionMetrics,
    Calibration,
    Confusion,
    Decisions,
    Metric,
    MetricBlock,
    NetBenefit,
    ReliabilityBin,
    SplitMetrics,
    Threshold,
)
from eosin.core.types import BoolArray, Estimate, FloatArray, IntArray, Samples
from eosin.evaluation.thresholds import cross_calibrate, join_thresholds
from eosin.inference.classifier import Classifier, conformal_sets, decide
from eosin.metrics import (
    CURVE_THRESHOLDS,
    Predictions,
    count_patients,
    net_benefit,
    reliability_bins,
    softmax,
    summarise,
    summarise_by_class,
    summarise_patients,
    summarise_predictive_values,
)
from eosin.metrics.catalogue import OF_DECISIONS, OF_PROBABILITIES
from eosin.metrics.conformal import abstains, contradicts
from eosin.recipe.schema import EvaluateSection

#: Where the thresholds of pooled folds come from.
_THRESHOLDS = "each fold's own, chosen on its inner validation part"


@dataclass(frozen=True)
class Judged:
    """What a model said of a table of samples.

    Attributes:
        samples: N rows with labels, groups, patients.
        probabilities: Calibrated, shape (N, K).
        decided: Class index decided at the locked threshold, shape (N,); the arg-max where there
            is none.
        threshold: The locked threshold and where it came from.
        uncalibrated: Probabilities at temperature 1, (N, K), where they are at hand.
        temperature: Divisor of the logits; nothing where each fold has its own.
        temperature_source: Where it was fitted.
        abstention: The rule by which the model abstains, or why it has none.
        sets: Which classes are in the conformal set of each row, (N, K); nothing without a rule.
    """

    samples: Samples
    probabilities: FloatArray
    decided: IntArray
    threshold: Threshold
    uncalibrated: FloatArray | None = None
    temperature: float | None = None
    temperature_source: str = ""
    abstention: Abstention | None = None
    sets: BoolArray | None = None

    @property
    def predicted(self) -> IntArray:
        """Arg-max of every row, shape (N,)."""
        return np.asarray(np.argmax(self.probabilities, axis=1), dtype=np.int64)

    @property
    def positive(self) -> int | None:
        """Index of the positive class in a task of two classes."""
        names, positive = self.samples.class_names, self.samples.positive
        return names.index(positive) if positive is not None and len(names) == 2 else None

    @property
    def abstained(self) -> BoolArray:
        """Which rows the model abstains on, shape (N,)."""
        if self.sets is None:
            return np.zeros(len(self.samples), dtype=bool)
        return abstains(self.sets, self.decided)

    def predictions(self, predicted: IntArray, rows: BoolArray | None = None) -> Predictions:
        """Return what is measured: a decision (N,) on all rows, or on those selected (N,)."""
        keep = np.ones(len(self.samples), dtype=bool) if rows is None else rows
        return Predictions(
            probabilities=self.probabilities[keep],
            targets=self.samples.targets[keep],
            predicted=predicted[keep],
            groups=self.samples.groups[keep],
            positive=self.positive,
            class_names=self.samples.class_names,
        )


def judged_by(classifier: Classifier, samples: Samples, logits: FloatArray) -> Judged:
    """Calibrate logits, decide at the model's threshold and abstain by its rule.

    Args:
        classifier: The model.
        samples: N rows.
        logits: Shape (N, K).
    """
    probabilities = classifier.probabilities(logits)
    info = classifier.info
    return Judged(
        samples=replace(samples, class_names=info.class_names, positive=info.positive),
        probabilities=probabilities,
        decided=decide(probabilities, info),
        threshold=info.threshold,
        # An ensemble has its members' temperatures inside: what they were divided by is not told.
        uncalibrated=None if info.architecture == "ensemble" else softmax(logits),
        temperature=info.temperature,
        temperature_source=info.temperature_source,
        abstention=info.abstention,
        sets=conformal_sets(probabilities, info),
    )


def pool_folds(parts: Sequence[Judged], section: EvaluateSection) -> Judged:
    """Join the held-out predictions of folds, each fold decided at its own threshold.

    When to abstain in a fold is calibrated on the other folds' held-out predictions: a fold's own
    inner validation part rarely has the groups that it takes.

    Args:
        parts: One a fold, judged by its own model.
        section: Whether to abstain.
    """
    frame = pd.concat([part.samples.frame for part in parts], ignore_index=True)
    raw = [part.uncalibrated for part in parts if part.uncalibrated is not None]
    tables = [(part.samples, part.probabilities) for part in parts]
    rule, sets = cross_calibrate(tables, section)
    return Judged(
        samples=replace(parts[0].samples, frame=frame),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        decided=np.concatenate([part.decided for part in parts]),
        threshold=join_thresholds([part.threshold for part in parts], _THRESHOLDS, "folds"),
        uncalibrated=np.concatenate(raw) if len(raw) == len(parts) else None,
        temperature_source="each fold's own, fitted on its inner validation part",
        abstention=rule,
        sets=sets,
    )


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
