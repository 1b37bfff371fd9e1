"""The adjusted Rand index of the benchmark of clusters of appearance, against scikit-learn's."""

import numpy as np
import pytest
from benchmarks.appearance import adjusted_rand_index, kept_together
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import pair_confusion_matrix


@pytest.mark.parametrize("seed", range(5))
def test_partitions_are_compared_as_scikit_learn_does(seed):
    random = np.random.default_rng(seed)
    one = random.integers(0, 7, 200)
    other = np.where(random.random(200) < 0.2 * seed, random.integers(0, 9, 200), one + 3)
    assert adjusted_rand_index(one, other) == pytest.approx(adjusted_rand_score(one, other))
    (_, _), (apart, together) = pair_confusion_matrix(one, other)
    assert kept_together(one, other) == pytest.approx(together / (apart + together))


def test_equal_partitions_agree_whatever_their_names():
    names = np.array([0, 0, 1, 2, 2])
    assert adjusted_rand_index(names, 5 - names) == adjusted_rand_index(names * 0, names * 0) == 1.0
