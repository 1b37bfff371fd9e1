"""The threshold for a wanted recall, by hand."""

import numpy as np
import pytest

from eosin.core.errors import DataError
from eosin.metrics.predictions import Predictions
from eosin.metrics.summary import summarise
from eosin.metrics.thresholds import choose_threshold, choose_threshold_by_bound

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


def grouped(random, n_groups, n_rows=400, steps=200):
    """Images of patients who are easy or hard, class 1 positive, with ties among the scores."""
    groups = random.integers(0, n_groups, n_rows)
    targets = random.integers(0, 2, n_rows)
    hard = random.normal(0, 0.2, n_groups)[groups]
    scores = 0.35 + 0.3 * targets + hard + random.normal(0, 0.15, n_rows)
    scores = np.round(np.clip(scores, 0, 1) * steps) / steps
    probabilities = np.stack([1 - scores, scores], axis=1)
    return Predictions(probabilities, targets, targets, groups, 1, ("benign", "malignant"))


def lower_end(predictions, threshold):
    decided = (predictions.probabilities[:, 1] >= threshold).astype(int)
    evaluated = Predictions(
        predictions.probabilities, predictions.targets, decided, predictions.groups, 1
    )
    return summarise(evaluated, resamples=300, seed=7, names=("recall",))["recall"].low


@pytest.mark.parametrize(("seed", "n_groups"), [(0, 8), (1, 20), (2, 60)])
@pytest.mark.parametrize("at_once", [3, 256])
def test_the_lower_end_of_recall_reaches_the_target_at_the_highest_threshold(
    seed, n_groups, at_once
):
    predictions = grouped(np.random.default_rng(seed), n_groups)
    found = choose_threshold_by_bound(predictions, 0.8, resamples=300, seed=7, at_once=at_once)
    candidates = np.unique(predictions.probabilities[predictions.targets == 1, 1])
    enough = [one for one in candidates if (lower_end(predictions, one) or 0) >= 0.8]
    assert found == max(enough)
    own = predictions.probabilities[:, 1]
    assert found <= choose_threshold(own, predictions.targets == 1, 0.8)


def test_where_no_interval_reaches_the_target_there_is_no_threshold():
    random = np.random.default_rng(0)
    # To find all of them in every resample is to have no interval.
    assert choose_threshold_by_bound(grouped(random, 20), 1.0, resamples=200) is None
    assert choose_threshold_by_bound(grouped(random, 4), 0.5, resamples=200) is None
    benign = grouped(random, 20)
    benign = Predictions(
        benign.probabilities, np.zeros(400, int), np.zeros(400, int), benign.groups, 1
    )
    assert choose_threshold_by_bound(benign, 0.5, resamples=200) is None


def test_a_bound_needs_a_positive_class():
    table = np.full((4, 2), 0.5)
    predictions = Predictions(table, np.arange(4) % 2, np.arange(4) % 2, np.arange(4))
    with pytest.raises(DataError, match="positive class"):
        choose_threshold_by_bound(predictions, 0.9)
