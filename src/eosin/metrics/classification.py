"""Metrics of classification: arrays in, numbers out.

A task is binary where ``positive`` names the class to find: recall, specificity, precision, F1,
the area under the ROC curve and average precision then speak of that class. With ``positive``
``None`` each is the plain mean over all classes, one against the rest (macro average).

Weights are non-negative, one a row; a whole number counts a row that often. A metric without a
denominator is NaN, as is a macro average over a class that has none. scikit-learn puts zero
there, which reads as a measured failure where nothing was measured. Everywhere else the numbers
agree with it, ties included.
"""

from __future__ import annotations

import numpy as np

from eosin.core.errors import DataError
from eosin.core.types import FloatArray, IntArray
from eosin.metrics import counts as formulas
from eosin.metrics.counts import ClassCounts, check_classes, check_finite, check_weights
from eosin.metrics.ranking import Ranking, ranking_scores


def confusion_matrix(
    targets: IntArray, predicted: IntArray, n_classes: int, weights: FloatArray | None = None
) -> FloatArray:
    """Count the rows by actual and predicted class.

    Args:
        targets: Class index of each row in [0, n_classes), shape (N,).
        predicted: Predicted class index, (N,).
        n_classes: How many classes there are, C.
        weights: Weight of each row, (N,); all one by default.

    Returns:
        Shape (C, C): the actual class by row, the predicted one by column.

    Raises:
        DataError: Shapes differ, an index is out of range or a weight is negative.
    """
    targets = check_classes("targets", targets, n_classes)
    predicted = check_classes("predicted", predicted, n_classes)
    if len(targets) != len(predicted):
        raise DataError(
            f"`predicted` must have one entry a row ({len(targets)}), got {len(predicted)}"
        )
    weights = check_weights(weights, len(targets))
    cells = targets * n_classes + predicted
    return formulas.sum_by(cells, weights, n_classes**2).reshape(n_classes, n_classes)


def accuracy(
    targets: IntArray, predicted: IntArray, n_classes: int, *, weights: FloatArray | None = None
) -> float:
    """Return the share of rows predicted right (arguments: :func:`confusion_matrix`)."""
    return float(formulas.accuracy(_count(targets, predicted, n_classes, weights)))


def balanced_accuracy(
    targets: IntArray, predicted: IntArray, n_classes: int, *, weights: FloatArray | None = None
) -> float:
    """Return the mean recall of all classes (arguments: :func:`confusion_matrix`)."""
    return float(formulas.balanced_accuracy(_count(targets, predicted, n_classes, weights)))


def recall(
    targets: IntArray,
    predicted: IntArray,
    n_classes: int,
    *,
    positive: int | None = None,
    weights: FloatArray | None = None,
) -> float:
    """Return the share of a class that was found (arguments: :func:`confusion_matrix`)."""
    return choose(formulas.recall(_count(targets, predicted, n_classes, weights)), positive)


def specificity(
    targets: IntArray,
    predicted: IntArray,
    n_classes: int,
    *,
    positive: int | None = None,
    weights: FloatArray | None = None,
) -> float:
    """Return the share of the other rows left alone (arguments: :func:`confusion_matrix`)."""
    return choose(formulas.specificity(_count(targets, predicted, n_classes, weights)), positive)


def precision(
    targets: IntArray,
    predicted: IntArray,
    n_classes: int,
    *,
    positive: int | None = None,
    weights: FloatArray | None = None,
) -> float:
    """Return the share of calls that were right (arguments: :func:`confusion_matrix`)."""
    return choose(formulas.precision(_count(targets, predicted, n_classes, weights)), positive)


def f1(
    targets: IntArray,
    predicted: IntArray,
    n_classes: int,
    *,
    positive: int | None = None,
    weights: FloatArray | None = None,
) -> float:
    """Return the harmonic mean of precision and recall (see :func:`confusion_matrix`)."""
    return choose(formulas.f1(_count(targets, predicted, n_classes, weights)), positive)


def auc(
    targets: IntArray,
    probabilities: FloatArray,
    *,
    positive: int | None = None,
    weights: FloatArray | None = None,
) -> float:
    """Return the area under the ROC curve, ties counting one half.

    Args:
        targets: Class index of each row, shape (N,).
        probabilities: One column a class, (N, C).
        positive: The class to find; ``None`` for the mean over all, one against the rest.
        weights: Weight of each row, (N,); all one by default.

    Raises:
        DataError: Shapes differ, an index is out of range, a score is not finite or a weight
            is negative.
    """
    return _rank(targets, probabilities, positive, weights)[0]


def average_precision(
    targets: IntArray,
    probabilities: FloatArray,
    *,
    positive: int | None = None,
    weights: FloatArray | None = None,
) -> float:
    """Return the sum of precision times the step in recall (arguments: :func:`auc`)."""
    return _rank(targets, probabilities, positive, weights)[1]


def choose(per_class: FloatArray, positive: int | None) -> float:
    """Take the positive class's number from (C,), or the mean over the classes."""
    return float(per_class.mean() if positive is None else per_class[positive])


def _count(
    targets: IntArray, predicted: IntArray, n_classes: int, weights: FloatArray | None
) -> ClassCounts:
    return ClassCounts.from_confusion(confusion_matrix(targets, predicted, n_classes, weights))


def _rank(
    targets: IntArray,
    probabilities: FloatArray,
    positive: int | None,
    weights: FloatArray | None,
) -> tuple[float, float]:
    """Return (area, average precision) of one class, or their means over all."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or len(probabilities) != len(targets):
        raise DataError(
            f"`probabilities` must have the shape ({len(targets)}, classes), "
            f"got {probabilities.shape}"
        )
    n_classes = probabilities.shape[1]
    targets = check_classes("targets", targets, n_classes)
    weights = check_weights(weights, len(targets))
    both = []
    for index in range(n_classes) if positive is None else (positive,):
        ranking = Ranking(ranking_scores(check_finite(probabilities), index), targets == index)
        both.append(ranking.measure(weights[ranking.order][None, :]))
    area, average = np.mean(both, axis=0)
    return float(area[0]), float(average[0])
