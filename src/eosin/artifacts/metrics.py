"""Schema of ``metrics.json``: what was measured, on how many, with which interval."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_serializer

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
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    @classmethod
    def of(cls, estimate: Estimate) -> Metric:
        """Build the entry from an estimate."""
        return cls(
            value=estimate.value, low=estimate.low, high=estimate.high, reason=estimate.reason
        )

    @model_serializer
    def _without_empty_reason(self) -> dict[str, float | str | None]:
        entry: dict[str, float | str | None] = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
        }
        return {**entry, "reason": self.reason} if self.reason else entry


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
    """

    value: float | None
    source: str
    target_recall: float | None


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
        confusion: Image counts of the arg-max prediction.
        threshold: The locked threshold.
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
