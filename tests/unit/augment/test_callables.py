"""Augmentation by a user's own function, or by another library's transform."""

import random
import warnings

import numpy as np
import pytest
import torch
from tests.facts import tells

from eosin.augment import Policy, augment_bytes
from eosin.augment.callables import as_function
from eosin.core.errors import TrainingError
from eosin.runtime.door import import_companion
from eosin.training.loader import augment

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


def with_generator(image, generator):
    return image + generator.integers(0, 99, image.shape, dtype=np.uint8)


def with_global_state(image):
    noise = np.random.randint(0, 50) + random.randint(0, 50)  # noqa: NPY002, S311
    return image + np.uint8(noise) + torch.randint(0, 50, (1,)).numpy().astype(np.uint8)


def of_torchvision():
    v2 = import_companion("torchvision.transforms.v2")
    return v2.Compose([v2.RandomHorizontalFlip(), v2.ColorJitter(brightness=0.5)])


def of_albumentations(monkeypatch):
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        albumentations = pytest.importorskip("albumentations")
    return albumentations.Compose(
        [albumentations.HorizontalFlip(), albumentations.RandomBrightnessContrast(p=1.0)]
    )


@pytest.fixture(params=["generator", "global state", "torchvision", "albumentations"])
def policy(request, monkeypatch):
    """A policy of each kind of callable, all of which draw."""
    transform = {
        "generator": lambda: with_generator,
        "global state": lambda: with_global_state,
        "torchvision": of_torchvision,
        "albumentations": lambda: of_albumentations(monkeypatch),
    }[request.param]()
    return Policy(source="a test", function=as_function(transform, "mine"))


def draw(policy, rows, seed=1, epoch=0):
    return augment_bytes(IMAGES[rows], policy.draw(seed, epoch, rows))


def test_images_depend_on_seed_epoch_and_index_alone(policy):
    whole = draw(policy, [0, 1, 2, 3])
    assert whole.dtype == np.uint8
    assert not np.array_equal(whole, IMAGES)
    np.testing.assert_array_equal(draw(policy, [2, 0]), whole[[2, 0]])
    assert not np.array_equal(draw(policy, [0, 1, 2, 3], epoch=1), whole)
    assert not np.array_equal(draw(policy, [0, 1, 2, 3], seed=2), whole)
    assert not policy.changes_nothing


def test_nobody_else_s_generator_moves(policy):
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    original = IMAGES.copy()
    draw(policy, [0, 1])
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    np.testing.assert_array_equal(IMAGES, original)


def test_own_ranges_come_first():
    inverted = as_function(lambda image: 255 - image, "inverted")
    policy = Policy(source="a test", flip_horizontal=True, function=inverted)
    plain = Policy(source="a test", flip_horizontal=True)
    np.testing.assert_array_equal(draw(policy, [0, 1]), 255 - draw(plain, [0, 1]))


def test_a_batch_in_training_is_changed_alike(policy):
    index = torch.tensor([0, 3])
    found = augment(torch.from_numpy(IMAGES[[0, 3]]), policy, (1, 0), index)
    np.testing.assert_array_equal(found.numpy(), draw(policy, [0, 3]))


@pytest.mark.parametrize(
    ("function", "facts"),
    [
        (lambda image: image / 255, ["uint8", "float64"]),
        (lambda image: image[:4], ["(16, 16, 3)", "(4, 16, 3)"]),
        (lambda image: image.lacking, ["AttributeError", "lacking"]),
    ],
    ids=["type", "shape", "failure"],
)
def test_what_is_no_image_is_refused_by_the_policy_s_name(function, facts):
    policy = Policy(source="a test", function=as_function(function, "mine"))
    with pytest.raises(TrainingError) as caught:
        draw(policy, [0])
    assert tells(str(caught.value), "'mine'", *facts)
