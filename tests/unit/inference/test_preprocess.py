"""The network's input, by hand, and the same in training and prediction."""

import numpy as np
import pytest
import torch
from PIL import Image

from eosin.augment import POLICIES
from eosin.core.errors import ImageError
from eosin.inference.preprocess import make_preprocessing, resize_image, to_input
from eosin.recipe.schema import TrainSection
from eosin.training.module import ClassifierModule, Task

SINGLE_PRECISION = 1e-5  # of values up to 255, in float32
RNG_SEED = 0


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(RNG_SEED).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)


def test_unit_is_a_255th(images):
    made = to_input(images, make_preprocessing("unit", 8))
    assert made.shape == (3, 3, 5, 4)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made[1, 2], images[1, :, :, 2] / 255, atol=SINGLE_PRECISION)
    assert made.min() >= 0
    assert made.max() <= 1


def test_centred_goes_from_minus_one_to_one(images):
    made = to_input(images, make_preprocessing("centred", 8))
    expected = images[1, :, :, 0] / 127.5 - 1
    np.testing.assert_allclose(made[1, 0], expected, atol=SINGLE_PRECISION)


def test_caffe_is_blue_first_and_minus_imagenet_s_means(images):
    made = to_input(images, make_preprocessing("caffe", 8))
    for channel, (rgb, mean) in enumerate([(2, 103.939), (1, 116.779), (0, 123.68)]):
        expected = images[:, :, :, rgb] - mean
        np.testing.assert_allclose(made[:, channel], expected, atol=SINGLE_PRECISION)


@pytest.mark.parametrize("style", ["unit", "centred", "caffe"])
def test_training_prepares_the_same_to_the_bit(images, style):
    preprocessing = make_preprocessing(style, 8)
    task = Task(
        preprocessing=preprocessing,
        policy=POLICIES.get("none"),
        class_weights=np.ones(2),
        positive=1,
        evaluations=1,
        seed=0,
    )
    module = ClassifierModule(torch.nn.Flatten(), TrainSection(), task)
    prepared = module.prepare(torch.from_numpy(images)).numpy()
    np.testing.assert_array_equal(prepared, to_input(images, preprocessing))


def test_an_image_of_the_right_size_is_left_alone(images):
    assert resize_image(images[0], make_preprocessing("unit", 8)).shape == (8, 8, 3)
    square = np.ascontiguousarray(images[0, :4])
    assert resize_image(square, make_preprocessing("unit", 4)) is square


def test_resizing_is_bilinear_and_stretches():
    image = np.zeros((2, 4, 3), dtype=np.uint8)
    image[:, 2:] = 200
    resized = resize_image(image, make_preprocessing("unit", 8))
    expected = Image.fromarray(image).resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resized, np.asarray(expected))
    assert len(np.unique(resized)) > 2  # between the two greys, unlike nearest neighbour


def test_a_model_that_does_not_resize_refuses_another_size(images):
    fixed = make_preprocessing("unit", 8).model_copy(update={"resize": "none"})
    with pytest.raises(ImageError, match="the model takes 8 × 8 pixels, got 5 × 4"):
        resize_image(images[0], fixed)
