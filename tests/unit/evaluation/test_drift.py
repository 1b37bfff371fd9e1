"""Drift: a difference counts where it is large and beyond what groups of one source show."""

import numpy as np
import pytest

from eosin.artifacts.profile import Profile
from eosin.evaluation.drift import compare, compare_profiles, describe_values


def drawn(seed, n_groups, each=20, *, between=1.0, shift=0.0):
    """Numbers of images of groups that differ by ``between`` standard deviations."""
    random = np.random.default_rng(seed)
    centres = random.normal(100 + 10 * shift, 10 * between, n_groups)
    values = (centres[:, None] + random.normal(0, 10, (n_groups, each))).ravel()
    return describe_values(values, np.repeat(np.arange(n_groups), each))


def test_each_group_has_the_same_say():
    values = np.array([0.0] * 900 + [10.0, 10.0])
    groups = np.array(["big"] * 900 + ["a", "b"])
    found = describe_values(values, groups)
    assert found.mean == pytest.approx(20 / 3)
    assert found.n_images == 902
    assert found.n_groups == 3
    assert found.quantiles[25] == 0.0
    assert found.quantiles[75] == 10.0


def test_quantiles_of_groups_of_one_are_those_of_numpy():
    values = np.random.default_rng(0).normal(size=1001)
    found = describe_values(values, np.arange(1001))
    expected = np.quantile(values, np.linspace(0, 1, 101), method="hazen")
    np.testing.assert_allclose(found.quantiles, expected, atol=2e-6)


def test_what_is_undefined_is_left_out():
    assert describe_values(np.full(3, np.nan), np.arange(3)) is None
    assert describe_values(np.array([1.0, np.nan, 3.0]), np.arange(3)).n_images == 2


def test_a_moved_distribution_is_as_far_as_it_was_moved():
    mine, theirs = drawn(0, 200), drawn(0, 200, shift=3)
    found = compare("red", mine, theirs)
    assert found.distance == pytest.approx(30 / mine.spread, rel=1e-3)
    assert found.verdict == "far off"
    assert found.beyond > 0.4
    assert compare("red", mine, mine).distance == 0
    assert compare("red", mine, mine).beyond == pytest.approx(0.02, abs=0.001)


def test_groups_of_one_source_rarely_alarm_however_few_they_are():
    for n_training, n_outside in ((6, 2), (15, 15), (60, 1)):
        shifts = [
            compare("red", drawn(seed, n_training, 8), drawn(1000 + seed, n_outside, 8))
            for seed in range(200)
        ]
        assert np.mean([one.verdict != "as in training" for one in shifts]) <= 0.01
        if n_outside < 3:
            # By the distance alone most of them would.
            assert np.mean([one.distance >= 0.5 for one in shifts]) > 0.5


def test_too_few_groups_to_tell_give_numbers_and_no_verdict():
    found = compare("red", drawn(0, 2), drawn(1, 50, shift=9))
    assert found.chance is None
    assert found.verdict == "not judged"
    assert found.distance > 1


def test_a_difference_too_small_to_see_is_none_however_alike_the_training_is():
    mine = describe_values(np.full(30, 100.0), np.arange(30))
    assert compare("red", mine, describe_values(np.full(30, 101.0), np.arange(30))).verdict == (
        "as in training"
    )
    assert compare("red", mine, describe_values(np.full(30, 104.5), np.arange(30))).verdict == (
        "far off"
    )


def test_another_size_alone_is_never_far_off():
    mine, theirs = (describe_values(np.full(9, side), np.arange(9)) for side in (96.0, 960.0))
    assert compare("side_px", mine, theirs).verdict == "shifted"
    assert compare("side_px", mine, mine).verdict == "as in training"


def test_the_worst_quantity_speaks_for_all():
    def profile(red, focus):
        appearance = {"red": drawn(0, 50, shift=red), "focus": drawn(1, 50, shift=focus)}
        return Profile(measured="brightfield", appearance=appearance, classes={"a": 1.0})

    assert compare_profiles(profile(0, 0), profile(0, 0)).verdict == "as in training"
    found = compare_profiles(profile(0, 0), profile(0, 9))
    assert found.verdict == "far off"
    assert {name: one.verdict for name, one in found.shifts.items()} == {
        "red": "as in training",
        "focus": "far off",
    }
    nothing = Profile(measured="features", appearance={}, classes={"a": 1.0})
    assert compare_profiles(nothing, nothing).verdict == "not judged"
