"""Catalogue of metrics: one row each, from which everything that lists metrics derives.

A new metric is a row of :data:`METRICS` and a test against another implementation; a formula reads
a :class:`Tally`, so that it serves the data and thousands of resamples.

In a binary task with a positive class, a metric that exists per class is that of this class;
otherwise it is the macro average (each class against the rest). A metric without a denominator is
NaN, as is an average over a class that has none; scikit-learn returns zero there, which reads as a
measured failure. Everywhere else the numbers agree with scikit-learn's, ties included.

Averages over all classes have names of their own, whether or not a class is positive: micro (of the
summed counts), macro (each class alike) and weighted (each class by its images).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from eosin.core.types import FloatArray
from eosin.metrics.predictions import Predictions, divide

#: What a metric is computed from: decided classes, ranking of scores, or probabilities.
Basis = Literal["decisions", "ranking", "probabilities"]
#: Which groups a metric rests on: all, those with an image of its class, those with one of other
#: classes, or those of every class, the smallest of which limits it.
Support = Literal["all", "class", "others", "every class"]
#: What a metric is undefined without: an image of its class, one of other classes, one that was
#: predicted as its class, or one that was predicted as another.
Need = Literal["images", "others", "predicted", "predicted as others"]


@dataclass(frozen=True, eq=False)
class Tally:
    """Weighted sums over rows, for R weightings and C classes; the source of every metric.

    Attributes:
        hits: Rows of the class that were predicted as it, shape (R, C).
        predicted: Rows predicted as the class, (R, C).
        actual: Rows of the class, (R, C).
        squared_error: Squared errors of the probabilities, (R,).
        gaps: Confidence minus correctness by bin of confidence, (R, bins).
        area: Area under the ROC curve of each class, (R, C); NaN where it was not asked for.
        average_precision: Average precision of each class, (R, C), likewise.
    """

    hits: FloatArray
    predicted: FloatArray
    actual: FloatArray
    squared_error: FloatArray
    gaps: FloatArray
    area: FloatArray
    average_precision: FloatArray

    @property
    def total(self) -> FloatArray:
        """Number of rows, shape (R, 1)."""
        return np.asarray(self.actual.sum(axis=-1, keepdims=True))

    @cached_property
    def precision(self) -> FloatArray:
        """Precision of each class, (R, C)."""
        return divide(self.hits, self.predicted)

    @cached_property
    def recall(self) -> FloatArray:
        """Recall of each class, (R, C)."""
        return divide(self.hits, self.actual)

    @cached_property
    def f1(self) -> FloatArray:
        """F1 of each class, (R, C); undefined only where it neither occurs nor is predicted."""
        return divide(2 * self.hits, self.predicted + self.actual)


def _accuracy(tally: Tally) -> FloatArray:
    return divide(tally.hits.sum(axis=-1), tally.actual.sum(axis=-1))


def _balanced_accuracy(tally: Tally) -> FloatArray:
    return np.asarray(tally.recall.mean(axis=-1))


def _weighted(tally: Tally, measured: FloatArray) -> FloatArray:
    """Return the mean of a metric (R, C) over the classes with images, by their images."""
    weighed = np.where(tally.actual > 0, tally.actual * measured, 0.0)
    return divide(weighed.sum(axis=-1), tally.actual.sum(axis=-1))


def _specificity(tally: Tally) -> FloatArray:
    others = tally.total - tally.actual
    return divide(others - (tally.predicted - tally.hits), others)


def _matthews(tally: Tally) -> FloatArray:
    """Return the correlation of decided with true classes (Gorodkin 2004, for many classes)."""
    total, predicted, actual = tally.total[:, 0], tally.predicted, tally.actual
    hits = tally.hits.sum(axis=1)
    covariance = hits * total - (predicted * actual).sum(axis=1)
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (actual**2).sum(axis=1))
    return divide(covariance, np.sqrt(spread))


@dataclass(frozen=True)
class MetricDefinition:
    """Definition of a metric: one row of the catalogue.

    Attributes:
        name: Key in files and options.
        label: Name in tables, in full.
        formula: From a tally to an array (R,), or (R, C) where it exists for each class.
        function: In its place, from predictions to a number: a user's own metric.
        basis: What it is computed from.
        short: Name where space is short; the full one by default.
        per_class: Whether it exists for each class, one against the rest.
        most_of_class: The same where the task has a positive class.
        support: Groups that it rests on.
        needs: What it is undefined without.
        is_logit: Whether its intervals are symmetric on the logit scale of its range, or plainly.
        remark: What limits every interval of it.
        same_as: The metric that it equals in every task, under another name.
    """

    name: str
    label: str
    formula: Callable[[Tally], FloatArray] | None = None
    function: Callable[[Predictions], float] | None = None
    basis: Basis = "decisions"
    short: str = ""
    per_class: bool = True
    higher_is_better: bool = True
    least: float = 0.0
    most: float = 1.0
    most_of_class: float = 1.0
    support: Support = "every class"
    needs: tuple[Need, ...] = ("images",)
    is_logit: bool = True
    remark: str = ""
    same_as: str = ""


_MAIN_ROWS = (
    MetricDefinition(
        "accuracy",
        "Accuracy",
        _accuracy,
        per_class=False,
        support="all",
        needs=(),
    ),
    MetricDefinition(
        "balanced_accuracy",
        "Balanced accuracy",
        _balanced_accuracy,
        per_class=False,
    ),
    MetricDefinition(
        "auc",
        "Area under the ROC curve (AUC)",
        lambda tally: tally.area,
        basis="ranking",
        short="AUC",
        needs=("images", "others"),
    ),
    MetricDefinition(
        "average_precision",
        "Average precision",
        lambda tally: tally.average_precision,
        basis="ranking",
    ),
    MetricDefinition(
        "recall",
        "Recall (sensitivity)",
        lambda tally: tally.recall,
        short="Recall",
        support="class",
    ),
    MetricDefinition(
        "specificity",
        "Specificity",
        _specificity,
        support="others",
        needs=("others",),
    ),
    MetricDefinition(
        "precision",
        "Precision (positive predictive value)",
        lambda tally: tally.precision,
        short="Precision",
        needs=("predicted",),
    ),
    MetricDefinition(
        "f1",
        "F1 score",
        lambda tally: tally.f1,
        short="F1",
    ),
    MetricDefinition(
        "mcc",
        "Matthews' correlation coefficient",
        _matthews,
        short="MCC",
        per_class=False,
        least=-1.0,
        needs=("others", "predicted as others"),
    ),
    MetricDefinition(
        "brier",
        "Brier score (lower is better)",
        lambda tally: divide(tally.squared_error, tally.total[:, 0]),
        basis="probabilities",
        short="Brier score",
        per_class=False,
        higher_is_better=False,
        # The sum over all classes (Brier, 1950) where there is no positive class.
        most=2.0,
        support="all",
        needs=(),
    ),
    MetricDefinition(
        "ece",
        "Expected calibration error (lower is better)",
        lambda tally: divide(np.abs(tally.gaps).sum(axis=1), tally.total[:, 0]),
        basis="probabilities",
        short="Calibration error",
        per_class=False,
        higher_is_better=False,
        support="all",
        needs=(),
        # A sum of absolute values: it can be 0 where its resamples are not.
        is_logit=False,
        remark="this metric is biased upwards: the fewer images, the larger its value",
    ),
)

_MAIN = {row.name: row for row in _MAIN_ROWS}
#: Names of the averages over all classes, by kind and metric, in the order of scikit-learn's
#: ``classification_report``.
AVERAGES = {
    kind: {name: f"{name}_{kind}" for name in ("precision", "recall", "f1")}
    for kind in ("micro", "macro", "weighted")
}
#: Every image has one class and one prediction: these averages are other metrics.
_SAME = {
    **dict.fromkeys(("precision_micro", "recall_micro", "f1_micro"), "accuracy"),
    "recall_macro": "balanced_accuracy",
    "recall_weighted": "accuracy",
}
#: All others; a class without images weighs nothing.
_FORMULAS: dict[str, Callable[[Tally], FloatArray]] = {
    "precision_macro": lambda tally: np.asarray(tally.precision.mean(axis=-1)),
    "f1_macro": lambda tally: np.asarray(tally.f1.mean(axis=-1)),
    "precision_weighted": lambda tally: _weighted(tally, tally.precision),
    "f1_weighted": lambda tally: _weighted(tally, tally.f1),
}


def _average(kind: str, of: MetricDefinition) -> MetricDefinition:
    """Return the row of an average of a metric over all classes."""
    name = AVERAGES[kind][of.name]
    same_as = _SAME.get(name, "")
    if same_as:
        row = replace(_MAIN[same_as], same_as=same_as)
    elif kind == "macro":
        row = replace(of, formula=_FORMULAS[name])
    else:
        needs = of.needs if of.name == "precision" else ()
        row = replace(of, formula=_FORMULAS[name], support="all", needs=needs)
    short = of.short if of.name == "f1" else of.name
    label = f"{kind.capitalize()} average of {short} over all classes"
    short = f"{kind.capitalize()} {short}"
    return replace(row, name=name, label=label, short=short, per_class=False)


_ROWS = (
    *_MAIN_ROWS,
    *(_average(kind, _MAIN[of]) for kind, names in AVERAGES.items() for of in names),
)

#: Every metric of a set of predictions by name, in the order of files and tables; users' last.
METRICS = {row.name: row for row in _ROWS}
#: Those of Eosin itself.
METRIC_NAMES = tuple(METRICS)
#: Those of tables and charts of all metrics: the averages have a table of their own.
MAIN_METRICS = tuple(_MAIN)
#: Those that differ from each other.
DISTINCT = tuple(name for name, row in METRICS.items() if not row.same_as)

#: Metrics of patients; each is measured as the metric of images that it is derived from.
PATIENT_METRICS = {
    row.name: row
    for row in (
        replace(
            METRICS["accuracy"],
            name="recognition_rate",
            label="Recognition rate (mean proportion of a patient's correct images)",
            short="Recognition rate",
        ),
        replace(
            METRICS["accuracy"],
            name="majority_vote_accuracy",
            label="Accuracy of the majority vote",
        ),
        replace(
            METRICS["accuracy"],
            name="mean_probability_accuracy",
            label="Accuracy of the mean probability",
        ),
        replace(
            METRICS["auc"],
            name="mean_probability_auc",
            label="AUC of the mean probability",
            short="",
        ),
    )
}


def add_metric(row: MetricDefinition) -> None:
    """Register a user's own metric; raises ``ValueError`` if the name is taken."""
    if row.name in METRICS or row.name in PATIENT_METRICS:
        raise ValueError(f"the metric {row.name!r} is registered twice")
    METRICS[row.name] = row


def own_metrics() -> tuple[str, ...]:
    """Return the names of users' own metrics."""
    return tuple(name for name in METRICS if name not in METRIC_NAMES)


def _where(condition: Callable[[MetricDefinition], bool]) -> tuple[str, ...]:
    return tuple(row.name for row in _ROWS if condition(row))


#: Metrics of which a smaller value is the better one.
LOWER_IS_BETTER = frozenset(_where(lambda row: not row.higher_is_better))
#: Metrics that exist for each class, one against the rest.
PER_CLASS = _where(lambda row: row.per_class)
#: Metrics of the order of scores.
RANKING = _where(lambda row: row.basis == "ranking")
#: Metrics of decided classes.
OF_DECISIONS = _where(lambda row: row.basis == "decisions")
#: Metrics of probabilities: calibration.
OF_PROBABILITIES = _where(lambda row: row.basis == "probabilities")

#: Metrics that the terminal output and ``model.json`` give, the most important first.
HEADLINE = ("auc", "accuracy", "balanced_accuracy", "recall", "specificity")
#: Metrics in which runs are compared.
COMPARED = (*HEADLINE, "f1")
#: Metrics of which the first with a value is named in a page's first sentence.
LEADING = ("auc", "balanced_accuracy", "accuracy")
#: Metrics of a single class against the rest.
BY_CLASS = ("precision", "recall", "f1", "specificity", "auc")
#: Metrics of a part of the images, such as a magnification.
OF_PARTS = ("accuracy", "auc", "recall", "specificity", "f1")
#: Metrics of a magnification: P_img, P_arp (P4) and those that P2 gives.
OF_MAGNIFICATIONS = (
    "accuracy",
    "recognition_rate",
    "auc",
    "recall",
    "precision",
    "specificity",
    "f1",
)
#: Metrics of images that are all of one class, such as a subtype.
OF_ONE_CLASS = ("accuracy",)
#: Metrics of the validation subset in ``history.csv``, and those of the training batches.
HISTORY, HISTORY_TRAIN = ("accuracy", "precision", "recall", "auc"), ("accuracy", "precision")
