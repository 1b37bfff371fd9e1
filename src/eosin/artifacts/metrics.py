"""Schema of ``metrics.json``: what was measured, on how many, with which interval."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_serializer

from eosin.artifacts.layout import FORMAT_VERSION
from eosin.artifacts.versioned import Document, check_version
from eosin.core.errors import ArtifactError
from eosin.core.files import read_json, write_json
from eosin.core.types import Estimate

#: What every part of a run is judged by, in the order in which it is told.
METRIC_NAMES = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "average_precision",
    "recall",
    "specificity",
    "precision",
    "f1",
    "brier",
    "ece",
)


class Metric(Document):
    """A value with its 95 % interval, or a null with the reason.

    Attributes:
        value: The point estimate on the split.
        low: Lower end of the bootstrap interval clustered by group.
        high: Upper end.
        reason: Why value or interval is missing, or what limits the interval.
        n: How many units were counted, where they are not images (patients, for example).
        wilson: Wilson's score interval of a share of independent units, such as patients.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    n: int | None = None
    wilson: tuple[float, float] | None = None

    @classmethod
    def of(cls, estimate: Estimate) -> Metric:
        """Build the entry from an estimate."""
        return cls(**asdict(estimate))

    @model_serializer
    def _without_empty(self) -> dict[str, Any]:
        entry = {"value": self.value, "low": self.low, "high": self.high}
        further = {"reason": self.reason or None, "n": self.n, "wilson": self.wilson}
        return entry | {name: told for name, told in further.items() if told is not None}


MetricBlock = dict[str, Metric]


class Confusion(Document):
    """Counts of images, truth in rows and prediction in columns."""

    labels: list[str]
    matrix: list[list[int]]


class Threshold(Document):
    """The decision threshold on the positive class's probability.

    Attributes:
        value: Positive where the probability is at least this; null where none was chosen.
        source: Where it was chosen, e.g. ``"val"`` or ``"inner validation of each fold"``.
        target_recall: The recall that it was chosen to reach there.
        bound: What reached it there: the recall itself, or the lower end of its interval.
        recall: The recall that it reaches there, with its interval clustered by group.
        reason: Why there is none, or why the wish could not be met.
    """

    value: float | None
    source: str
    target_recall: float | None
    bound: Literal["point", "lower"] = "point"
    recall: Metric | None = None
    reason: str | None = None


class ReliabilityBin(Document):
    """One bin of the calibration error: a range of the top label's probability.

    Attributes:
        low: Probabilities above this, or equal in the first bin.
        high: And at most this.
        n: Images.
        confidence: Their mean probability; null in an empty bin.
        accuracy: Share of them that are right; null in an empty bin.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


class Calibration(Document):
    """Whether probabilities mean what they say.

    Attributes:
        temperature: Divisor of the logits; null where each fold has its own.
        source: Where it was fitted.
        bins: What ``ece`` is the weighted mean gap of.
        uncalibrated: ``brier`` and ``ece`` of the same images at temperature 1; empty where the
            logits are not at hand.
    """

    temperature: float | None
    source: str
    bins: list[ReliabilityBin]
    uncalibrated: MetricBlock = Field(default_factory=dict)


class NetBenefit(Document):
    """One point of a decision curve (Vickers and Elkin, 2006), in true positives an image.

    Attributes:
        threshold: Probability from which one would act.
        model: Net benefit of acting where the model's probability is at least that.
        everyone: Net benefit of acting on every image; acting on none has 0.
    """

    threshold: float
    model: float
    everyone: float


class Decisions(Document):
    """What decisions at the locked threshold mean for those who act upon them.

    Attributes:
        false_positives: Negative images called positive, per 100 negative images.
        prevalence: Share of the positive class that the predictive values hold for.
        is_stated: Whether the recipe or ``evaluate`` states it; otherwise it is that of the judged
            images.
        ppv: Share of positive among those called positive, at that prevalence.
        npv: Share of negative among those called negative, at that prevalence.
        curve: Net benefit by threshold, at the prevalence of the judged images.
    """

    false_positives: Metric
    prevalence: float
    is_stated: bool
    ppv: Metric
    npv: Metric
    curve: list[NetBenefit]


class Abstention(Document):
    """When a model abstains: where its conformal set holds not the decided class alone.

    Attributes:
        alpha: Share of images of each class whose label the set may miss.
        quantiles: By class, one minus the least probability with which it is in the set; null
            where abstention was refused, and where each fold has its own.
        n_groups: By class, groups that calibrated it; the least of the folds'.
        source: Which images those were.
        reason: Why it was refused; null where it was not.
    """

    alpha: float
    quantiles: dict[str, float] | None
    n_groups: dict[str, int]
    source: str
    reason: str | None = None


class AbstentionMetrics(Document):
    """How the conformal sets did on one split.

    Attributes:
        rule: What was calibrated. Where it was refused every number is null with its reason.
        coverage: Share of images whose set holds their label.
        coverage_by_class: The same of each class: what the method promises.
        abstention_rate: Share of images that the model abstains on.
        kept: Metrics of the decisions (at the threshold, where there is one) on the rest.
        n_empty: Images whose set is empty.
        n_several: Images whose set holds more than one class.
        n_contradicted: Images whose set holds one class, and another is decided.
    """

    rule: Abstention
    coverage: Metric
    coverage_by_class: dict[str, Metric]
    abstention_rate: Metric
    kept: MetricBlock
    n_empty: int
    n_several: int
    n_contradicted: int = 0


class SplitMetrics(Document):
    """Everything measured on one split.

    Attributes:
        n_images: Images judged.
        n_patients: Patients judged; null where the manifest knows none.
        n_groups: Units of the clustered bootstrap.
        positive: The positive class of a binary task.
        image: Metrics of the arg-max prediction.
        at_threshold: Metrics of the decision at the locked threshold.
        patient: ``recognition_rate`` (P4's P_arp) and the votes.
        by_magnification: A block a magnification.
        by_class: A block a class (one against the rest).
        by_site: A block a site.
        by_subtype: A block a subtype, where the samples have that column beside their label.
        confusion: Image counts of the arg-max prediction.
        threshold: The locked threshold.
        calibration: Of the probabilities; null in runs of before 0.2.
        decisions: At the locked threshold; null without one.
        abstention: By conformal prediction; null where the model has no rule for it.
    """

    n_images: int
    n_patients: int | None
    n_groups: int
    positive: str | None
    image: MetricBlock
    at_threshold: MetricBlock
    patient: MetricBlock
    by_magnification: dict[str, MetricBlock]
    by_class: dict[str, MetricBlock]
    by_site: dict[str, MetricBlock]
    confusion: Confusion
    threshold: Threshold
    by_subtype: dict[str, MetricBlock] = Field(default_factory=dict)
    calibration: Calibration | None = None
    decisions: Decisions | None = None
    abstention: AbstentionMetrics | None = None


def write_metrics(path: Path, splits: dict[str, SplitMetrics]) -> None:
    """Write ``metrics.json``: the splits by name beside ``format_version``."""
    body = {name: block.model_dump(mode="json") for name, block in splits.items()}
    write_json(path, {"format_version": FORMAT_VERSION, **body})


def read_metrics(path: Path) -> dict[str, SplitMetrics]:
    """Read ``metrics.json``.

    Raises:
        ArtifactError: It is absent, of another major version, or does not fit its schema.
    """
    data = check_version(path, read_json(path))
    try:
        return {
            name: SplitMetrics.model_validate(block)
            for name, block in data.items()
            if name != "format_version"
        }
    except ValueError as error:
        raise ArtifactError(f"{path} does not fit its schema: {error}") from error
