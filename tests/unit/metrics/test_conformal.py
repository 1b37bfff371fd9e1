"""When to abstain: what the sets promise, on grouped data, and when the promise is refused."""

from fractions import Fraction

import numpy as np
import pytest

from eosin.core.errors import DataError
from eosin.metrics.conformal import calibrate, groups_needed, prediction_sets

NAMES = ("benign", "malignant")
ALPHA = 0.1


def naive_quantile(scores, groups, alpha):
    """Weigh every image in exact fractions, one at a time."""
    n_groups = len(set(groups))
    for candidate in sorted(scores):
        weight = Fraction(0)
        for score, group in zip(scores, groups, strict=True):
            if score <= candidate:
                weight += Fraction(1, (n_groups + 1) * list(groups).count(group))
        if weight >= 1 - alpha:
            return candidate
    return None


@pytest.mark.parametrize("seed", range(6))
def test_the_quantile_is_that_of_a_naive_count(seed):
    random = np.random.default_rng(seed)
    # Sixteenths tie often, and groups are of 1 to some 12 images and of both classes.
    malignant = random.integers(0, 17, 150) / 16
    targets, groups = random.integers(0, 2, 150), random.integers(0, 22, 150) ** 2 // 22
    probabilities = np.stack([1 - malignant, malignant], axis=1)
    for alpha in (Fraction(1, 10), Fraction(1, 5), Fraction(9, 20)):
        found = calibrate(probabilities, targets, groups, NAMES, float(alpha))
        for index, name in enumerate(NAMES):
            own = targets == index
            expected = naive_quantile(1 - probabilities[own, index], groups[own], alpha)
            assert found.quantiles[name] == expected
            assert found.n_groups[name] == len(set(groups[own]))


def simulate(random, repetitions, n_groups, n_images):
    """Draw one class: a patient is easy or hard, and so are its images; of hard ones are few.

    Returns:
        Probability of the label, shape (repetitions, groups, images), and whether the image is
        there, of the same shape: of a hard patient the first two.
    """
    patient = random.normal(1.5, 1.5, (repetitions, n_groups, 1))
    image = random.normal(0.0, 0.5, (repetitions, n_groups, n_images))
    there = (patient > 1.5) | (np.arange(n_images) < 2)
    return 1 / (1 + np.exp(-patient - image)), there


def mean_coverage(quantiles, unseen):
    """Share of unseen patients' images whose label is in the set: mean and error of the mean."""
    covered = np.searchsorted(np.sort(1 - unseen.ravel()), quantiles, side="right") / unseen.size
    return covered.mean(), covered.std() / np.sqrt(len(quantiles))


@pytest.mark.parametrize("n_groups", [9, 25])
def test_a_new_patient_is_covered_and_image_by_image_is_not(n_groups):
    repetitions, n_images = 400, 12
    random = np.random.default_rng(n_groups)
    unseen = {name: simulate(random, 1, 20_000, 1)[0] for name in NAMES}
    drawn = [simulate(random, repetitions, n_groups, n_images) for _ in NAMES]
    targets = np.repeat([0, 1], n_groups * n_images)
    patients = np.repeat(np.arange(2 * n_groups), n_images)
    images = np.arange(len(targets))
    by_patient, by_image = ({name: [] for name in NAMES} for _ in range(2))
    for repetition in range(repetitions):
        right, there = (
            np.concatenate([part[which][repetition].ravel() for part in drawn]) for which in (0, 1)
        )
        malignant = np.where(targets == 1, right, 1 - right)
        probabilities = np.stack([1 - malignant, malignant], axis=1)[there]
        for groups, kept in ((patients, by_patient), (images, by_image)):
            rule = calibrate(probabilities, targets[there], groups[there], NAMES, ALPHA)
            for name in NAMES:
                kept[name].append(rule.quantiles[name])
    for name in NAMES:
        covered, error = mean_coverage(np.array(by_patient[name]), unseen[name])
        assert 1 - ALPHA - 3 * error <= covered <= 1 - ALPHA + 1 / n_groups + 3 * error
        naive, error = mean_coverage(np.array(by_image[name]), unseen[name])
        assert naive < 1 - ALPHA - 0.05


def test_a_patient_with_many_images_weighs_no_more():
    # Nineteen patients with one good image each; the twentieth has a thousand bad ones.
    right = np.append(np.full(19, 0.9), np.full(1000, 0.1))
    groups = np.append(np.arange(19), np.full(1000, 19))
    probabilities = np.stack([1 - right, right], axis=1)
    both = np.concatenate([probabilities, probabilities[:, ::-1]])
    targets = np.repeat([1, 0], len(right))
    by_patient = calibrate(both, targets, np.tile(groups, 2), NAMES, ALPHA)
    assert by_patient.quantiles == pytest.approx(dict.fromkeys(NAMES, 0.1))
    by_image = calibrate(both, targets, np.arange(len(both)), NAMES, ALPHA)
    assert by_image.quantiles == pytest.approx(dict.fromkeys(NAMES, 0.9))


@pytest.mark.parametrize(("alpha", "needed"), [(0.1, 9), (0.05, 19), (0.2, 4), (0.3, 3), (0.49, 2)])
def test_too_few_groups_of_a_class_are_refused_by_name(alpha, needed):
    assert groups_needed(alpha) == needed
    assert alpha >= 1 / (needed + 1) - 1e-12
    assert alpha < 1 / needed
    for n_benign in (needed, needed - 1):
        targets = np.repeat([0, 1], [n_benign, 30])
        probabilities = np.full((len(targets), 2), 0.5)
        rule = calibrate(probabilities, targets, np.arange(len(targets)), NAMES, alpha)
        assert rule.n_groups == {"benign": n_benign, "malignant": 30}
        if n_benign == needed:
            assert rule.quantiles == {"benign": 0.5, "malignant": 0.5}
            assert rule.reason is None
        else:
            assert rule.quantiles is None
            assert rule.reason.startswith(f"{n_benign} group")
            assert f"of 'benign', but alpha {alpha:g} needs {needed} of each class" in rule.reason


def test_a_set_holds_what_is_probable_enough_in_its_own_class():
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75], [0.125, 0.875]])
    sets = prediction_sets(probabilities, [0.25, 0.5])
    # Benign takes 0.75, malignant 0.5.
    assert sets.tolist() == [[False, True], [True, False], [False, True], [False, True]]
    assert prediction_sets(probabilities, [0.1, 0.1]).sum(axis=1).tolist() == [0, 0, 0, 0]
    assert prediction_sets(probabilities, [0.9, 0.9]).sum(axis=1).tolist() == [2, 2, 2, 2]


def test_tables_that_do_not_fit_are_refused():
    table = np.full((3, 2), 0.5)
    with pytest.raises(DataError, match="alpha"):
        calibrate(table, np.zeros(3, int), np.arange(3), NAMES, 0.0)
    with pytest.raises(DataError, match="one group per row"):
        calibrate(table, np.zeros(3, int), np.arange(2), NAMES, 0.1)
