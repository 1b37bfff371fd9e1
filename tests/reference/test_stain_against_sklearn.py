"""Vahadane's stain vectors against scikit-learn's dictionary learning, on real tissue."""

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import DictionaryLearning, sparse_encode

from eosin.stain import Vahadane
from eosin.stain.separation import haematoxylin_first, to_density

pytestmark = pytest.mark.data

LIMIT_DEG = 5.0
SPARSITY = 0.1
SIDE = 20
TILES = {
    "breakhis-200x-224": "**/*.png",
    "pcam": "train/1/*.jpg",
    "lc25000": "**/*.jpeg",
    "idc": "*/1/*.png",
}


@pytest.fixture(scope="module", params=TILES)
def tissue(request, data_root):
    """Some pixels of tissue of one real tile, as a tile, uint8, shape (20, 20, 3)."""
    paths = sorted((data_root / request.param).glob(TILES[request.param]))
    pixels = np.asarray(Image.open(paths[len(paths) // 2]).convert("RGB")).reshape(-1, 3)
    pixels = pixels[(to_density(pixels, 240.0) >= 0.15).all(axis=1)]
    chosen = np.linspace(0, len(pixels) - 1, SIDE * SIDE).astype(int)
    return pixels[chosen].reshape(SIDE, SIDE, 3)


def learn(density):
    """The reference solution: unit vectors of the same penalised problem, (N, 3) to (2, 3)."""
    learner = DictionaryLearning(
        n_components=2,
        alpha=SPARSITY,
        fit_algorithm="cd",
        positive_code=True,
        positive_dict=True,
        max_iter=300,
        tol=1e-9,
        random_state=0,
        dict_init=np.array([[0.6, 0.7, 0.4], [0.2, 0.9, 0.4]]),
        code_init=np.ones((len(density), 2)),
    )
    vectors = learner.fit(density).components_
    return haematoxylin_first(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def errors_of(density, vectors):
    """Squared error of the reconstruction, and the penalised one, by scikit-learn's own codes."""
    codes = sparse_encode(
        density, vectors, algorithm="lasso_cd", alpha=SPARSITY, positive=True, max_iter=10_000
    )
    squared = ((density - codes @ vectors) ** 2).sum()
    return squared, 0.5 * squared + SPARSITY * codes.sum()


def test_vahadane(tissue):
    density = to_density(tissue.reshape(-1, 3), 240.0).astype(np.float64)
    reference = learn(density)
    found = np.array(Vahadane(sparsity=SPARSITY).fit(tissue).reference_.stain_matrix)
    cosine = np.clip((found * reference).sum(axis=1), -1, 1)
    assert np.rad2deg(np.arccos(cosine)).max() <= LIMIT_DEG
    squared, penalised = errors_of(density, found)
    their_squared, their_penalised = errors_of(density, reference)
    assert squared <= 1.01 * their_squared
    assert penalised <= 1.001 * their_penalised
