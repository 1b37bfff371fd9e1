"""Schema of ``robustness.json``: metrics under changes of the images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eosin.artifacts.metrics import Metric, MetricBlock
from eosin.artifacts.versioned import (
    Count,
    DictOf,
    Document,
    ListOf,
    Text,
    VersionedDocument,
)


class ChangedMetrics(Document):
    """Metrics of the images under one change at one severity.

    Attributes:
        metrics: ``accuracy`` of the decisions, ``auc``, ``ece``, and ``abstention_rate``.
        differences: The same minus those of the unchanged images, paired, with intervals.
    """

    metrics: MetricBlock
    differences: DictOf[Metric]


class ChangeResult(Document):
    """Metrics under one change.

    Attributes:
        title: Its name for people.
        settings: What it does at each severity.
        by_severity: From the weakest to the strongest.
    """

    title: Text
    settings: Text
    by_severity: Annotated[ListOf[ChangedMetrics], Field(min_length=1)]


class Robustness(VersionedDocument):
    """Schema of ``robustness.json``.

    Attributes:
        split: The evaluated subset.
        n_patients: Null where none is known.
        n_groups: Units of the clustered bootstrap.
        unchanged: The metrics without a change.
        changes: By name.
        seed: Of all random choices.
    """

    split: Text
    n_images: Count
    n_patients: Count | None
    n_groups: Count
    unchanged: MetricBlock
    changes: DictOf[ChangeResult]
    seed: Count
