"""Square crops of a field: where they lie, and how they become one again."""

import numpy as np
import pytest
from pydantic import ValidationError

from eosin.artifacts.model import Preprocessing
from eosin.images.crops import average_crops, crop_origins, cut_crops, place_crops
from eosin.images.preprocess import make_preprocessing


def field(height, width, crop_px):
    changes = {"input_px": (height, width), "crop_px": crop_px}
    return make_preprocessing("unit", crop_px).model_copy(update=changes)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((147, 224, 128), [(0, 0), (0, 96), (19, 0), (19, 96)]),
        ((147, 224, 147), [(0, 0), (0, 77)]),
        ((10, 10, 10), [(0, 0)]),
        ((8, 20, 8), [(0, 0), (0, 6), (0, 12)]),
    ],
)
def test_the_fewest_crops_cover_the_field_evenly(sides, expected):
    assert crop_origins(field(*sides)) == expected


@pytest.mark.parametrize("sides", [(147, 224, 128), (63, 31, 9), (12, 9, 9)])
def test_every_pixel_is_in_a_crop_and_crops_lie_where_they_were_cut(sides):
    given = field(*sides)
    pixels = np.random.default_rng(0).normal(size=(1, 1, *given.input_px)).astype(np.float32)
    crops = cut_crops(pixels, given)
    assert crops.shape == (len(crop_origins(given)), 1, sides[2], sides[2])
    np.testing.assert_allclose(place_crops(crops[:, 0], given), pixels[0, 0], rtol=1e-6)


def test_the_mean_is_of_probabilities_image_by_image():
    given = field(8, 12, 8)
    first, second = np.log([[0.9, 0.1], [0.5, 0.5]]), np.log([[0.1, 0.9], [0.2, 0.8]])
    # The first crops of both images, then the second ones; a constant on logits changes nothing.
    logits = np.concatenate([first + 3.0, second - 7.0])
    np.testing.assert_allclose(np.exp(average_crops(logits, given)), [[0.5, 0.5], [0.35, 0.65]])


def test_whole_inputs_stay_as_they_are():
    whole = make_preprocessing("unit", 8)
    images, logits = np.zeros((2, 3, 8, 8), np.float32), np.ones((2, 2))
    assert crop_origins(whole) == [(0, 0)]
    assert cut_crops(images, whole) is images
    assert average_crops(logits, whole) is logits
    assert (whole.crop_px, whole.network_px) == (None, 8)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crop_px": 9}, "at most 8, got 9"),
        ({"input_px": (16384, 16384), "crop_px": 1}, "at most 256 crops, got 1"),
    ],
)
def test_a_crop_larger_than_the_field_and_millions_of_crops_are_refused(changes, said):
    values = field(8, 12, 8).model_dump()
    assert Preprocessing.model_validate(values).network_px == 8
    with pytest.raises(ValidationError, match=said):
        Preprocessing.model_validate({**values, **changes})
