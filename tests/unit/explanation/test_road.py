"""ROAD: imputation solves its equations, and good maps beat random ones."""

import numpy as np
import pytest

from eosin.explanation.road import hide, impute, move, road, summarise

PX = 24
DIRECT, DIAGONAL = 1 / 6, 1 / 12


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def image(random):
    return random.integers(0, 255, (PX, PX + 3, 3)).astype(np.uint8)


def equations(image, hidden):
    """Solve for the hidden pixels with a dense matrix, one pixel after the other."""
    height, width = hidden.shape
    places = [tuple(place) for place in np.argwhere(hidden)]
    matrix, right = np.zeros((len(places), len(places))), np.zeros((len(places), 3))
    for number, (row, column) in enumerate(places):
        for other in np.ndindex(3, 3):
            near = row + other[0] - 1, column + other[1] - 1
            inside = 0 <= near[0] < height and 0 <= near[1] < width
            if near == (row, column) or not inside:
                continue
            weight = DIRECT if near[0] == row or near[1] == column else DIAGONAL
            matrix[number, number] += weight
            if hidden[near]:
                matrix[number, places.index(near)] -= weight
            else:
                right[number] += weight * image[near]
    return np.linalg.solve(matrix, right)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_hidden_pixel_is_the_weighted_mean_of_its_neighbours(image, random, share):
    hidden = random.random(image.shape[:2]) < share
    hidden[:6, :6] = True  # a hole at the corner
    found = impute(image, hidden)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[~hidden], image[~hidden])
    np.testing.assert_allclose(found[hidden], equations(image, hidden), atol=0.5 + 1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_imputation_agrees_with_pytorch_grad_cam(image, random):
    import torch

    from eosin.runtime.door import import_companion

    import_companion("torchvision")
    oracle = pytest.importorskip(
        "pytorch_grad_cam.metrics.road", reason="pytorch-grad-cam is the oracle of this test"
    )
    hidden = random.random(image.shape[:2]) < 0.6
    theirs = oracle.NoisyLinearImputer(noise=0)(
        torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1),
        torch.from_numpy((~hidden).astype(np.float32)),
    )
    found = impute(image, hidden)
    np.testing.assert_allclose(found, theirs.permute(1, 2, 0).numpy(), atol=0.51)


def test_noise_is_small_and_nothing_else_changes(image, random):
    hidden = np.zeros(image.shape[:2], bool)
    assert impute(image, hidden, random) is image
    hidden[5:15, 5:15] = True
    plain, noisy = impute(image, hidden), impute(image, hidden, random)
    np.testing.assert_array_equal(noisy[~hidden], image[~hidden])
    gap = (noisy.astype(int) - plain)[hidden]
    assert 1.5 < gap.std() < 3.5  # a hundredth of 255


def test_the_highest_scores_are_hidden(random):
    scores = random.random((10, 20))
    hidden = hide(scores, 0.3)
    assert hidden.sum() == 60
    assert scores[hidden].min() > scores[~hidden].max()


@pytest.mark.parametrize("shape", [(12, 12), (12, 20)])
def test_a_moved_map_has_the_same_values_at_other_places(random, shape):
    evidence = random.random(shape)
    for _ in range(8):
        moved = move(evidence, random)
        assert moved.shape == shape
        np.testing.assert_array_equal(np.sort(moved, axis=None), np.sort(evidence, axis=None))
        assert not np.array_equal(moved, evidence)


def predict(images):
    """Return logits of a model that sees how dark the left upper quarter is."""
    corner = images[:, : PX // 2, : PX // 2].astype(float).mean(axis=(1, 2, 3))
    score = (120 - corner) / 20
    return np.stack([-score, score], axis=1)


def measure(evidence, n_images=50):
    image = np.full((PX, PX, 3), 200, np.uint8)
    image[: PX // 2, : PX // 2] = 40
    draw = [np.random.default_rng(number) for number in range(n_images)]
    falls = [road(predict, image, evidence(one), 1, one) for one in draw]
    return summarise(falls, [f"P{number % 12}" for number in range(n_images)])


def corner(random):
    found = random.random((PX, PX)) / 100
    found[: PX // 2, : PX // 2] += 1
    return found


def test_a_map_of_what_the_model_uses_passes():
    found = measure(corner)
    assert (found.n_images, found.n_groups, found.passes) == (50, 12, True)
    assert found.fall.value > 0.2
    assert found.over_random.low > 0 < found.over_moved.low


def test_the_opposite_map_fails():
    assert measure(lambda random: -corner(random)).passes is False


def test_a_random_map_fails():
    found = measure(lambda random: random.random((PX, PX)))
    assert found.passes is False
    assert abs(found.over_random.value) < 0.05


def test_fewer_than_fifty_images_give_a_reason():
    found = measure(corner, 49)
    assert (found.fall.value, found.passes) == (None, None)
    assert "49" in found.fall.reason
    assert "50" in found.fall.reason
