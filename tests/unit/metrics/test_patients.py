"""Patients, by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest
from tests.facts import tells

from eosin.artifacts.metrics import Metric
from eosin.core.errors import DataError
from eosin.metrics.intervals import measured_coverage
from eosin.metrics.predictions import Predictions
from eosin.metrics.summary import count_patients, summarise_patients

#: Patient, target, probability of class 1. Decided at one half.
ROWS = [
    ("a", 1, 0.9),
    ("a", 1, 0.4),
    ("a", 1, 0.3),
    ("b", 1, 0.8),
    ("c", 0, 0.4),
    ("c", 0, 0.9),
    ("d", 0, 0.1),
    ("d", 0, 0.2),
    ("d", 0, 0.3),
]


def table(rows, positive=1, groups=None):
    patients, targets, p = (list(column) for column in zip(*rows, strict=True))
    p = np.array(p)
    called = (p >= 0.5).astype(int)
    return (
        Predictions(
            np.stack([1 - p, p], axis=1), targets, called, groups or patients, positive=positive
        ),
        patients,
    )


def test_hand_worked_numbers():
    ours = summarise_patients(*table(ROWS), resamples=20)
    # Shares recognised: a 1/3, b 1, c 1/2, d 1.
    assert ours["recognition_rate"].value == pytest.approx((1 / 3 + 1 + 1 / 2 + 1) / 4)
    # Votes: a for 0 (wrong), b for 1, c one each (mean 0.65: class 1, wrong), d for 0.
    assert ours["majority_vote_accuracy"].value == 0.5
    # Means: a 0.533 (right), b 0.8, c 0.65 (wrong), d 0.2.
    assert ours["mean_probability_accuracy"].value == 0.75
    # Pairs: a > d, a < c, b > c, b > d.
    assert ours["mean_probability_auc"].value == 0.75
    assert ours["recognition_rate"].low is None
    assert "2 groups of class" in ours["recognition_rate"].reason


def test_without_a_positive_class_there_is_no_area():
    ours = summarise_patients(*table(ROWS, positive=None), resamples=20)
    assert list(ours) == [
        "recognition_rate",
        "majority_vote_accuracy",
        "mean_probability_accuracy",
    ]


def test_a_patient_of_two_classes_leaves_the_rate_alone():
    ours = summarise_patients(*table([*ROWS, ("d", 1, 0.9)]), resamples=20)
    assert ours["recognition_rate"].value == pytest.approx((1 / 3 + 1 + 1 / 2 + 1) / 4)
    for name in ("majority_vote_accuracy", "mean_probability_accuracy", "mean_probability_auc"):
        assert ours[name].value is None
        assert tells(ours[name].reason, "1 of 4 patients", "classes")


@pytest.mark.parametrize("missing", ["", None, float("nan")])
def test_unknown_patients_are_said(missing):
    given, patients = table(ROWS)
    patients[2] = missing
    ours = summarise_patients(given, patients)
    assert {estimate.reason for estimate in ours.values()} == {"1 of 9 images have no patient"}
    assert count_patients(patients) is None
    assert count_patients(["a", "b", "a"]) == 2


def test_nobody():
    empty = Predictions(np.empty((0, 2)), [], [], [], positive=1)
    assert summarise_patients(empty, [])["recognition_rate"].reason == "no images"


def test_one_patient_a_row_is_wanted():
    with pytest.raises(DataError, match="`patients` must have one entry per row"):
        summarise_patients(table(ROWS)[0], ["a"])


def many(n_patients, seed=0):
    random = np.random.default_rng(seed)
    return [
        (
            f"p{number}",
            number % 2,
            float(np.clip(random.normal(0.3 + 0.4 * (number % 2), 0.2), 0, 1)),
        )
        for number in range(n_patients)
        for _ in range(3)
    ]


def test_intervals_surround_the_values():
    ours = summarise_patients(*table(many(50)), resamples=300)
    varying = [estimate for estimate in ours.values() if estimate.value < 1]
    assert len(varying) >= 2
    for estimate in varying:
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.reason is None
    assert ours == summarise_patients(*table(many(50)), resamples=300)


def test_a_patient_is_drawn_whole_even_if_groups_split_it():
    rows = many(50)
    slides = [f"slide{number}" for number in range(len(rows))]
    by_slide = summarise_patients(*table(rows, groups=slides), resamples=300)
    assert by_slide == summarise_patients(*table(rows), resamples=300)


def test_votes_have_the_number_of_patients_and_wilsons_interval():
    # Too few for resampling: Wilson's interval stands.
    ours = summarise_patients(*table(ROWS), resamples=20)
    assert {estimate.n for estimate in ours.values()} == {4}
    for name, right in (("majority_vote_accuracy", 2), ("mean_probability_accuracy", 3)):
        expected = binomtest(right, 4).proportion_ci(method="wilson")
        assert ours[name].low is None
        assert ours[name].wilson == pytest.approx((expected.low, expected.high))
    assert ours["recognition_rate"].wilson is None
    entry = Metric.of(ours["majority_vote_accuracy"]).model_dump()
    assert (entry["n"], entry["wilson"]) == (4, ours["majority_vote_accuracy"].wilson)


def test_votes_tell_their_own_coverage():
    ours = summarise_patients(*table(many(20)), resamples=300)
    result = [name for name, one in ours.items() if one.low is not None and "vote" in name]
    assert result
    for name in result:
        row = measured_coverage(name, 20)
        assert row["coverage"] != measured_coverage("accuracy", 20)["coverage"]
        assert tells(ours[name].reason, f"{100 * row['coverage']:.0f} %")


def test_groups_of_several_patients_are_drawn_together():
    rows = many(60)
    sites = [int(patient[1:]) // 5 for patient, _, _ in rows]
    ours = summarise_patients(*table(rows, groups=sites), resamples=100)
    # They are not independent, which Wilson's interval would take them for.
    assert ours["majority_vote_accuracy"].n == 60
    assert ours["majority_vote_accuracy"].wilson is None
    assert ours["recognition_rate"].reason.startswith("12 groups: nominal 95 %")
