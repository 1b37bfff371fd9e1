"""Schema of ``metrics.json``: metrics with intervals and sample counts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from eosin.artifacts.layout import FORMAT_VERSION
from eosin.artifacts.versioned import (
    Count,
    DictOf,
    Document,
    Flag,
    ListOf,
    Name,
    NotNegative,
    Number,
    Positive,
    Probability,
    Text,
    check_fit,
    check_order,
    check_version,
)
from eosin.core.files import json_bytes, read_json, write_bytes
from eosin.core.text import unit_of
from eosin.core.types import Estimate
from eosin.metrics.catalogue import METRICS

_ROUNDING = 1e-6


class Metric(Document):
    """A value with its 95 % interval, or a null with the reason.

    Attributes:
        value: The point estimate on the split.
        low: Lower end of the bootstrap interval clustered by group.
        reason: Why value or interval is missing, or what limits the interval.
        n: Number of counted units where they are not images (patients, for example).
        wilson: Wilson's score interval of a share of independent units, such as patients.
    """

    value: Number | None
    low: Number | None = None
    high: Number | None = None
    reason: Text | None = None
    n: Count | None = None
    wilson: tuple[Probability, Probability] | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        # A percentile interval need not hold its estimate: that of the calibration error often
        # lies above, since resampling adds to it.
        check_order(self.low, None, self.high)
        if self.wilson is not None:
            check_order(self.wilson[0], None, self.wilson[1])
        return self

    @classmethod
    def of(cls, estimate: Estimate) -> Metric:
        """Build the entry from an estimate."""
        return cls(**asdict(estimate))

    @model_serializer
    def _without_empty(self) -> dict[str, Any]:
        entry = {"value": self.value, "low": self.low, "high": self.high}
        further = {"reason": self.reason or None, "n": self.n, "wilson": self.wilson}
        return entry | {name: shown for name, shown in further.items() if shown is not None}


def _check_shares(block: dict[str, Metric]) -> dict[str, Metric]:
    for name, metric in block.items():
        known, value = METRICS.get(name), metric.value
        if known is None or value is None:
            continue
        if not known.least - _ROUNDING <= value <= known.most + _ROUNDING:
            raise ValueError(
                f"{name} should be between {known.least:g} and {known.most:g}, got {value}"
            )
    return block


MetricBlock = Annotated[DictOf[Metric], AfterValidator(_check_shares)]


class Confusion(Document):
    """Counts of images, truth in rows and prediction in columns."""

    labels: ListOf[Name]
    matrix: ListOf[ListOf[Count]]

    @model_validator(mode="after")
    def _check_square(self) -> Self:
        n = len(self.labels)
        if [len(row) for row in self.matrix] != [n] * n:
            raise ValueError(f"matrix should have {n} rows of {n} counts, one per label")
        return self


class RocPoints(Document):
    """ROC curve of a class against the rest, without points on a straight line.

    Attributes:
        x: 1 - specificity.
        y: Recall.
    """

    x: ListOf[Probability]
    y: ListOf[Probability]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.x) != len(self.y):
            raise ValueError(
                f"x and y should have equal lengths, got {len(self.x)} and {len(self.y)}"
            )
        return self


class Curves(Document):
    """Curves by class: of the positive class, or of all without one."""

    roc: DictOf[RocPoints]


class PartMetrics(Document):
    """Metrics of a part of the images; in the file they stand beside ``confusion`` and ``curves``.

    Attributes:
        metrics: Metrics of the arg-max prediction, and the ``recognition_rate`` of patients.
        confusion: Image counts of the arg-max prediction; null in runs of before 0.2.
        curves: ROC curves; null in runs of before 0.2.
    """

    metrics: MetricBlock
    confusion: Confusion | None = None
    curves: Curves | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "metrics" in data:
            return data
        own = {name: data[name] for name in ("confusion", "curves") if name in data}
        return {"metrics": {name: data[name] for name in data if name not in own}, **own}

    @model_serializer(mode="wrap")
    def _flatten(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        entry = write(self)
        return {**entry.pop("metrics"), **{k: v for k, v in entry.items() if v is not None}}


class Threshold(Document):
    """The decision threshold on the positive class's probability.

    Attributes:
        value: Positive where the probability is at least this; null where none was chosen.
        source: Where it was chosen, e.g. ``"val"`` or ``"inner validation of each fold"``.
        target_recall: The recall that it was tuned to reach there.
        bound: What reached the target: the recall itself, or the lower end of its interval.
        recall: The recall there, with its interval clustered by group.
        reason: Why there is none, or why the target was not reached.
    """

    value: Probability | None
    source: Text
    target_recall: Probability | None
    bound: Literal["point", "lower"] = "point"
    recall: Metric | None = None
    reason: Text | None = None

    @model_validator(mode="after")
    def _check_recall(self) -> Self:
        if self.recall is not None:
            _check_shares({"recall": self.recall})
        return self


class ReliabilityBin(Document):
    """One bin of the calibration error: a range of the top label's probability.

    Attributes:
        low: Probabilities above this, or equal in the first bin.
        high: And at most this.
        n: Images.
        confidence: Their mean probability; null in an empty bin.
        accuracy: Share of them that are right; null in an empty bin.
    """

    low: Number
    high: Number
    n: Count
    confidence: NotNegative | None
    accuracy: NotNegative | None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        check_order(self.low, None, self.high)
        return self


class Calibration(Document):
    """Calibration of the probabilities.

    Attributes:
        temperature: Divisor of the logits; null where each fold has its own.
        source: Where it was fitted.
        bins: The bins of ``ece``, the weighted mean of their gaps.
        uncalibrated: ``brier`` and ``ece`` of the same images at temperature 1; empty without
            logits.
    """

    temperature: Positive | None
    source: Text
    bins: ListOf[ReliabilityBin]
    uncalibrated: MetricBlock = Field(default_factory=dict)


class NetBenefit(Document):
    """A point of a decision curve (Vickers and Elkin, 2006), in true positives an image.

    Attributes:
        threshold: Probability from which one would act.
        model: Net benefit of acting where the model's probability is at least that.
        everyone: Net benefit of acting on every image; acting on none has 0.
    """

    threshold: Probability
    model: Number
    everyone: Number


class Decisions(Document):
    """Consequences of decisions at the tuned threshold.

    Attributes:
        false_positives: False positives per 100 negative images.
        prevalence: Share of the positive class that the predictive values hold for.
        is_stated: True if the recipe or ``evaluate`` states it; otherwise it is that of the
            evaluated images.
        ppv: Positive predictive value at that prevalence.
        npv: Negative predictive value at that prevalence.
        curve: Net benefit by threshold, at the prevalence of the evaluated images.
    """

    false_positives: Metric
    prevalence: Probability
    is_stated: Flag
    ppv: Metric
    npv: Metric
    curve: ListOf[NetBenefit]


class Abstention(Document):
    """Rule of abstention: the conformal set holds not the decided class alone.

    Attributes:
        alpha: Share of images of each class whose label the set may miss.
        quantiles: By class, one minus the least probability with which it is in the set; null
            where abstention was refused, and where each fold has its own.
        n_groups: By class, number of calibration groups; the least of the folds'.
        source: The calibration images.
        reason: Why it was refused; null where it was not.
        undecided: Share of the calibration images whose set does not hold exactly one class; null
            where it was refused, and in models of before 0.2.
    """

    alpha: Annotated[float, Field(strict=True, gt=0, lt=1)]
    quantiles: DictOf[Probability] | None
    n_groups: DictOf[Count]
    source: Text
    reason: Text | None = None
    undecided: Probability | None = None


class AbstentionMetrics(Document):
    """Metrics of the conformal sets on one subset.

    Attributes:
        rule: The calibrated rule. Where it was refused every number is null with its reason.
        coverage: Share of images whose set holds their label.
        coverage_by_class: The same of each class: what the method guarantees.
        abstention_rate: Share of images that the model abstains on, refused ones included; all
            else is of the images that pass the gate.
        kept: Metrics of the decisions (at the threshold, where there is one) on the rest.
        n_empty: Images whose set is empty.
        n_several: Images whose set holds more than one class.
        n_contradicted: Images whose set holds one class, and another is decided.
    """

    rule: Abstention
    coverage: Metric
    coverage_by_class: DictOf[Metric]
    abstention_rate: Metric
    kept: MetricBlock
    n_empty: Count
    n_several: Count
    n_contradicted: Count = 0


class GateMetrics(Document):
    """Effect of the gate before prediction on one subset.

    Attributes:
        share: Share of images that it refused.
        by_reason: Their numbers by reason; with repeats each counts.
        image: Metrics of the arg-max prediction where images pass; empty where all do, or none.
        at_threshold: The same of the decision at the tuned threshold.
    """

    share: Metric
    by_reason: DictOf[Count]
    image: MetricBlock = Field(default_factory=dict)
    at_threshold: MetricBlock = Field(default_factory=dict)


class SplitMetrics(Document):
    """All metrics of one subset.

    Attributes:
        n_patients: Evaluated patients; null where the manifest knows none.
        n_groups: Units of the clustered bootstrap.
        image: Metrics of the arg-max prediction.
        at_threshold: Metrics of the decision at the tuned threshold.
        patient: ``recognition_rate`` (P4's P_arp) and the votes.
        by_magnification: The same of each magnification, with its counts and curves.
        by_class: A block a class (one against the rest).
        by_subtype: A block a subtype, where the samples have that column beside their label.
        confusion: Image counts of the arg-max prediction.
        calibration: Of the probabilities; null in runs of before 0.2.
        decisions: At the tuned threshold; null without one.
        abstention: By conformal prediction; null where the model has no rule for it.
        gate: Images that the gate refused, and metrics of those that pass; null without a gate.
    """

    n_images: Count
    n_patients: Count | None
    n_groups: Count
    positive: Name | None
    image: MetricBlock
    at_threshold: MetricBlock
    patient: MetricBlock
    by_magnification: DictOf[PartMetrics]
    by_class: DictOf[MetricBlock]
    by_site: DictOf[MetricBlock]
    confusion: Confusion
    threshold: Threshold
    by_subtype: DictOf[MetricBlock] = Field(default_factory=dict)
    calibration: Calibration | None = None
    decisions: Decisions | None = None
    abstention: AbstentionMetrics | None = None
    gate: GateMetrics | None = None

    @property
    def unit(self) -> str:
        """Name of the groups' unit; see :func:`eosin.core.text.unit_of`."""
        return unit_of(self.n_images, self.n_groups, self.n_patients)

    @property
    def decided(self) -> MetricBlock:
        """Metrics of the decisions, at the tuned threshold if there is one."""
        return {**self.image, **self.at_threshold}

    @property
    def metrics_by_magnification(self) -> dict[str, MetricBlock]:
        """The metrics alone of each magnification."""
        return {value: part.metrics for value, part in self.by_magnification.items()}


def write_metrics(path: Path, splits: dict[str, SplitMetrics]) -> None:
    """Write ``metrics.json``: the splits by name beside ``format_version``."""
    write_bytes(path, metrics_bytes(splits))


def metrics_bytes(splits: dict[str, SplitMetrics]) -> bytes:
    """Return the bytes of ``metrics.json``."""
    body = {name: block.model_dump(mode="json") for name, block in splits.items()}
    return json_bytes({"format_version": FORMAT_VERSION, **body})


def read_metrics(path: Path) -> dict[str, SplitMetrics]:
    """Read ``metrics.json``; raises ``ArtifactError`` as :func:`read_document` does."""
    data = check_version(path, read_json(path))
    return {
        name: check_fit(path, SplitMetrics, block, name)
        for name, block in data.items()
        if name != "format_version"
    }
