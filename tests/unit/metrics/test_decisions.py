"""What decisions are worth: predictive values and net benefit, by hand."""

import numpy as np
import pytest

from eosin.core.errors import DataError
from eosin.metrics.predictions import Predictions
from eosin.metrics.thresholds import net_benefit, summarise_predictive_values

TOLERANCE = 1e-12


def predictions(tp, fn, tn, fp, n_groups=10):
    """Images with these counts, class 1 positive, dealt out to groups in turn."""
    targets = np.repeat([1, 0], [tp + fn, tn + fp])
    predicted = np.repeat([1, 0, 0, 1], [tp, fn, tn, fp])
    return Predictions(
        probabilities=np.eye(2)[predicted] * 0.8 + 0.1,
        targets=targets,
        predicted=predicted,
        groups=np.random.default_rng(0).integers(0, n_groups, len(targets)),
        positive=1,
        class_names=("benign", "malignant"),
    )


def test_predictive_values_at_a_stated_prevalence():
    # Recall 0.9, specificity 0.8. Of 1000 women of whom 1 % are ill: 9 of 10 found, and 198 of
    # 990 called in vain.
    found = summarise_predictive_values(predictions(90, 10, 80, 20), 0.01, resamples=200)
    assert found["ppv"].value == pytest.approx(9 / (9 + 198), abs=TOLERANCE)
    assert found["npv"].value == pytest.approx(792 / (792 + 1), abs=TOLERANCE)
    for name in ("ppv", "npv"):
        assert found[name].low < found[name].value < found[name].high


def test_at_the_prevalence_of_the_images_ppv_is_precision():
    found = summarise_predictive_values(predictions(60, 20, 15, 5), 0.8, resamples=100)
    assert found["ppv"].value == pytest.approx(60 / 65, abs=TOLERANCE)
    assert found["npv"].value == pytest.approx(15 / 35, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("counts", "name", "reason"),
    [
        ((0, 50, 50, 0), "ppv", "nothing was predicted as 'malignant'"),
        ((50, 0, 0, 50), "npv", "nothing was predicted as 'benign'"),
        ((40, 10, 0, 0), "ppv", "no image of 'benign'"),
        ((0, 0, 40, 10), "npv", "no image of 'malignant'"),
    ],
)
def test_what_is_undefined_says_why(counts, name, reason):
    found = summarise_predictive_values(predictions(*counts), 0.3, resamples=100)[name]
    assert (found.value, found.low, found.reason) == (None, None, reason)


def test_net_benefit_by_hand():
    # Ten images, four positive. From 0.2: 3 found and 2 in vain, each worth 0.2 / 0.8 = 1 / 4.
    scores = np.array([0.9, 0.6, 0.2, 0.1, 0.7, 0.2, 0.15, 0.1, 0.05, 0.0])
    positive = np.arange(10) < 4
    model, everyone = net_benefit(scores, positive, np.array([0.2, 0.5, 0.75]))
    np.testing.assert_allclose(
        model, [(3 - 2 / 4) / 10, (2 - 1) / 10, (1 - 0) / 10], atol=TOLERANCE
    )
    np.testing.assert_allclose(
        everyone, [(4 - 6 / 4) / 10, (4 - 6) / 10, (4 - 6 * 3) / 10], atol=TOLERANCE
    )


def test_numbers_out_of_range_are_refused():
    with pytest.raises(DataError, match="prevalence"):
        summarise_predictive_values(predictions(5, 5, 5, 5), 1.2)
    with pytest.raises(DataError, match="between 0 and 1"):
        net_benefit(np.array([0.5]), np.array([True]), np.array([1.0]))
    with pytest.raises(DataError, match="shape"):
        net_benefit(np.array([0.5]), np.array([True, False]), np.array([0.5]))
