"""Judging one split: images, patients, magnifications, classes, sites.

``predicted`` is the arg-max, and the block ``image`` judges it; ``at_threshold`` judges the
decision at a threshold that was locked before this split was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np

from eosin.artifacts.metrics import Confusion, Metric, MetricBlock, SplitMetrics, Threshold
from eosin.core.types import BoolArray, FloatArray, IntArray, Samples
from eosin.metrics import (
    Predictions,
    choose_threshold,
    confusion_matrix,
    count_patients,
    summarise,
    summarise_by_class,
    summarise_patients,
)
from eosin.recipe.schema import EvaluateSection


class _Draw(TypedDict):
    resamples: int
    seed: int


@dataclass(frozen=True)
class Judged:
    """What a model said of a table of samples.

    Attributes:
        samples: N rows with labels, groups, patients.
        probabilities: Calibrated, shape (N, K).
        decided: Class index decided at the locked threshold, shape (N,); the arg-max where there
            is none.
        threshold: The locked threshold and where it came from.
    """

    samples: Samples
    probabilities: FloatArray
    decided: IntArray
    threshold: Threshold

    @property
    def predicted(self) -> IntArray:
        """Arg-max of every row, shape (N,)."""
        return np.asarray(np.argmax(self.probabilities, axis=1), dtype=np.int64)

    @property
    def positive(self) -> int | None:
        """Index of the positive class in a task of two classes."""
        names, positive = self.samples.class_names, self.samples.positive
        return names.index(positive) if positive is not None and len(names) == 2 else None


def judge(judged: Judged, section: EvaluateSection, seed: int) -> SplitMetrics:
    """Measure everything that the contract asks for on one split.

    Args:
        judged: At least one row.
        section: Resamples of the bootstrap.
        seed: The run's seed.
    """
    draw = _Draw(resamples=section.resamples, seed=seed)
    samples = judged.samples
    by_argmax = _predictions(judged, judged.predicted)
    by_threshold = replace(by_argmax, predicted=judged.decided)
    patients = list(samples.frame["patient"])
    names = samples.class_names
    matrix = confusion_matrix(samples.targets, judged.predicted, len(names))
    return SplitMetrics(
        n_images=int(samples.frame["path"].nunique()),
        n_patients=count_patients(patients),
        n_groups=by_argmax.n_groups,
        positive=samples.positive,
        image=_block(summarise(by_argmax, **draw)),
        at_threshold=_block(summarise(by_threshold, **draw)),
        patient=_block(summarise_patients(by_argmax, patients, **draw)),
        by_magnification=_by_column(judged, "magnification", draw),
        by_class={
            names[index]: _block(block)
            for index, block in summarise_by_class(by_argmax, **draw).items()
        },
        by_site=_by_column(judged, "site", draw),
        confusion=Confusion(labels=list(names), matrix=matrix.astype(int).tolist()),
        threshold=judged.threshold,
    )


def _predictions(judged: Judged, predicted: IntArray, rows: BoolArray | None = None) -> Predictions:
    keep = np.ones(len(judged.samples), dtype=bool) if rows is None else rows
    return Predictions(
        probabilities=judged.probabilities[keep],
        targets=judged.samples.targets[keep],
        predicted=predicted[keep],
        groups=judged.samples.groups[keep],
        positive=judged.positive,
        class_names=judged.samples.class_names,
    )


def _by_column(judged: Judged, column: str, draw: _Draw) -> dict[str, MetricBlock]:
    """Judge the rows of each value of a column; nothing where the column is absent or empty."""
    if column not in judged.samples.frame:
        return {}
    cells = np.asarray(judged.samples.frame[column], dtype=str)
    values = sorted({cell for cell in cells if cell}, key=_numbers_first)
    return {
        value: _block(summarise(_predictions(judged, judged.predicted, cells == value), **draw))
        for value in values
    }


def _numbers_first(value: str) -> tuple[int, float, str]:
    """Sort 40 before 100, and numbers before words."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def _block(estimates: Any) -> MetricBlock:
    return {name: Metric.of(estimate) for name, estimate in estimates.items()}


def lock_threshold(
    samples: Samples, probabilities: FloatArray, section: EvaluateSection, source: str
) -> Threshold:
    """Choose the decision threshold on a part that is not the test.

    Args:
        samples: The part's rows.
        probabilities: Calibrated, shape (N, K).
        section: The recall to reach.
        source: Name of the part, for the record.

    Returns:
        A null threshold where the task has no positive class or the part none of its images.
    """
    if samples.positive is None or len(samples.class_names) != 2:
        return Threshold(value=None, source="no positive class", target_recall=None)
    positive = samples.class_names.index(samples.positive)
    value = choose_threshold(
        probabilities[:, positive], samples.targets == positive, section.target_recall
    )
    return Threshold(value=value, source=source, target_recall=section.target_recall)
