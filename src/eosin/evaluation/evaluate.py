"""Evaluation of a model's predictions: from probabilities to the blocks of ``metrics.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from eosin.artifacts.gate import REFUSALS
from eosin.artifacts.metrics import (
    Abstention,
    AbstentionMetrics,
    Calibration,
    Confusion,
    Curves,
    Decisions,
    GateMetrics,
    Metric,
    MetricBlock,
    NetBenefit,
    PartMetrics,
    ReliabilityBin,
    RocPoints,
    SplitMetrics,
    Threshold,
)
from eosin.artifacts.predictions import count_images
from eosin.core.types import BoolArray, Estimate, FloatArray, IntArray, Samples
from eosin.evaluation.thresholds import cross_calibrate, join_thresholds
from eosin.inference.classifier import Classifier, conformal_sets, decide
from eosin.metrics.calibration import reliability_bins, softmax
from eosin.metrics.catalogue import OF_DECISIONS, OF_PROBABILITIES
from eosin.metrics.conformal import abstains, contradicts
from eosin.metrics.predictions import Predictions
from eosin.metrics.ranking import ranking_scores, roc_curve
from eosin.metrics.summary import (
    count_patients,
    recognition_rate,
    summarise,
    summarise_by_class,
    summarise_patients,
)
from eosin.metrics.thresholds import CURVE_THRESHOLDS, net_benefit, summarise_predictive_values
from eosin.recipe.schema import EvaluateSection

#: Source of the thresholds of out-of-fold predictions.
_THRESHOLDS = "each fold's own, chosen on its inner validation subset"


@dataclass(frozen=True)
class Evaluated:
    """Predictions of a model for a table of samples.

    Attributes:
        samples: N rows with labels, groups, patients.
        probabilities: Calibrated, shape (N, K).
        decided: Decided class index at the tuned threshold, shape (N,); the arg-max without one.
        uncalibrated: Probabilities at temperature 1, (N, K), if known.
        temperature: Divisor of the logits; ``None`` where each fold has its own.
        temperature_source: Subset on which it was fitted.
        abstention: The rule by which the model abstains, or the reason why it has none.
        sets: Classes in the conformal set of each row, (N, K); ``None`` without a rule.
        refused: The gate's reasons (N,), empty where an image passes; ``None`` without a gate.
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
    refused: Any = None

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
        """True where the model abstains, or the gate refuses the image, shape (N,)."""
        if self.sets is None:
            return ~self.passed
        return abstains(self.sets, self.decided) | ~self.passed

    @property
    def passed(self) -> BoolArray:
        """True where an image passes the gate, shape (N,)."""
        if self.refused is None:
            return np.ones(len(self.samples), dtype=bool)
        return np.asarray(self.refused == "")

    def predictions(self, predicted: IntArray, rows: BoolArray | None = None) -> Predictions:
        """Return the predictions to measure: decisions (N,) on all rows, or on ``rows`` (N,)."""
        keep = np.ones(len(self.samples), dtype=bool) if rows is None else rows
        return Predictions(
            probabilities=self.probabilities[keep],
            targets=self.samples.targets[keep],
            predicted=predicted[keep],
            groups=self.samples.groups[keep],
            positive=self.positive,
            class_names=self.samples.class_names,
        )


def evaluated_by(
    classifier: Classifier, samples: Samples, logits: FloatArray, refused: Any = None
) -> Evaluated:
    """Calibrate logits (N, K), decide at the model's threshold and abstain by its rule.

    ``refused`` are the gate's reasons (N,), as the classifier gives them for the images.
    """
    probabilities = classifier.probabilities(logits)
    info = classifier.info
    return Evaluated(
        samples=replace(samples, class_names=info.class_names, positive=info.positive),
        probabilities=probabilities,
        decided=decide(probabilities, info),
        threshold=info.threshold,
        # The temperatures of an ensemble's members are inside its graph, so its own is unknown.
        uncalibrated=None if info.architecture == "ensemble" else softmax(logits),
        temperature=info.temperature,
        temperature_source=info.temperature_source,
        abstention=info.abstention,
        sets=conformal_sets(probabilities, info),
        refused=refused,
    )


def pool_folds(parts: Sequence[Evaluated], section: EvaluateSection) -> Evaluated:
    """Concatenate out-of-fold predictions, each fold decided at its own threshold.

    The abstention of a fold is calibrated on the other folds' held-out predictions: a fold's own
    inner validation subset rarely has enough groups.
    """
    frame = pd.concat([part.samples.frame for part in parts], ignore_index=True)
    raw = [part.uncalibrated for part in parts if part.uncalibrated is not None]
    tables = [(part.samples, part.probabilities) for part in parts]
    rule, sets = cross_calibrate(tables, section, [part.passed for part in parts])
    refused = [part.refused for part in parts if part.refused is not None]
    return Evaluated(
        samples=replace(parts[0].samples, frame=frame),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        decided=np.concatenate([part.decided for part in parts]),
        threshold=join_thresholds([part.threshold for part in parts], _THRESHOLDS, "folds"),
        uncalibrated=np.concatenate(raw) if len(raw) == len(parts) else None,
        temperature_source="each fold's own, fitted on its inner validation subset",
        abstention=rule,
        sets=sets,
        refused=np.concatenate(refused) if len(refused) == len(parts) else None,
    )


class Draw(TypedDict):
    """Number of resamples and their seed."""

    resamples: int
    seed: int


def to_block(estimates: Mapping[str, Estimate]) -> MetricBlock:
    """Return estimates in the form of ``metrics.json``."""
    return {name: Metric.of(estimate) for name, estimate in estimates.items()}


def describe_calibration(evaluated: Evaluated, draw: Draw) -> Calibration:
    """Return the calibration: the bins of its error, and the error before the temperature."""
    bins = reliability_bins(evaluated.samples.targets, evaluated.probabilities.clip(0.0, 1.0))
    shown = [
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
    if evaluated.uncalibrated is not None:
        raw = replace(
            evaluated.predictions(evaluated.predicted), probabilities=evaluated.uncalibrated
        )
        before = to_block(summarise(raw, names=OF_PROBABILITIES, **draw))
    return Calibration(
        temperature=evaluated.temperature,
        source=evaluated.temperature_source,
        bins=shown,
        uncalibrated=before,
    )


def describe_decisions(
    evaluated: Evaluated, at_threshold: MetricBlock, prevalence: float | None, draw: Draw
) -> Decisions | None:
    """Return what the decisions at the tuned threshold mean; ``None`` without one."""
    positive = evaluated.positive
    if positive is None or evaluated.threshold.target_recall is None:
        return None
    is_positive = evaluated.samples.targets == positive
    share = float(is_positive.mean()) if prevalence is None else prevalence
    values = summarise_predictive_values(evaluated.predictions(evaluated.decided), share, **draw)
    curve = net_benefit(evaluated.probabilities[:, positive], is_positive, CURVE_THRESHOLDS)
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


def describe_abstention(evaluated: Evaluated, draw: Draw) -> AbstentionMetrics | None:
    """Return the metrics of the conformal sets; ``None`` where the model has no rule for them."""
    rule, sets, names = evaluated.abstention, evaluated.sets, evaluated.samples.class_names
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
    # Of refused images nothing is claimed.
    passed = evaluated.passed if evaluated.passed.any() else ~evaluated.passed
    held = sets[passed].sum(axis=1)
    hits = sets[np.arange(len(sets)), evaluated.samples.targets]
    covered = as_hits(evaluated, hits, passed)
    abstained = as_hits(evaluated, evaluated.abstained)
    by_class = summarise_by_class(covered, names=("recall",), **draw)
    kept = evaluated.predictions(evaluated.decided, ~evaluated.abstained)
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
        n_contradicted=int(contradicts(sets, evaluated.decided)[passed].sum()),
    )


def as_hits(evaluated: Evaluated, hits: BoolArray, rows: BoolArray | None = None) -> Predictions:
    """Return predictions that are right where ``hits`` (N,): their accuracy is its share."""
    targets = evaluated.samples.targets
    other = (targets + 1) % len(evaluated.samples.class_names)
    return evaluated.predictions(np.where(hits, targets, other), rows)


def describe_gate(evaluated: Evaluated, draw: Draw) -> GateMetrics | None:
    """Return what the gate refused, and metrics of the images that pass; ``None`` without one."""
    if evaluated.refused is None:
        return None
    passed = evaluated.passed
    share = summarise(as_hits(evaluated, ~passed), names=("accuracy",), **draw)["accuracy"]
    counted = Counter(evaluated.refused[~passed])
    blocks: dict[str, MetricBlock] = {}
    if passed.any() and not passed.all():
        for name, by in (("image", evaluated.predicted), ("at_threshold", evaluated.decided)):
            blocks[name] = to_block(summarise(evaluated.predictions(by, passed), **draw))
    by_reason = {reason: counted[reason] for reason in REFUSALS if counted[reason]}
    return GateMetrics(share=Metric.of(share), by_reason=by_reason, **blocks)


def evaluate_predictions(evaluated: Evaluated, section: EvaluateSection, seed: int) -> SplitMetrics:
    """Measure predictions (at least one row) of one split: the contents of ``metrics.json``."""
    draw = Draw(resamples=section.resamples, seed=seed)
    samples = evaluated.samples
    by_argmax = evaluated.predictions(evaluated.predicted)
    at_threshold = to_block(summarise(evaluated.predictions(evaluated.decided), **draw))
    patients, names = list(samples.frame["patient"]), samples.class_names
    return SplitMetrics(
        n_images=count_images(samples.frame),
        n_patients=count_patients(patients),
        n_groups=by_argmax.n_groups,
        positive=samples.positive,
        image=to_block(summarise(by_argmax, **draw)),
        at_threshold=at_threshold,
        patient=to_block(summarise_patients(by_argmax, patients, **draw)),
        by_magnification=_by_magnification(evaluated, draw),
        by_class={
            names[index]: to_block(block)
            for index, block in summarise_by_class(by_argmax, **draw).items()
        },
        by_site=_by_column(evaluated, "site", draw),
        confusion=_confusion(by_argmax),
        threshold=evaluated.threshold,
        by_subtype=_by_subtype(evaluated, draw),
        calibration=describe_calibration(evaluated, draw),
        decisions=describe_decisions(evaluated, at_threshold, section.prevalence, draw),
        abstention=describe_abstention(evaluated, draw),
        gate=describe_gate(evaluated, draw),
    )


def _by_subtype(evaluated: Evaluated, draw: Draw) -> dict[str, MetricBlock]:
    """Measure the rows of each subtype; empty where the labels are the subtypes."""
    frame = evaluated.samples.frame
    if "subtype" in frame and list(frame["subtype"]) == list(frame["label"]):
        return {}
    return _by_column(evaluated, "subtype", draw)


def _by_column(evaluated: Evaluated, column: str, draw: Draw) -> dict[str, MetricBlock]:
    """Measure the rows of each value of a column; empty where the column is absent or empty."""
    return {
        value: to_block(summarise(evaluated.predictions(evaluated.predicted, rows), **draw))
        for value, rows in _rows_by(evaluated, column).items()
    }


def _by_magnification(evaluated: Evaluated, draw: Draw) -> dict[str, PartMetrics]:
    """Measure the images at each magnification: metrics, recognition rate, counts and curves."""
    patients = np.asarray(evaluated.samples.frame["patient"], dtype=object)
    found = {}
    for value, rows in _rows_by(evaluated, "magnification").items():
        predictions = evaluated.predictions(evaluated.predicted, rows)
        rate = recognition_rate(predictions, list(patients[rows]), **draw)
        found[value] = PartMetrics(
            metrics=to_block(summarise(predictions, **draw) | {"recognition_rate": rate}),
            confusion=_confusion(predictions),
            curves=Curves(
                roc={
                    evaluated.samples.class_names[index]: points
                    for index in predictions.ranked_classes
                    if (points := roc_points(predictions, index)) is not None
                }
            ),
        )
    return found


def _rows_by(evaluated: Evaluated, column: str) -> dict[str, BoolArray]:
    """Return the rows (N,) of each value of a column, the empty one left out."""
    if column not in evaluated.samples.frame:
        return {}
    cells = np.asarray(evaluated.samples.frame[column], dtype=str)
    values = sorted({cell for cell in cells if cell}, key=_numbers_first)
    return {value: cells == value for value in values}


def _confusion(predictions: Predictions) -> Confusion:
    labels = list(predictions.class_names or ())
    return Confusion(labels=labels, matrix=predictions.confusion.tolist())


def roc_points(predictions: Predictions, index: int | None) -> RocPoints | None:
    """Return the ROC curve of a class to draw; ``None`` without it or without other classes."""
    positive = predictions.targets == index
    if index is None or positive.all() or not positive.any():
        return None
    curve = roc_curve(ranking_scores(predictions.probabilities, index), positive)
    points = np.unique(np.round(np.column_stack([curve.x, curve.y]), 4), axis=0)
    across, up = np.diff(points, axis=0).T
    turns = np.flatnonzero(np.abs(across[:-1] * up[1:] - up[:-1] * across[1:]) > 1e-12) + 1
    x, y = points[[0, *turns, len(points) - 1]].T
    return RocPoints(x=x.tolist(), y=y.tolist())


def _numbers_first(value: str) -> tuple[int, float, str]:
    """Sort 40 before 100, and numbers before words."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value
