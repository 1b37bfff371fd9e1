"""Summaries: values, reasons, classes."""

from dataclasses import replace

import numpy as np
import pytest
from tests.facts import tells

from eosin.core.errors import DataError, UnknownNameError
from eosin.metrics.catalogue import (
    BY_CLASS,
    COMPARED,
    HISTORY,
    LEADING,
    METRIC_NAMES,
    METRICS,
    OF_ONE_CLASS,
    OF_PARTS,
    PATIENT_METRICS,
    PER_CLASS,
)
from eosin.metrics.measurement import measure_values
from eosin.metrics.predictions import Predictions
from eosin.metrics.ranking import precision_recall_curve, roc_curve
from eosin.metrics.summary import summarise, summarise_by_class


def given(targets, predicted, positive=1, n_classes=2, names=None):
    """Predictions that are sure of what they predict, every row a group of its own."""
    predicted = np.array(predicted, dtype=int)
    table = np.full((len(predicted), n_classes), 0.2 / (n_classes - 1))
    table[np.arange(len(predicted)), predicted] = 0.8
    targets = np.array(targets, dtype=int)
    return Predictions(table, targets, predicted, np.arange(len(predicted)), positive, names)


def quick(predictions, **options):
    return summarise(predictions, resamples=20, **options)


def test_every_metric_says_what_it_is():
    rows = [*METRICS.values(), *PATIENT_METRICS.values()]
    assert all(row.least < row.most and row.label for row in rows)
    assert len({row.label for row in rows}) == len({row.name for row in rows}) == len(rows)
    listed = {*COMPARED, *LEADING, *BY_CLASS, *OF_PARTS, *OF_ONE_CLASS, *HISTORY}
    assert listed <= set(METRICS)
    assert set(BY_CLASS) <= set(PER_CLASS)


def test_hand_worked_numbers():
    ours = quick(given([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0, 0, 0]))
    values = {name: estimate.value for name, estimate in ours.items()}
    assert tuple(values) == METRIC_NAMES
    assert values == pytest.approx(
        {
            "accuracy": 0.8,
            "balanced_accuracy": (3 / 4 + 5 / 6) / 2,
            "auc": (3 / 4 * 5 / 6) + 0.5 * (3 / 4 * 1 / 6 + 1 / 4 * 5 / 6),
            "average_precision": 3 / 4 * 3 / 4 + 1 / 4 * 4 / 10,
            "recall": 3 / 4,
            "specificity": 5 / 6,
            "precision": 3 / 4,
            "f1": 3 / 4,
            "mcc": (3 * 5 - 1 * 1) / (4 * 6 * 4 * 6) ** 0.5,
            "brier": (8 * 0.04 + 2 * 0.64) / 10,
            "ece": 0.0,
            # Both classes have one error and as many predictions as images.
            **dict.fromkeys(["precision_micro", "recall_micro", "f1_micro"], 0.8),
            **dict.fromkeys(["precision_macro", "recall_macro", "f1_macro"], (3 / 4 + 5 / 6) / 2),
            **dict.fromkeys(["precision_weighted", "recall_weighted", "f1_weighted"], 0.8),
        },
        abs=1e-12,
    )


def from_counts(confusion):
    """Predictions with these counts, truth in rows."""
    cells = [(row, column) for row, counts in enumerate(confusion) for column in range(len(counts))]
    counts = np.ravel(confusion)
    targets, predicted = (np.repeat(side, counts) for side in zip(*cells, strict=True))
    return given(targets, predicted, None, len(confusion))


def test_weighted_averages_are_those_that_p5_prints():
    # One error in 54 images; only about nine images of either class of it give these four numbers.
    ours = quick(from_counts([[8, 1, 0], [0, 9, 0], [0, 0, 36]]))
    names = ("accuracy", "precision_weighted", "recall_weighted", "f1_weighted")
    assert [round(100 * ours[name].value, 2) for name in names] == [98.15, 98.33, 98.15, 98.14]
    assert ours["precision_macro"].value == pytest.approx((1 + 9 / 10 + 1) / 3)
    assert ours["recall_macro"].value == pytest.approx((8 / 9 + 1 + 1) / 3)
    assert ours["f1_macro"].value == pytest.approx((16 / 17 + 18 / 19 + 1) / 3)
    assert ours["precision_micro"].value == ours["f1_micro"].value == ours["accuracy"].value


def test_averages_speak_of_all_classes_in_a_binary_task_too():
    # P1's confusion matrix: 94.56 % right, precision 7407 / 7684 and 7723 / 8316.
    p1 = from_counts([[7407, 593], [277, 7723]])
    ours = quick(replace(p1, positive=1))
    assert ours["precision"].value == pytest.approx(7723 / 8316)
    assert ours["precision_macro"].value == pytest.approx((7407 / 7684 + 7723 / 8316) / 2)
    assert ours["recall_weighted"].value == ours["recall_micro"].value == pytest.approx(0.945625)
    # Classes of one size weigh alike.
    assert ours["f1_weighted"].value == pytest.approx(ours["f1_macro"].value)


def test_a_class_without_images_weighs_nothing_and_one_that_is_never_predicted_has_no_precision():
    names = ("a", "b", "c")
    ours = quick(given([0, 0, 1, 1], [0, 2, 1, 1], None, 3, names))
    # a: precision 1, F1 2/3; b: both 1; c has no image.
    assert ours["precision_weighted"].value == pytest.approx(1.0)
    assert ours["f1_weighted"].value == pytest.approx((2 * 2 / 3 + 2 * 1) / 4)
    assert ours["precision_macro"].value == pytest.approx(2 / 3)
    assert tells(ours["recall_macro"].reason, "c")
    ours = quick(given([0, 0, 1, 1], [0, 0, 0, 0], None, 3, names))
    assert ours["precision_weighted"].value is None
    assert tells(ours["precision_weighted"].reason, "b")
    assert ours["recall_weighted"].value == ours["precision_micro"].value == 0.5


def test_all_predicted_negative():
    ours = quick(given([0, 1, 0, 1], [0, 0, 0, 0], names=("benign", "malignant")))
    assert ours["precision"].value is None
    assert tells(ours["precision"].reason, "malignant")
    assert ours["recall"].value == 0.0
    assert ours["f1"].value == 0.0


def test_a_correlation_needs_two_classes_and_two_decisions():
    ours = quick(given([0, 1, 0, 1], [0, 0, 0, 0], names=("benign", "malignant")))["mcc"]
    assert ours.value is None
    assert "benign" in ours.reason
    ours = quick(given([2, 2], [0, 1], None, 3))["mcc"]
    assert (ours.value, ours.reason) == (None, "every image is of class 2")
    ours = quick(given([0, 0, 1, 1], [1, 1, 0, 0]))["mcc"]
    assert ours.value == -1


def test_an_interval_of_a_correlation_may_reach_below_zero():
    random = np.random.default_rng(0)
    targets, predicted = random.integers(0, 2, (2, 100))
    ours = summarise(given(targets, predicted), resamples=200, names=("mcc",))["mcc"]
    assert -1 < ours.low < 0 < ours.high < 1


def test_a_single_class():
    ours = quick(given([0, 0, 0], [0, 1, 0]))
    for name in ("recall", "auc", "average_precision", "balanced_accuracy"):
        assert ours[name].value is None
        assert ours[name].reason == "no image of class 1"
    assert ours["accuracy"].value == pytest.approx(2 / 3)
    assert ours["accuracy"].reason.startswith("3 groups of class 0")
    assert ours["precision"].value == 0.0
    positives = quick(given([1, 1], [1, 1]))
    assert positives["specificity"].reason == "every image is of class 1"
    assert positives["auc"].reason == "every image is of class 1"
    assert positives["average_precision"].value == 1.0


def test_equal_scores_are_worth_one_half():
    same = np.full((6, 2), 0.5)
    targets = np.array([0, 1, 0, 1, 1, 0])
    ours = quick(Predictions(same, targets, targets, np.arange(6), positive=1))
    assert ours["auc"].value == ours["average_precision"].value == 0.5


def test_perfect_order_is_exactly_one():
    scores, targets = np.array([0.1, 0.4, 0.6, 0.9]), np.array([0, 0, 1, 1])
    for p, area in ((scores, 1.0), (1 - scores, 0.0)):
        table = np.stack([1 - p, p], axis=1)
        given = Predictions(table, targets, targets, np.arange(4), positive=1)
        assert measure_values(given, ("auc",)) == {"auc": area}


def test_no_images():
    nobody = given([], [])
    assert {estimate.reason for estimate in quick(nobody).values()} == {"no images"}
    assert {estimate.value for estimate in quick(nobody).values()} == {None}
    by_class = summarise_by_class(nobody, resamples=5)
    assert by_class[1]["recall"].reason == "no images"


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("targets", [[], [0], [0, 0], [0, 1], [1, 0, 1], [1, 1]])
@pytest.mark.parametrize("predicted", [0, 1])
def test_never_nan(n_classes, targets, predicted):
    positive = 1 if n_classes == 2 else None
    case = given(targets, [predicted] * len(targets), positive, n_classes)
    estimates = list(quick(case).values())
    for row in summarise_by_class(case, resamples=5).values():
        estimates += row.values()
    for estimate in estimates:
        numbers = (estimate.value, estimate.low, estimate.high)
        assert not any(number is not None and np.isnan(number) for number in numbers)
        assert estimate.low is not None or estimate.reason
        assert estimate.reason != "undefined"


def test_two_classes_without_a_positive_one_are_averaged():
    case = given([1, 1, 1, 0], [1, 1, 0, 0], positive=None)
    ours = quick(case)
    assert ours["recall"].value == pytest.approx((2 / 3 + 1) / 2)
    assert ours["specificity"].value == pytest.approx((1 + 2 / 3) / 2)
    assert ours["precision"].value == pytest.approx((1 + 1 / 2) / 2)
    assert ours["brier"].value == pytest.approx(2 * (3 * 0.04 + 0.64) / 4)


def test_by_class():
    case = given([0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, 2, 0, 2], None, 3, ("a", "b", "c"))
    ours = summarise_by_class(case, resamples=20)
    assert list(ours) == [0, 1, 2]
    assert tuple(ours[0]) == BY_CLASS
    assert ours[0]["recall"].value == pytest.approx(1 / 2)
    assert ours[1]["precision"].value == pytest.approx(2 / 3)
    assert ours[2]["f1"].value == pytest.approx(2 * 2 / (2 + 3))
    assert ours[1]["specificity"].value == pytest.approx(4 / 5)
    assert ours[2]["auc"].value == pytest.approx(2 / 3 + 0.5 * 1 / 3)
    overall = quick(case)
    for name in ("recall", "precision", "f1", "specificity", "auc"):
        mean = np.mean([ours[index][name].value for index in range(3)])
        assert overall[name].value == pytest.approx(mean, abs=1e-12)


def test_by_class_needs_the_groups_that_it_speaks_of():
    targets = np.repeat([0, 1, 2], [10, 10, 3])
    ours = summarise_by_class(given(targets, targets, None, 3), resamples=50)
    assert ours[2]["recall"].low is None
    assert ours[2]["recall"].reason.startswith("3 groups of class 2")
    # All right in every resample: that errors are rare is no interval.
    assert ours[0]["recall"].low is None
    assert ours[0]["recall"].reason.startswith("identical in every resample")
    predicted = targets.copy()
    predicted[0] = 2
    ours = summarise_by_class(given(targets, predicted, None, 3), resamples=50)
    assert ours[0]["recall"].low is not None
    assert tells(ours[2]["specificity"].reason, "20 groups", "class 2")


def test_the_threshold_moves_decisions_and_nothing_else():
    random = np.random.default_rng(0)
    p = random.random(60)
    table = np.stack([1 - p, p], axis=1)
    targets = random.integers(0, 2, 60)
    whole = [
        quick(Predictions(table, targets, (p >= cut).astype(int), np.arange(60), positive=1))
        for cut in (0.5, 0.2)
    ]
    for name in ("auc", "average_precision", "brier", "ece"):
        assert whole[0][name] == whole[1][name]
    assert whole[0]["recall"].value < whole[1]["recall"].value


def test_an_unknown_name_is_refused_with_a_close_match():
    with pytest.raises(UnknownNameError, match="Did you mean 'recall'"):
        quick(given([0, 1], [0, 1]), names=("recal",))
    with pytest.raises(UnknownNameError, match="'brier'"):
        summarise_by_class(given([0, 1], [0, 1]), names=("brier",))


def test_some_names_only():
    assert list(quick(given([0, 1], [0, 1]), names=("f1", "auc"))) == ["f1", "auc"]
    assert quick(given([0, 1], [0, 1]), names=()) == {}


def test_nothing_at_all_is_undefined_without_a_warning():
    values = measure_values(given([], []), METRIC_NAMES)
    assert np.isnan(list(values.values())).all()
    assert len(roc_curve(np.array([]), np.array([], dtype=bool)).x) == 1
    assert len(precision_recall_curve(np.array([]), np.array([], dtype=bool)).x) == 0


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        (np.zeros(3), {}, "`positive` must have the shape"),
        (np.array([0, np.nan]), {}, "finite"),
        (np.zeros(2), {"weights": np.array([1, -1])}, "at least 0"),
    ],
)
def test_curves_of_what_does_not_fit_are_refused(scores, options, message):
    with pytest.raises(DataError, match=message):
        roc_curve(scores, np.zeros(2, dtype=bool), **options)
