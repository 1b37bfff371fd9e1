"""Undefined cases and refusals; the numbers are compared in tests/reference."""

import numpy as np
import pytest

from eosin import metrics
from eosin.core.errors import DataError

NOBODY = np.array([], dtype=int)


def test_precision_is_undefined_where_nothing_was_called():
    targets, predicted = np.array([0, 1, 1]), np.zeros(3, dtype=int)
    assert np.isnan(metrics.precision(targets, predicted, 2, positive=1))
    assert metrics.recall(targets, predicted, 2, positive=1) == 0.0
    assert metrics.f1(targets, predicted, 2, positive=1) == 0.0
    assert metrics.specificity(targets, predicted, 2, positive=1) == 1.0


def test_an_absent_class_leaves_its_metrics_undefined():
    targets, predicted = np.zeros(3, dtype=int), np.array([0, 0, 1])
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    assert np.isnan(metrics.recall(targets, predicted, 2, positive=1))
    assert np.isnan(metrics.balanced_accuracy(targets, predicted, 2))
    assert np.isnan(metrics.auc(targets, scores, positive=1))
    assert np.isnan(metrics.average_precision(targets, scores, positive=1))
    assert metrics.accuracy(targets, predicted, 2) == pytest.approx(2 / 3)
    assert metrics.average_precision(targets, scores, positive=0) == 1.0
    assert np.isnan(metrics.auc(targets, scores, positive=0))


def test_nothing_at_all_is_undefined_without_a_warning():
    assert np.isnan(metrics.accuracy(NOBODY, NOBODY, 2))
    assert np.isnan(metrics.f1(NOBODY, NOBODY, 2))
    assert np.isnan(metrics.auc(NOBODY, np.empty((0, 2)), positive=1))
    assert np.isnan(metrics.ece(NOBODY, np.empty((0, 2))))
    assert np.isnan(metrics.brier(NOBODY, np.empty((0, 2))))
    assert len(metrics.roc_curve(np.array([]), np.array([], dtype=bool)).x) == 1
    assert len(metrics.precision_recall_curve(np.array([]), np.array([], dtype=bool)).x) == 0


def test_equal_scores_are_worth_one_half():
    same = np.full((6, 2), 0.5)
    assert metrics.auc(np.array([0, 1, 0, 1, 1, 0]), same, positive=1) == 0.5
    assert metrics.average_precision(np.array([0, 1, 0, 1, 1, 0]), same, positive=1) == 0.5


def test_perfect_order_is_exactly_one():
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.1, 0.9]])
    assert metrics.auc(np.array([0, 0, 1, 1]), scores, positive=1) == 1.0
    assert metrics.auc(np.array([1, 1, 0, 0]), scores, positive=1) == 0.0


def test_results_are_plain_floats():
    targets = np.array([0, 1])
    assert type(metrics.recall(targets, targets, 2)) is float
    assert type(metrics.auc(targets, np.eye(2))) is float
    assert type(metrics.ece(targets, np.eye(2))) is float


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: metrics.accuracy([0, 2], [0, 1], 2), "must lie in 0 to 1, got 0 to 2"),
        (lambda: metrics.accuracy([0, 1], [0], 2), "one entry a row"),
        (lambda: metrics.accuracy([0.0, 1.0], [0, 1], 2), "class indices"),
        (lambda: metrics.accuracy([0, 1], [0, 1], 2, weights=[1, -1]), "at least 0"),
        (lambda: metrics.auc([0, 1], np.eye(3)), "`probabilities` must have the shape"),
        (lambda: metrics.auc([0, 1], np.full((2, 2), np.nan)), "finite"),
        (lambda: metrics.roc_curve(np.zeros(3), np.zeros(2, dtype=bool)), "`positive`"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call, said):
    with pytest.raises(DataError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
