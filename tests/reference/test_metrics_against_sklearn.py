"""Every metric against scikit-learn, on random rows with ties and weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from eosin import metrics
from eosin.metrics.measurement import Measurement

TOLERANCE = 1e-12

binary = settings(max_examples=40, deadline=None)


@st.composite
def rows(draw, n_classes=2):
    """Targets in which every class occurs, probabilities with ties, predictions, weights."""
    seed = draw(st.integers(0, 2**32 - 1))
    n_rows = draw(st.integers(2 * n_classes, 60))
    levels = draw(st.sampled_from([2, 5, 20, 10_000]))
    weighting = draw(st.sampled_from(["none", "whole", "real"]))
    random = np.random.default_rng(seed)
    targets = random.permutation(np.arange(n_rows) % n_classes)
    scores = random.integers(1, levels + 1, (n_rows, n_classes)).astype(float)
    predicted = random.permutation(np.arange(n_rows) % n_classes)
    weights = {
        "none": None,
        "whole": random.integers(1, 4, n_rows).astype(float),
        "real": random.uniform(0.01, 3, n_rows),
    }[weighting]
    return targets, scores / scores.sum(axis=1, keepdims=True), predicted, weights


def close(expected):
    return pytest.approx(float(expected), abs=TOLERANCE, rel=TOLERANCE)


@binary
@given(rows())
def test_binary_decisions(case):
    y, _, p, w = case
    one = {"positive": 1, "weights": w}
    assert metrics.accuracy(y, p, 2, weights=w) == close(
        reference.accuracy_score(y, p, sample_weight=w)
    )
    assert metrics.balanced_accuracy(y, p, 2, weights=w) == close(
        reference.balanced_accuracy_score(y, p, sample_weight=w)
    )
    assert metrics.recall(y, p, 2, **one) == close(reference.recall_score(y, p, sample_weight=w))
    assert metrics.specificity(y, p, 2, **one) == close(
        reference.recall_score(y, p, sample_weight=w, pos_label=0)
    )
    assert metrics.precision(y, p, 2, **one) == close(
        reference.precision_score(y, p, sample_weight=w)
    )
    assert metrics.f1(y, p, 2, **one) == close(reference.f1_score(y, p, sample_weight=w))


@binary
@given(rows(n_classes=4))
def test_macro_decisions(case):
    y, _, p, w = case
    mean = {"average": "macro", "sample_weight": w}
    assert metrics.balanced_accuracy(y, p, 4, weights=w) == close(
        reference.balanced_accuracy_score(y, p, sample_weight=w)
    )
    assert metrics.recall(y, p, 4, weights=w) == close(reference.recall_score(y, p, **mean))
    assert metrics.precision(y, p, 4, weights=w) == close(reference.precision_score(y, p, **mean))
    assert metrics.f1(y, p, 4, weights=w) == close(reference.f1_score(y, p, **mean))
    rest = [reference.recall_score(y != k, p != k, sample_weight=w) for k in range(4)]
    assert metrics.specificity(y, p, 4, weights=w) == close(np.mean(rest))
    assert metrics.confusion_matrix(y, p, 4, w) == pytest.approx(
        reference.confusion_matrix(y, p, sample_weight=w), abs=TOLERANCE
    )


@binary
@given(rows())
def test_binary_ranking(case):
    y, q, _, w = case
    assert metrics.auc(y, q, positive=1, weights=w) == close(
        reference.roc_auc_score(y, q[:, 1], sample_weight=w)
    )
    assert metrics.average_precision(y, q, positive=1, weights=w) == close(
        reference.average_precision_score(y, q[:, 1], sample_weight=w)
    )


@binary
@given(rows(n_classes=3))
def test_macro_ranking(case):
    y, q, _, w = case
    columns = [(y == k, q[:, k]) for k in range(3)]
    areas = [reference.roc_auc_score(*column, sample_weight=w) for column in columns]
    averages = [reference.average_precision_score(*column, sample_weight=w) for column in columns]
    assert metrics.auc(y, q, weights=w) == close(np.mean(areas))
    assert metrics.average_precision(y, q, weights=w) == close(np.mean(averages))


@binary
@given(rows())
def test_rows_without_weight_do_not_count(case):
    y, q, _, _ = case
    kept = np.arange(len(y)) % 3 > 0
    if len(np.unique(y[kept])) < 2:
        return
    weights = kept.astype(float)
    assert metrics.auc(y, q, positive=1, weights=weights) == close(
        metrics.auc(y[kept], q[kept], positive=1)
    )
    assert metrics.average_precision(y, q, positive=1, weights=weights) == close(
        metrics.average_precision(y[kept], q[kept], positive=1)
    )


@binary
@given(rows())
def test_curves(case):
    y, q, _, w = case
    false, true, cuts = reference.roc_curve(y, q[:, 1], sample_weight=w, drop_intermediate=False)
    ours = metrics.roc_curve(q[:, 1], y == 1, w)
    assert ours.thresholds == pytest.approx(cuts, abs=TOLERANCE)
    assert ours.x == pytest.approx(false, abs=TOLERANCE)
    assert ours.y == pytest.approx(true, abs=TOLERANCE)

    precision, recall, cuts = reference.precision_recall_curve(y, q[:, 1], sample_weight=w)
    ours = metrics.precision_recall_curve(q[:, 1], y == 1, w)
    # scikit-learn goes up in threshold and adds a last point (recall 0, precision 1).
    assert ours.thresholds == pytest.approx(cuts[::-1], abs=TOLERANCE)
    assert ours.x == pytest.approx(recall[-2::-1], abs=TOLERANCE)
    assert ours.y == pytest.approx(precision[-2::-1], abs=TOLERANCE)


@binary
@given(rows())
def test_binary_brier(case):
    y, q, _, w = case
    assert metrics.brier(y, q, positive=1, weights=w) == close(
        reference.brier_score_loss(y, q[:, 1], sample_weight=w)
    )


@binary
@given(rows(n_classes=3))
def test_multi_class_brier(case):
    y, q, _, w = case
    assert metrics.brier(y, q, weights=w) == close(
        reference.brier_score_loss(y, q, sample_weight=w, scale_by_half=False, labels=[0, 1, 2])
    )


@binary
@given(rows())
def test_summary_values_are_those_of_the_functions(case):
    y, q, p, _ = case
    ours = metrics.summarise(
        metrics.Predictions(q, y, p, np.arange(len(y)), positive=1), resamples=1
    )
    assert ours["auc"].value == close(reference.roc_auc_score(y, q[:, 1]))
    assert ours["average_precision"].value == close(reference.average_precision_score(y, q[:, 1]))
    assert ours["accuracy"].value == close(reference.accuracy_score(y, p))
    assert ours["recall"].value == close(reference.recall_score(y, p))
    assert ours["specificity"].value == close(reference.recall_score(y, p, pos_label=0))
    assert ours["precision"].value == close(reference.precision_score(y, p))
    assert ours["f1"].value == close(reference.f1_score(y, p))
    assert ours["brier"].value == close(reference.brier_score_loss(y, q[:, 1]))
    assert ours["ece"].value == close(metrics.ece(y, q))


def test_resamples_are_those_of_a_loop_over_repeated_rows():
    random = np.random.default_rng(5)
    groups = random.integers(0, 12, 150)
    y = random.integers(0, 2, 150)
    q = random.integers(1, 20, 150) / 20
    called = (q >= 0.5).astype(int)
    given = metrics.Predictions(np.stack([1 - q, q], axis=1), y, called, groups, positive=1)
    measure = Measurement(given, metrics.METRIC_NAMES, (1,))
    samples = metrics.bootstrap(measure, given.n_groups, len(given), resamples=40, seed=3)
    draws = np.concatenate(list(metrics.group_weights(given.n_groups, 40, seed=3)))
    for number, counts in enumerate(draws.astype(int)):
        again = np.repeat(np.arange(150), counts[given.group_codes])
        yy, qq, pp = y[again], q[again], called[again]
        assert samples["auc"][number, 1] == close(reference.roc_auc_score(yy, qq))
        assert samples["average_precision"][number, 1] == close(
            reference.average_precision_score(yy, qq)
        )
        assert samples["f1"][number, 1] == close(reference.f1_score(yy, pp))
        assert samples["accuracy"][number] == close(reference.accuracy_score(yy, pp))
        assert samples["brier"][number] == close(reference.brier_score_loss(yy, qq))
