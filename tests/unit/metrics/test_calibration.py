"""Calibration against hand-worked numbers."""

import numpy as np
import pytest
from scipy.special import softmax

from eosin import metrics
from eosin.core.errors import DataError


def value(name, targets, table, positive=None):
    rows = np.arange(len(targets))
    given = metrics.Predictions(table, targets, table.argmax(axis=1), rows, positive)
    return metrics.measure_values(given, (name,))[name]


def test_brier_by_hand():
    table = np.array([[0.8, 0.2], [0.3, 0.7]])
    # Squared errors of class 1: 0.2² and 0.3²; over both classes twice that.
    assert value("brier", np.array([0, 1]), table, positive=1) == pytest.approx(0.065)
    assert value("brier", np.array([0, 1]), table) == pytest.approx(0.13)


def test_ece_by_hand():
    # Two bins: confidences 0.9 (one of two right) and 0.6 (right).
    table = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]])
    targets = np.array([0, 0, 0])
    assert value("ece", targets, table) == pytest.approx((abs(1.8 - 1) + abs(0.6 - 1)) / 3)


def test_reliability_bins_add_up_to_the_ece():
    random = np.random.default_rng(1)
    table = softmax(random.normal(size=(200, 2)), axis=1)
    targets = random.integers(0, 2, 200)
    bins = metrics.reliability_bins(targets, table)
    assert bins.weight.sum() == 200
    assert np.isnan(bins.confidence[:7]).all()  # the larger of two is at least one half
    gaps = bins.weight * np.abs(bins.confidence - bins.accuracy)
    assert np.nansum(gaps) / 200 == pytest.approx(value("ece", targets, table), abs=1e-12)
    inside = bins.weight > 0
    assert (bins.confidence[inside] <= bins.edges[1:][inside]).all()
    assert (bins.confidence[inside] > bins.edges[:-1][inside]).all()


def test_certainty_falls_into_the_last_bin():
    bins = metrics.reliability_bins(np.array([0, 1]), np.eye(2))
    assert bins.weight.tolist() == [0.0] * 14 + [2.0]


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_data_is_found(true):
    random = np.random.default_rng(2)
    logits = random.normal(0, 2, (20_000, 3))
    table = softmax(logits / true, axis=1)
    targets = (random.random((20_000, 1)) > table.cumsum(axis=1)).sum(axis=1).clip(max=2)
    assert metrics.fit_temperature(logits, targets) == pytest.approx(true, rel=0.05)


def test_temperature_stays_one_where_there_is_nothing_to_fit():
    assert metrics.fit_temperature(np.empty((0, 2)), np.array([], dtype=int)) == 1.0
    assert metrics.fit_temperature(np.ones((3, 2)), np.array([1, 1, 1])) == 1.0


def test_temperature_stays_within_its_bounds():
    targets = np.tile([0, 1], 500)
    sharp = np.eye(2)[targets] * 0.1
    assert metrics.fit_temperature(-sharp * 1e4, targets) == pytest.approx(10, rel=1e-3)
    assert 0.1 <= metrics.fit_temperature(sharp, targets) < 0.2


def test_few_groups_hold_the_temperature_near_one():
    # Forty images that are told apart without an error: of forty patients, or of two.
    targets = np.tile([0, 1], 20)
    logits = np.eye(2)[targets]
    many = metrics.fit_temperature(logits, targets)
    few = metrics.fit_temperature(logits, targets, n_groups=2)
    assert many < few < 1
    assert few > 0.6


def test_a_temperature_moves_no_rank_even_where_probabilities_saturate():
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 400)
    logits = np.column_stack([np.zeros(400), 20 * (random.normal(size=400) + targets)])
    plain, sharp = metrics.softmax(logits, 1.0), metrics.softmax(logits, 0.2)
    assert (sharp[:, 1] == 1.0).sum() > 50
    expected = value("auc", targets, metrics.softmax(logits, 50.0), positive=1)
    for table in (plain, sharp):
        assert value("auc", targets, table, positive=1) == pytest.approx(expected, abs=1e-12)


def test_softmax_survives_large_logits():
    table = metrics.softmax(np.array([[1000.0, 0.0], [-1000.0, -1000.0]]), 2.0)
    assert table == pytest.approx(np.array([[1.0, 0.0], [0.5, 0.5]]))


def test_refusals():
    with pytest.raises(DataError, match="above 0, got 0"):
        metrics.softmax(np.zeros((1, 2)), 0.0)
    with pytest.raises(DataError, match="finite"):
        metrics.fit_temperature(np.array([[np.inf, 0.0]]), np.array([0]))
    with pytest.raises(DataError, match="must be between 0 and 1"):
        metrics.reliability_bins(np.array([0]), np.array([[2.0, -1.0]]))
    with pytest.raises(DataError, match="one row of numbers per target"):
        metrics.reliability_bins(np.array([0, 1]), np.array([[0.5, 0.5]]))
