"""The threshold for a wanted recall, by hand."""

import numpy as np
import pytest

from eosin.core.errors import DataError
from eosin.metrics import choose_threshold

SCORES = np.array([0.9, 0.8, 0.8, 0.7, 0.6, 0.95, 0.1])
POSITIVE = np.array([1, 1, 1, 1, 1, 0, 0], dtype=bool)


@pytest.mark.parametrize(
    ("target", "threshold"),
    [(0.2, 0.9), (0.21, 0.8), (0.4, 0.8), (0.6, 0.8), (0.8, 0.7), (0.9, 0.6), (1.0, 0.6)],
)
def test_highest_threshold_that_reaches_the_recall(target, threshold):
    assert choose_threshold(SCORES, POSITIVE, target) == threshold


def test_nine_of_ten_is_ninety_percent():
    assert choose_threshold(np.arange(10) / 10, np.ones(10, dtype=bool), 0.9) == 0.1


def test_it_holds_on_random_scores():
    random = np.random.default_rng(0)
    for _ in range(50):
        scores, positive = random.integers(0, 9, 40) / 8, random.random(40) < 0.4
        cut = choose_threshold(scores, positive, 0.75)
        assert (scores[positive] >= cut).mean() >= 0.75
        assert (scores[positive] > cut).mean() < 0.75


def test_no_positive_row_gives_none():
    assert choose_threshold(SCORES, np.zeros(7, dtype=bool)) is None
    assert choose_threshold(np.array([]), np.array([], dtype=bool)) is None


@pytest.mark.parametrize("target", [0.0, 1.01])
def test_a_recall_out_of_range_is_refused(target):
    with pytest.raises(DataError, match="target_recall"):
        choose_threshold(SCORES, POSITIVE, target)
