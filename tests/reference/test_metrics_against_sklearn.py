"""Every metric against scikit-learn, on random rows with ties and weights."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from eosin import metrics
from eosin.metrics.measurement import Measurement, of_class

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


def averages(y, p, w):
    """Precision, recall and F1, averaged over the classes in scikit-learn's three ways."""
    scores = ("precision", "recall", "f1")
    found = {
        kind: reference.precision_recall_fscore_support(y, p, average=kind, sample_weight=w)[:3]
        for kind in ("micro", "macro", "weighted")
    }
    return {
        f"{score}_{kind}": close(value)
        for kind, values in found.items()
        for score, value in zip(scores, values, strict=True)
    }


def measured(y, q, p, w, positive=None):
    """Every metric as a run computes it, of rows weighed by w; beside it another weighting."""
    given = metrics.Predictions(q, y, p, np.arange(len(y)), positive)
    weights = np.stack([np.ones(len(y)) if w is None else w, np.ones(len(y))])
    found = Measurement(given, metrics.METRIC_NAMES, given.ranked_classes)(weights)
    return {name: of_class(values, positive)[0] for name, values in found.items()}


@binary
@given(rows())
def test_binary_task(case):
    y, q, p, w = case
    weighed = {"sample_weight": w}
    assert measured(y, q, p, w, positive=1) == {
        "accuracy": close(reference.accuracy_score(y, p, **weighed)),
        "balanced_accuracy": close(reference.balanced_accuracy_score(y, p, **weighed)),
        "auc": close(reference.roc_auc_score(y, q[:, 1], **weighed)),
        "average_precision": close(reference.average_precision_score(y, q[:, 1], **weighed)),
        "recall": close(reference.recall_score(y, p, **weighed)),
        "specificity": close(reference.recall_score(y, p, pos_label=0, **weighed)),
        "precision": close(reference.precision_score(y, p, **weighed)),
        "f1": close(reference.f1_score(y, p, **weighed)),
        "mcc": close(reference.matthews_corrcoef(y, p, **weighed)),
        "brier": close(reference.brier_score_loss(y, q[:, 1], **weighed)),
        "ece": close(calibration_error(y, q, w)),
        **averages(y, p, w),
    }


@binary
@given(rows(n_classes=4))
def test_mean_over_classes(case):
    y, q, p, w = case
    weighed = {"sample_weight": w}
    macro = {"average": "macro", "sample_weight": w}

    def mean(score, scores):
        return np.mean([score(y == k, scores(k), sample_weight=w) for k in range(4)])

    assert measured(y, q, p, w) == {
        "accuracy": close(reference.accuracy_score(y, p, **weighed)),
        "balanced_accuracy": close(reference.balanced_accuracy_score(y, p, **weighed)),
        "auc": close(mean(reference.roc_auc_score, lambda k: q[:, k])),
        "average_precision": close(mean(reference.average_precision_score, lambda k: q[:, k])),
        "recall": close(reference.recall_score(y, p, **macro)),
        "specificity": close(
            np.mean([reference.recall_score(y != k, p != k, **weighed) for k in range(4)])
        ),
        "precision": close(reference.precision_score(y, p, **macro)),
        "f1": close(reference.f1_score(y, p, **macro)),
        "mcc": close(reference.matthews_corrcoef(y, p, **weighed)),
        "brier": close(
            reference.brier_score_loss(y, q, scale_by_half=False, labels=[0, 1, 2, 3], **weighed)
        ),
        "ece": close(calibration_error(y, q, w)),
        **averages(y, p, w),
    }


def calibration_error(y, q, w):
    """Guo et al.'s error bin by bin; scikit-learn has none."""
    w = np.ones(len(y)) if w is None else w
    confidence, right = q.max(axis=1), q.argmax(axis=1) == y
    error = 0.0
    for low, high in pairwise(np.linspace(0, 1, 16)):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = np.average(confidence[inside] - right[inside], weights=w[inside])
            error += w[inside].sum() / w.sum() * abs(gap)
    return error


@binary
@given(rows(n_classes=4))
def test_confusion(case):
    y, q, p, _ = case
    found = metrics.Predictions(q, y, p, np.arange(len(y))).confusion
    assert found.tolist() == reference.confusion_matrix(y, p).tolist()


@binary
@given(rows())
def test_rows_without_weight_do_not_count(case):
    y, q, p, _ = case
    kept = np.arange(len(y)) % 3 > 0
    if len(np.unique(y[kept])) < 2:
        return
    all_rows = measured(y, q, p, kept.astype(float), positive=1)
    alone = metrics.Predictions(q[kept], y[kept], p[kept], np.arange(kept.sum()), positive=1)
    expected = metrics.measure_values(alone, metrics.METRIC_NAMES)
    assert all_rows == pytest.approx(expected, abs=TOLERANCE, nan_ok=True)


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
