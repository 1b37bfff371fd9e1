"""Philox against its published vectors; the numbers are even and independent."""

import numpy as np
import pytest
from scipy import stats

from eosin.augment.drawing import philox, uniform
from eosin.core.seeding import derive_seed

MANY = 20_000
COUNT = 8
UNLIKELY = 1e-3  # of a p-value; the numbers never change, so that one look settles it
FOUR_DEVIATIONS = 4 / np.sqrt(MANY)  # of a correlation between independent columns


@pytest.fixture(scope="module")
def drawn():
    return uniform(derive_seed(0, "augment", 0), np.arange(MANY), COUNT)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_the_known_answers_of_philox_4x32_10(counter, key, words):
    found = philox(np.array(counter, dtype=np.uint64), key)
    assert " ".join(f"{word:08x}" for word in found) == words


def test_numbers_do_not_depend_on_the_company():
    together = uniform(5, np.array([7, 3, 1 << 33, 9]), 6)
    np.testing.assert_array_equal(together[2:3], uniform(5, np.array([1 << 33]), 6))
    np.testing.assert_array_equal(together[:, :3], uniform(5, np.array([7, 3, 1 << 33, 9]), 3))


def test_high_words_of_index_and_seed_count():
    low = uniform(5, np.array([1]), 4)
    assert not np.isin(uniform(5, np.array([1 + (1 << 32)]), 4), low).any()
    assert not np.isin(uniform(5 + (1 << 32), np.array([1]), 4), low).any()


def test_numbers_lie_inside_the_open_interval(drawn):
    assert drawn.shape == (MANY, COUNT)
    assert drawn.min() > 0
    assert drawn.max() < 1
    assert len(np.unique(drawn)) > 0.9999 * drawn.size


@pytest.mark.parametrize("column", range(COUNT))
def test_each_number_is_uniform(drawn, column):
    counts = np.bincount((drawn[:, column] * 64).astype(int), minlength=64)
    assert stats.chisquare(counts).pvalue > UNLIKELY
    assert stats.kstest(drawn[:, column], "uniform").pvalue > UNLIKELY


def test_the_numbers_of_an_image_are_independent(drawn):
    correlation = np.corrcoef(drawn.T)[~np.eye(COUNT, dtype=bool)]
    assert np.abs(correlation).max() < FOUR_DEVIATIONS
    pairs = np.histogram2d(drawn[:, 0], drawn[:, 1], bins=16, range=[[0, 1]] * 2)[0]
    assert stats.chisquare(pairs.ravel()).pvalue > UNLIKELY


def test_neighbouring_images_and_epochs_are_independent(drawn):
    following = uniform(derive_seed(0, "augment", 1), np.arange(MANY), COUNT)
    for column in range(COUNT):
        one = drawn[:, column]
        assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < FOUR_DEVIATIONS
        assert abs(np.corrcoef(one, following[:, column])[0, 1]) < FOUR_DEVIATIONS
