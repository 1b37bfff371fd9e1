"""What a network is trained on is what it is given in prediction, to the bit."""

import numpy as np
import pytest
import torch

from eosin.augment import POLICIES, augment_bytes
from eosin.images.preprocess import make_preprocessing, to_input
from eosin.training.loader import InputScaling, augment, crop_randomly


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 10, 6, 3), dtype=np.uint8)


def preprocessings():
    unit = make_preprocessing("unit", 8)
    return {
        "unit": unit,
        "centred": make_preprocessing("centred", 8),
        "caffe": make_preprocessing("caffe", 8),
        "neither RGB nor BGR": unit.model_copy(update={"channels": ("G", "B", "R")}),
        "all differ": unit.model_copy(
            update={"channels": ("B", "G", "R"), "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
        ),
    }


@pytest.mark.parametrize("name", preprocessings())
def test_training_scales_as_prediction_does(name, images):
    preprocessing = preprocessings()[name]
    before = images.copy()
    scaled = InputScaling(preprocessing)(torch.from_numpy(images))
    np.testing.assert_array_equal(scaled.numpy(), to_input(images, preprocessing))
    np.testing.assert_array_equal(images, before)


def test_channels_lie_last_in_memory(images):
    scaled = InputScaling(make_preprocessing("unit", 8))(torch.from_numpy(images))
    assert scaled.is_contiguous(memory_format=torch.channels_last)


def test_augmentation_comes_before_scaling_and_follows_the_index(images):
    preprocessing = make_preprocessing("caffe", 8)
    scale = InputScaling(preprocessing)
    policy = POLICIES.get("default")
    index = torch.tensor([9, 2, 5, 0])
    found = scale(augment(torch.from_numpy(images), policy, (3, 1), index))
    moved = augment_bytes(images, policy.draw(3, 1, [9, 2, 5, 0]))
    np.testing.assert_array_equal(found.numpy(), to_input(moved, preprocessing))
    other = scale(augment(torch.from_numpy(images), policy, (3, 2), index))
    assert not torch.equal(found, other)


def test_without_a_policy_images_stay(images):
    given = torch.from_numpy(images)
    assert torch.equal(augment(given, POLICIES.get("none"), (0, 0), torch.arange(4)), given)


def test_random_crops_follow_seed_epoch_and_index_alone(images):
    given, index = torch.from_numpy(images), torch.tensor([9, 2, 5, 0])
    found = crop_randomly(given, 5, (3, 1), index)
    assert found.shape == (4, 5, 5, 3)
    alone = crop_randomly(given[2:3], 5, (3, 1), index[2:3])
    assert torch.equal(found[2:3], alone)
    assert not torch.equal(found, crop_randomly(given, 5, (3, 2), index))
    assert not torch.equal(found, crop_randomly(given, 5, (4, 1), index))
    assert torch.equal(crop_randomly(given, None, (3, 1), index), given)


def test_random_crops_reach_every_place_equally_often():
    places = torch.arange(4 * 7).reshape(1, 4, 7, 1).repeat(6000, 1, 1, 1)
    corners = crop_randomly(places, 3, (0, 0), torch.arange(6000))[:, 0, 0, 0]
    counts = torch.bincount(corners, minlength=28).reshape(4, 7)
    assert (counts[:2, :5] > 500).all()
    assert counts[:2, :5].sum() == 6000
