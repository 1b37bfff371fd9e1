"""Clusters of appearance: planted stains are found, duplicates and encodings stay together."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from tests.tinted import draw_tinted

from eosin.data.appearance import N_FEATURES, cluster_by_appearance, measure_appearance


@pytest.fixture(scope="module")
def tinted():
    images, slides = draw_tinted(n_slides=12, n_images=12)
    return measure_appearance(images), slides


def test_planted_stains_are_recovered(tinted):
    features, slides = tinted
    assert adjusted_rand_score(slides, cluster_by_appearance(features, seed=0)) > 0.9


def test_clusters_depend_on_the_seed_alone(tinted):
    features, _ = tinted
    one, again, other = (cluster_by_appearance(features, seed=seed) for seed in (1, 1, 2))
    assert one.tolist() == again.tolist()
    assert sorted(set(other)) == list(range(other.max() + 1))


def test_duplicates_share_a_cluster_whatever_their_appearance(tinted):
    features, slides = tinted
    together = np.arange(len(features))
    ends = [0, len(features) - 1]
    together[ends] = 7777
    apart = cluster_by_appearance(features, seed=0)
    found = cluster_by_appearance(features, seed=0, together=together)
    assert slides[ends[0]] != slides[ends[1]]
    assert apart[ends[0]] != apart[ends[1]]
    assert found[ends[0]] == found[ends[1]]
    rest = slice(1, -1)  # no cluster is merged for the sake of two images
    assert adjusted_rand_score(slides[rest], found[rest]) > 0.9


def test_files_of_another_compression_are_another_cluster(tinted):
    features, _ = tinted
    alike = features[:60] * 0 + features[0]
    names = np.array(["JPEG a", "JPEG b"])[np.arange(60) % 2].tolist()
    found = cluster_by_appearance(alike, seed=0, encodings=names)
    assert adjusted_rand_score(np.arange(60) % 2, found) == 1.0
    # A few odd sizes, as of patches at the border of the tissue, are no sign of a slide.
    few = ["PNG 50x50"] * 58 + ["PNG 50x31", "PNG 17x50"]
    assert set(cluster_by_appearance(alike, seed=0, encodings=few)) == {0}


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("side", [1, 5, 300])
def test_plain_images_have_features(value, side):
    features = measure_appearance(np.full((3, side, side, 3), value, dtype=np.uint8))
    assert features.shape == (3, N_FEATURES)
    assert np.isfinite(features).all()
    assert cluster_by_appearance(features, seed=0).tolist() == [0, 0, 0]
