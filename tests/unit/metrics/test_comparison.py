"""Paired differences, exchanges of whole groups, multiple ranges."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.grouped_sets import SCENARIOS, predict

from eosin.core.errors import DataError
from eosin.metrics.comparison import (
    delong,
    difference,
    differences_of_sets,
    draw,
    flip_test,
    holm,
    mcnemar,
    selection_optimism,
)
from eosin.metrics.predictions import Predictions
from eosin.metrics.range_tests import (
    BlockError,
    block_error,
    critical_ranges,
    homogeneous_letters,
)
from eosin.metrics.summary import summarise


def predictions(sharpness, *, groups=24, images=6, noise=0, shared=1.0):
    """A model of two classes; every group has an error of its own, of size ``shared``."""
    random = np.random.default_rng(1)
    group = np.repeat(np.arange(groups), images)
    target = np.arange(groups * images) % 2
    error = shared * random.normal(size=groups)[group] + random.normal(size=len(group))
    error += np.random.default_rng(100 + noise).normal(size=len(group))
    score = 1 / (1 + np.exp(-(sharpness * (target - 0.5) + error)))
    table = np.column_stack([1 - score, score])
    return Predictions(table, target, table.argmax(axis=1), group, positive=1)


def test_a_model_does_not_differ_from_itself():
    one = draw(predictions(2.0), ["auc", "accuracy"], resamples=200)
    gap = difference(one, one, "auc")
    assert (gap.value, gap.low) == (0.0, None)
    assert "identical in every resample" in gap.reason
    assert flip_test(one.predictions, one.predictions, ["auc", "accuracy"], flips=99) == {
        "auc": 1.0,
        "accuracy": 1.0,
    }


def test_a_difference_turned_round_is_its_opposite():
    names = ["auc", "accuracy", "recall"]
    one, other = (draw(predictions(s), names, resamples=300) for s in (3.0, 1.0))
    for name in names:
        there, back = difference(one, other, name), difference(other, one, name)
        assert there.value == -back.value > 0
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    there, back = (flip_test(a.predictions, b.predictions, names, flips=199) for a, b in
                   ((one, other), (other, one)))  # fmt: skip
    assert there == back


def some_groups(one, keep):
    rows = np.isin(one.groups, keep)
    return Predictions(
        one.probabilities[rows],
        one.targets[rows],
        one.predicted[rows],
        np.asarray(one.groups)[rows],
        positive=1,
    )


def test_sets_of_images_differ_as_models_do_where_their_groups_are_the_same():
    one, other = (predictions(sharpness) for sharpness in (3.0, 1.0))
    names = ["auc", "accuracy"]
    apart = differences_of_sets(one, other, names, resamples=300)
    paired = {
        name: difference(*(draw(p, names, resamples=300) for p in (one, other)), name)
        for name in names
    }
    assert apart == paired


def test_sets_without_a_common_group_vary_apart():
    one, other = predictions(2.0, shared=3.0), predictions(2.0, noise=1, shared=3.0)
    common = differences_of_sets(one, other, ["auc"])["auc"]
    half, rest = some_groups(one, range(12)), some_groups(other, range(12, 24))
    apart = differences_of_sets(half, rest, ["auc"])["auc"]
    assert apart.high - apart.low > 2 * (common.high - common.low)


def test_the_paired_interval_is_narrower_than_what_both_have_in_common():
    one, other = (draw(predictions(2.0, noise=n, shared=3.0), ["auc"]) for n in (0, 1))
    gap = difference(one, other, "auc")
    alone = np.quantile(one.samples["auc"], (0.025, 0.975))
    assert gap.high - gap.low < alone[1] - alone[0]


def pair_of_near_equals(n_groups, noise):
    """Two models of AUC near 0.98; the second's scores are the first's with noise of its own."""
    random = np.random.default_rng(3)
    first, _, targets, groups = SCENARIOS["alike"].draw(n_groups, random)
    second = first + noise * random.normal(size=len(first))
    names = ["auc", "accuracy", "brier", "mcc"]
    return [draw(predict(score, targets, groups), names) for score in (first, second)]


def width(gap):
    return gap.high - gap.low


def test_two_near_equal_models_differ_by_less_than_either_may_vary():
    one, other = pair_of_near_equals(30, 0.1)
    assert np.corrcoef(one.samples["auc"], other.samples["auc"])[0, 1] > 0.9
    gap, own = difference(one, other, "auc"), summarise(one.predictions, names=("auc",))["auc"]
    assert gap.low < 0 < gap.high
    # With one's low end against the other's high one, it was as wide as the interval of either.
    assert width(gap) < width(own) / 2


def test_the_interval_of_a_difference_vanishes_with_the_difference_of_the_models():
    coarse, fine = (pair_of_near_equals(60, noise) for noise in (0.2, 0.02))
    for name in coarse[0].points:
        assert width(difference(*fine, name)) < 0.5 * width(difference(*coarse, name)), name
    # Of probabilities alone, which move with any noise: the width falls as fast.
    finest = difference(*pair_of_near_equals(60, 0.002), "brier")
    assert 0 < width(finest) == pytest.approx(width(difference(*coarse, "brier")) / 100, rel=0.5)


def test_a_model_without_an_error_is_not_taken_for_surely_better():
    # One group of twelve has errors of one model alone: a patient more could turn the order.
    targets, groups = np.tile([0, 1], 60), np.arange(120) // 10
    right = np.where(targets == 1, 3.0, -3.0)
    wrong = np.where(groups == 5, -right, right)
    one, other = (draw(predict(score, targets, groups), ["accuracy"]) for score in (wrong, right))
    gap = difference(one, other, "accuracy")
    assert other.points["accuracy"] == 1
    assert gap.low < gap.value < 0 < gap.high


def test_pairs_of_other_rows_are_refused():
    one, other = predictions(2.0), predictions(2.0, images=4)
    with pytest.raises(DataError, match="same targets and groups"):
        flip_test(one, other, ["auc"])


def test_exchanging_whole_groups_keeps_the_level_where_mcnemar_does_not():
    # Which of two models is right hangs on the patient alone: 12 patients of 40 images are 12
    # tosses of a coin, not 480.
    random = np.random.default_rng(5)
    group = np.repeat(np.arange(12), 40)
    target = np.arange(len(group)) % 2
    rejected = {"flip": 0, "mcnemar": 0}
    for _ in range(200):
        first_wins = random.integers(0, 2, 12).astype(bool)[group]
        predicted = [np.where(wins, target, 1 - target) for wins in (first_wins, ~first_wins)]
        pair = [Predictions(np.eye(2)[each], target, each, group, positive=1) for each in predicted]
        p = flip_test(*pair, ["accuracy"], flips=199, seed=int(random.integers(2**31)))
        rejected["flip"] += p["accuracy"] < 0.05
        rejected["mcnemar"] += mcnemar(*(each == target for each in predicted)).mid < 0.05
    assert rejected["flip"] <= 18  # 5 % of 200, and three deviations more
    assert rejected["mcnemar"] > 100


def test_ranks_are_exchanged_not_scores():
    # The second model's probabilities are the first's on another scale: nothing differs.
    one = predictions(2.0)
    table = np.column_stack([1 - one.probabilities[:, 1] ** 3, one.probabilities[:, 1] ** 3])
    other = Predictions(table, one.targets, one.predicted, one.groups, positive=1)
    assert flip_test(one, other, ["auc"], flips=99)["auc"] == 1.0


def test_classes_without_a_positive_one_are_averaged():
    random = np.random.default_rng(0)
    table = random.dirichlet(np.ones(3), 90)
    target = np.arange(90) % 3
    one = Predictions(table, target, table.argmax(axis=1), np.arange(90) // 3)
    found = draw(one, ["auc", "recall"], resamples=10)
    recalls = [(table.argmax(axis=1) == target)[target == index].mean() for index in range(3)]
    assert found.points["recall"] == pytest.approx(np.mean(recalls))
    assert found.samples["auc"].shape == (10,)


def test_delong_needs_two_rows_of_each_class():
    with pytest.raises(DataError, match="got 1 and 3"):
        delong(np.arange(4.0), np.arange(4.0), np.array([True, False, False, False]))


def test_delong_of_the_same_scores_finds_nothing():
    scores = np.random.default_rng(0).normal(size=20)
    assert delong(scores, scores, scores > 0).p == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_letters_join_what_a_wider_range_does_not_part():
    # 1.0 and 0.2 differ, each from 0.6 does not.
    ranges = np.array([0.5, 0.7])
    assert homogeneous_letters([0.6, 1.0, 0.2], ranges) == ["ab", "a", "b"]
    assert homogeneous_letters([3.0, 2.0, 1.0], ranges) == ["a", "b", "c"]
    assert homogeneous_letters([1.0, 1.0, 1.0], np.zeros(2)) == ["a", "a", "a"]


def test_a_layout_of_one_block_has_no_error():
    with pytest.raises(DataError, match="two blocks"):
        block_error(np.array([[1.0, 2.0]]))


def test_duncan_is_bolder_than_tukey_and_more_so_between_neighbours():
    error = BlockError(1.0, 20)
    tukey, duncan = (critical_ranges(4, error, 4, method) for method in ("tukey", "duncan"))
    assert (duncan < tukey).all()
    assert (np.diff(duncan) > 0).all()
    assert len(set(tukey)) == 1


def test_choosing_the_best_of_equals_is_optimistic_and_of_a_clear_winner_is_not():
    equals = [draw(predictions(0.5, noise=n), ["auc"], resamples=500) for n in range(1, 7)]
    clear = [draw(predictions(sharpness), ["auc"], resamples=500) for sharpness in (0.0, 3.0)]
    one, several = (selection_optimism(equals[:n], "auc") for n in (2, 6))
    assert 0 < one < several
    assert abs(selection_optimism(clear, "auc")) < 0.01 < several


def test_the_optimism_is_that_of_the_resamples():
    draws = [draw(predictions(0.5, noise=n), ["auc"], resamples=50) for n in (1, 2)]
    chosen = [max(draws, key=lambda one, row=row: one.samples["auc"][row]) for row in range(50)]
    gaps = [one.samples["auc"][row] - one.points["auc"] for row, one in enumerate(chosen)]
    assert selection_optimism(draws, "auc") == pytest.approx(np.mean(gaps))
    undefined = [replace(draws[0], points={"auc": float("nan")}), draws[1]]
    assert selection_optimism(undefined, "auc") is None
