"""Resamples against a plain loop, the rules for few groups, and the time that it takes."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.grouped_sets import SCENARIOS, predict
from scipy.stats import binom, binomtest, t
from tests.facts import tells

from eosin import metrics
from eosin.core.errors import DataError
from eosin.core.types import Estimate
from eosin.metrics import intervals
from eosin.metrics.catalogue import DISTINCT, METRIC_NAMES
from eosin.metrics.intervals import estimate_difference, measured_coverage, support, wilson
from eosin.metrics.measurement import Measurement, bootstrap, group_weights
from eosin.metrics.predictions import Predictions
from eosin.metrics.summary import summarise

TOLERANCE = 1e-12
#: Simulated sets in the test below, and how few are enough where intervals are far too narrow.
SETS, NAIVE_SETS = 200, 60


def make(n_rows, n_groups, n_classes=2, seed=0, levels=None, **options):
    random = np.random.default_rng(seed)
    targets = random.integers(0, n_classes, n_rows)
    logits = random.normal(size=(n_rows, n_classes)) + 1.2 * np.eye(n_classes)[targets]
    if levels:
        logits = np.round(logits * levels) / levels
    table = metrics.softmax(logits)
    groups = random.integers(0, n_groups, n_rows)
    return Predictions(table, targets, table.argmax(axis=1), groups, **options)


@pytest.mark.parametrize(("positive", "n_classes"), [(0, 2), (1, 2), (None, 2), (None, 4)])
@pytest.mark.parametrize("levels", [None, 2])
def test_resamples_equal_a_loop_over_repeated_rows(positive, levels, n_classes):
    given = make(120, 9, n_classes, seed=4, levels=levels, positive=positive)
    measure = Measurement(given, METRIC_NAMES, range(n_classes))
    samples = bootstrap(measure, given.n_groups, len(given), resamples=25, seed=7)
    draws = np.concatenate(list(group_weights(given.n_groups, 25, seed=7)))
    for number, draw in enumerate(draws.astype(int)):
        again = np.repeat(np.arange(120), draw[given.group_codes])
        rows = (given.probabilities[again], given.targets[again], given.predicted[again])
        repeated = Predictions(*rows, np.arange(len(again)), positive=positive)
        alone = Measurement(repeated, METRIC_NAMES, range(n_classes))(np.ones((1, len(again))))
        for name, values in alone.items():
            expected = pytest.approx(values[0], abs=TOLERANCE, nan_ok=True)
            assert samples[name][number] == expected, name


def test_the_interval_is_symmetric_on_the_logit_scale_around_its_value():
    given = make(300, 60, positive=1)
    measure = Measurement(given, ("f1",), ())
    samples = bootstrap(measure, given.n_groups, 300, resamples=500, seed=2)["f1"][:, 1]
    ours = summarise(given, resamples=500, seed=2, names=("f1",))["f1"]
    low, value, high = (np.log(v / (1 - v)) for v in (ours.low, ours.value, ours.high))
    spread = samples.std() / (ours.value * (1 - ours.value))
    assert value - low == pytest.approx(t.ppf(0.975, 59) * np.sqrt(60 / 59) * spread)
    assert high - value == pytest.approx(value - low)
    assert all(type(number) is float for number in (ours.value, ours.low, ours.high))


@pytest.mark.parametrize("scenario", ["single", "mixed"])
def test_at_a_hundred_groups_95_percent_cover_the_truth(scenario):
    """A small form of ``benchmarks/interval_coverage.py``; noise of so many sets is allowed for."""
    truth = {"single": {"accuracy": 0.885, "auc": 0.955}, "mixed": {"accuracy": 0.885}}[scenario]
    clustered, naive = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for number in range(SETS):
        random = np.random.default_rng([11, number])
        score, _, targets, groups = SCENARIOS[scenario].draw(100, random)
        by_group = predict(score, targets, groups)
        by_image = predict(score, targets, np.arange(len(groups)))
        tried = [(by_group, clustered), *([(by_image, naive)] if number < NAIVE_SETS else [])]
        for given, held in tried:
            ours = summarise(given, resamples=150, seed=number, names=tuple(truth))
            for name, true in truth.items():
                held[name] += ours[name].low <= true <= ours[name].high
    low, high = binom.ppf(0.001, SETS, 0.93), binom.ppf(0.999, SETS, 0.97)
    for name in truth:
        assert low <= clustered[name] <= high, name
        # So few could not be seen of intervals that hold what they promise.
        assert naive[name] < binom.ppf(0.001, NAIVE_SETS, 0.93), name


def test_a_difference_is_put_together_from_both_intervals():
    given = make(400, 50, positive=1)
    other = replace(given, predicted=np.where(np.arange(400) % 9, given.predicted, 0))
    measures = [Measurement(one, ("recall",), ()) for one in (given, other)]
    values = [float(measure(np.ones((1, 50)))["recall"][0, 1]) for measure in measures]
    drawn = [bootstrap(m, 50, 400, resamples=400)["recall"][:, 1] for m in measures]
    rests_on = support(given, "recall", 1)
    ours = estimate_difference(tuple(values), tuple(drawn), "recall", rests_on)
    assert ours.value == pytest.approx(values[0] - values[1])
    assert ours.low < ours.value < ours.high
    # Away from 0 and 1 it is about the plain interval of the paired difference.
    half = 2 * np.std(drawn[0] - drawn[1])
    assert [ours.low, ours.high] == pytest.approx(
        [ours.value - half, ours.value + half], abs=0.3 * half
    )
    turned = estimate_difference(tuple(values[::-1]), tuple(drawn[::-1]), "recall", rests_on)
    assert [turned.low, turned.high] == pytest.approx([-ours.high, -ours.low])
    same = estimate_difference((values[0],) * 2, (drawn[0],) * 2, "recall", rests_on)
    assert same.value == 0
    assert same.low is None
    assert "identical in every resample" in same.reason


def test_every_resample_draws_as_many_groups_as_there_are():
    draws = np.concatenate(list(group_weights(7, 400, seed=1, at_once=33)))
    assert draws.shape == (400, 7)
    assert (draws.sum(axis=1) == 7).all()
    assert draws.mean() == 1.0
    assert draws.var() == pytest.approx(6 / 7, rel=0.1)  # multinomial: 1 - 1/G


@pytest.mark.parametrize("n_groups", [5, 64, 1001])
def test_draws_do_not_depend_on_how_many_are_held_at_once(n_groups):
    whole = np.concatenate(list(group_weights(n_groups, 50, seed=3)))
    parts = np.concatenate(list(group_weights(n_groups, 50, seed=3, at_once=7)))
    assert (whole == parts).all()


def test_seeds_repeat_and_differ():
    given = make(200, 50, positive=1)
    assert summarise(given, resamples=50, seed=1) == summarise(given, resamples=50, seed=1)
    assert summarise(given, resamples=50, seed=1) != summarise(given, resamples=50, seed=2)


def test_no_groups_or_resamples_are_refused():
    with pytest.raises(DataError, match="at least one group"):
        list(group_weights(0, 10))
    with pytest.raises(DataError, match="`resamples` must be at least 1"):
        summarise(make(50, 20), resamples=0)


def separate(n_negative, n_positive, each=4):
    """Groups of one class each, some rows wrong."""
    labels = np.repeat([0] * n_negative + [1] * n_positive, each)
    random = np.random.default_rng(0)
    p = np.clip(random.normal(0.25 + 0.5 * labels, 0.2), 0.01, 0.99)
    called = (p > 0.5).astype(int)
    groups = np.arange(len(labels)) // each
    names = ("benign", "malignant")
    table = np.stack([1 - p, p], axis=1)
    return Predictions(table, labels, called, groups, positive=1, class_names=names)


def test_fewer_than_five_groups_in_a_class_give_no_interval():
    ours = summarise(separate(30, 4), resamples=200)
    for name, estimate in ours.items():
        assert estimate.value is not None
        if name != "specificity":
            assert estimate.low is None
            assert estimate.high is None
            assert tells(estimate.reason, 4, "malignant", 5)
    # The negatives alone are enough for what speaks of them alone.
    assert ours["specificity"].low is not None
    assert tells(ours["specificity"].reason, 30, "benign", 95)


def test_a_class_without_a_row_limits_no_mean_over_rows():
    alone = separate(30, 0)
    ours = summarise(alone, resamples=200)
    for name in ("accuracy", "brier", "ece"):
        assert ours[name].low < ours[name].value < ours[name].high
    assert tells(ours["accuracy"].reason, "30 groups", 95)
    assert ours["balanced_accuracy"].value is None
    few = summarise(separate(4, 0), resamples=200)["accuracy"]
    assert tells(few.reason, 4, "benign", 5)


def test_a_brier_score_ends_where_it_can_be():
    # Nine groups surely wrong, three surely right: the mean of (p - y)² cannot pass 1.
    targets = np.repeat([0, 1] * 6, 5)
    p = np.where(np.arange(60) < 45, 1 - targets, targets).astype(float)
    both = np.stack([1 - p, p], axis=1)
    options = {"predicted": both.argmax(axis=1), "groups": np.arange(60) // 5}
    ours = summarise(Predictions(both, targets, positive=1, **options), names=("brier",))["brier"]
    assert 0 < ours.low < ours.value == 0.75 < ours.high <= 1
    # Summed over all classes it may reach 2.
    summed = summarise(Predictions(both, targets, **options), names=("brier",))["brier"]
    assert 1 < summed.value < summed.high <= 2


def test_what_differs_by_rounding_alone_does_not_vary():
    # Twelve groups, of each 7 of 10 right: some sums come out a hair beside 0.7.
    rates = Predictions(
        np.tile([[0.3, 0.7]], (120, 1)), np.tile([0, 1], 60), np.tile([0, 1], 60),
        np.arange(120) // 10, positive=1,
    )  # fmt: skip
    rests_on = support(rates, "accuracy", 1)
    samples = 0.7 + np.array([-2.2e-16, 0, 2.2e-16] * 50)
    reason = "identical in every resample: no bootstrap interval"
    assert intervals.estimate(0.7, samples, "accuracy", rests_on) == Estimate(0.7, reason=reason)
    other = 0.5 + np.zeros(150)
    gap = estimate_difference((0.7, 0.5), (samples, other), "accuracy", rests_on)
    assert (gap.low, gap.reason) == (None, reason)


def test_fewer_than_forty_groups_say_the_measured_coverage():
    ours = summarise(separate(15, 14), resamples=200)
    row = measured_coverage("accuracy", 29)
    covered = f"{100 * row['coverage']:.0f} %"
    assert tells(ours["accuracy"].reason, "29 groups", 95, covered)
    covered = f"{100 * measured_coverage('auc', 29)['coverage']:.0f} %"
    assert covered in ours["auc"].reason
    assert tells(ours["recall"].reason, 14, "malignant", 95)
    assert not tells(ours["recall"].reason, "in simulation of")
    row = measured_coverage("recall", 14)
    assert (row["n_groups"], f"{100 * row['coverage']:.0f} %" in ours["recall"].reason) == (
        14,
        True,
    )


def test_a_small_class_is_not_hidden_by_a_large_one():
    ours = summarise(separate(70, 6), resamples=200)
    assert ours["accuracy"].reason is None
    assert tells(ours["auc"].reason, "76 groups", 6, "malignant", 95)
    assert tells(ours["auc"].reason, "simulation of 12 groups")


def test_enough_groups_need_no_remark():
    ours = summarise(separate(40, 40), resamples=200)
    assert {name: estimate.reason for name, estimate in ours.items() if name != "ece"} == (
        dict.fromkeys(set(METRIC_NAMES) - {"ece"})
    )


def test_the_calibration_error_says_that_it_is_biased():
    # Calibrated by construction: every resample looks worse than the data.
    p = np.repeat([0.55, 0.65, 0.75, 0.85, 0.95], 100)
    targets = (np.arange(500) % 100 < np.round(100 * p)).astype(int)
    given = Predictions(np.stack([1 - p, p], axis=1), targets, targets, np.arange(500))
    ours = summarise(given, resamples=200, names=("ece",))["ece"]
    assert ours.value == pytest.approx(0, abs=1e-3)
    assert 0 <= ours.low <= ours.value < ours.high < 0.2
    assert "biased upwards" in ours.reason


def test_often_undefined_resamples_give_no_interval():
    # One single row is called positive: precision is undefined in a third of the resamples.
    given = separate(20, 20)
    called = np.zeros(160, dtype=int)
    called[-1] = 1
    given = Predictions(given.probabilities, given.targets, called, given.groups, positive=1)
    ours = summarise(given, resamples=500, names=("precision", "recall"))
    assert ours["precision"].value == 1.0
    assert ours["precision"].low is None
    assert "of the resamples: no interval" in ours["precision"].reason
    assert ours["recall"].low is not None


def test_the_table_of_coverage_holds_what_is_promised():
    table = metrics.coverage_table()
    assert table["simulations"] >= 1000
    assert "benchmarks.interval_coverage" in table["command"]
    result = [*DISTINCT, "recognition_rate", *(f"{name}_difference" for name in DISTINCT)]
    # What a coverage of 93 to 97 % may come out as.
    low, high = (binom.ppf(q, table["simulations"], p) for q, p in ((0.005, 0.93), (0.995, 0.97)))
    scenarios = {"single": table["clustered"]} | table["other_scenarios"]
    for scenario, measured in scenarios.items():
        for name in result:
            is_difference = name.endswith("_difference")
            if name == "ece":
                continue
            for row in measured[name]:
                size = row["n_groups"] * (2 if name in ("recall", "specificity") else 1)
                found = row["coverage"] * table["simulations"]
                # Of differences at every size; of nearly equal models they are wider than needed.
                if size >= 100 or is_difference:
                    assert found >= low, (scenario, name, size)
                if size >= 100 and not (is_difference and scenario == "alike"):
                    assert found <= high, (scenario, name, size)
        # Images drawn one by one pretend to know far more than they do.
        for name in ("accuracy", "auc"):
            assert table["image_level"][scenario][name]["coverage"] < 0.85
    json.dumps(table, allow_nan=False)


def test_coverage_is_looked_up_at_the_nearest_lower_size():
    assert measured_coverage("accuracy", 29)["n_groups"] == 29
    assert measured_coverage("accuracy", 39)["n_groups"] == 29
    assert measured_coverage("accuracy", 3)["n_groups"] == 10
    assert measured_coverage("recall", 5)["n_groups"] == 5
    assert measured_coverage("never simulated", 40) == measured_coverage("accuracy", 40)
    # Under another name it is the same metric.
    assert measured_coverage("recall_macro", 20) == measured_coverage("balanced_accuracy", 20)
    differences = [measured_coverage(f"{name}_difference", 20) for name in ("f1_micro", "accuracy")]
    assert differences[0] == differences[1] != measured_coverage("accuracy", 20)


def test_too_little_coverage_is_said_however_many_groups_there_are():
    ours = summarise(separate(40, 40), resamples=200, names=("accuracy", "ece"))
    assert ours["accuracy"].reason is None
    covered = 100 * measured_coverage("ece", 80)["coverage"]
    assert tells(ours["ece"].reason, "80 groups", f"{covered:.0f} %", "60 groups")


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (3, 10), (81, 263), (1, 1000)])
def test_wilson_against_scipy(k, n):
    expected = binomtest(k, n).proportion_ci(method="wilson")
    ours = wilson(k, n)
    assert (ours.value, ours.low, ours.high) == pytest.approx((k / n, *expected), abs=1e-9)
    assert ours.low <= ours.value <= ours.high


def test_wilson_of_nothing():
    assert wilson(0, 0).value is None
    with pytest.raises(DataError, match="must be between 0 and `n`"):
        wilson(4, 3)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("n_groups", [500, 100_000])
def test_a_hundred_thousand_predictions_are_affordable(n_groups):
    given = make(100_000, 2, positive=1)
    groups = np.arange(100_000) % n_groups
    given = Predictions(given.probabilities, given.targets, given.predicted, groups, positive=1)
    start = time.process_time()
    ours = summarise(given)
    seconds = time.process_time() - start
    print(f"\n2,000 resamples of 100,000 rows in {n_groups} groups: {seconds:.1f} s")  # noqa: T201
    assert all(estimate.low is not None for estimate in ours.values())
    assert seconds < 20


@pytest.mark.parametrize("unknown", [None, float("nan"), ""])
def test_rows_of_unknown_groups_are_groups_of_their_own(unknown):
    rows = np.arange(24.0)
    named = [f"P{i // 2}" if i < 12 else f"row {i}" for i in range(24)]
    given = [name if name.startswith("P") else unknown for name in named]
    assert intervals.interval(rows, np.mean, given) == intervals.interval(rows, np.mean, named)


def test_a_group_without_a_name_is_refused():
    with pytest.raises(DataError, match="group"):
        intervals.interval(np.arange(3.0), np.mean, [{}, {}, {}])
