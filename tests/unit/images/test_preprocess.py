"""The network's input, by hand, and the same in training and prediction."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from eosin.artifacts.model import Planes, Window
from eosin.core.errors import ImageError
from eosin.images.preprocess import (
    make_preprocessing,
    normalise_stain,
    read_image,
    resize_image,
    to_bytes,
    to_input,
    to_thumbnail,
)
from eosin.stain import Macenko
from eosin.training.loader import InputScaling

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


def test_scaled_twice_is_almost_constant_and_scaled_once_is_not(images):
    # Keras' EfficientNetV2-B0: Rescaling(1 / 255), then ImageNet's normalisation.
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    keras = ((images / 255 / 255 - mean) / std).transpose(0, 3, 1, 2)
    twice = to_input(images, make_preprocessing("imagenet_twice", 8))
    np.testing.assert_allclose(twice, keras, atol=SINGLE_PRECISION)
    once = to_input(images, make_preprocessing("imagenet", 8))
    spans = [made.max(axis=(0, 2, 3)) - made.min(axis=(0, 2, 3)) for made in (twice, once)]
    assert (spans[0] < 0.02).all()
    assert (spans[1] > 4).all()


@pytest.mark.parametrize("style", ["unit", "centred", "caffe", "imagenet_twice"])
def test_training_prepares_the_same_to_the_bit(images, style):
    preprocessing = make_preprocessing(style, 8)
    prepared = InputScaling(preprocessing)(torch.from_numpy(images)).numpy()
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


@pytest.mark.parametrize("turned", [False, True])
def test_a_centre_crop_drops_the_edges_of_the_longer_side(turned):
    rng = np.random.default_rng(RNG_SEED)
    image = rng.integers(0, 256, (460, 700, 3), dtype=np.uint8)  # BreakHis
    expected = Image.fromarray(image[:, 120:580]).resize((224, 224), Image.Resampling.BILINEAR)
    image, expected = (a.transpose(1, 0, 2) if turned else a for a in (image, np.asarray(expected)))
    made = resize_image(image, make_preprocessing("unit", 224, resize="centre_crop"))
    np.testing.assert_allclose(made.astype(int), expected, atol=1)  # Pillow rounds each direction


@pytest.mark.parametrize(
    ("sides", "field"), [((5, 4), (4, 4)), ((4, 9), (4, 4)), ((1, 700), (1, 1)), ((8, 8), (8, 8))]
)
def test_the_centre_crop_of_any_size_is_a_square(sides, field):
    image = np.arange(np.prod(sides) * 2, dtype=np.uint16).reshape(*sides, 2)
    preprocessing = make_preprocessing("unit", field[0], resize="centre_crop")
    top, left = ((side - own) // 2 for side, own in zip(sides, field, strict=True))
    expected = image[top : top + field[0], left : left + field[1]]
    np.testing.assert_array_equal(resize_image(image, preprocessing), expected)


def test_a_model_that_does_not_resize_refuses_another_size(images):
    fixed = make_preprocessing("unit", 8).model_copy(update={"resize": "none"})
    with pytest.raises(ImageError, match="the model takes 8 × 8 pixels, got 5 × 4"):
        resize_image(images[0], fixed)


COUNTS = np.random.default_rng(RNG_SEED).integers(0, 5000, (2, 6, 6, 2), dtype=np.uint16)
WINDOW = Window(low=(100.0, 0.0), high=(1100.0, 51.0), percentiles=(1.0, 99.0))


def fluorescence(window=WINDOW, chosen=(2, 0), input_px=6):
    planes = Planes(chosen=chosen, n_stored=3, bits=16, window=window)
    return make_preprocessing("unit", input_px, channels=("tubulin", "DNA"), planes=planes)


def test_a_window_spreads_counts_over_bytes():
    counts = np.array([[[0, 0], [100, 17], [600, 51], [1100, 52], [65_535, 65_535]]], np.uint16)
    made = to_bytes(counts, fluorescence())
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made[0, :, 0], [0, 0, 128, 255, 255])
    np.testing.assert_array_equal(made[0, :, 1], [0, 85, 255, 255, 255])


@pytest.mark.parametrize("bits", [8, 16])
def test_without_a_window_the_range_of_the_type_is_spread(bits):
    top = 2**bits - 1
    window = Window(low=(0.0,), high=(float(top),), percentiles=None)
    planes = Planes(chosen=(0,), n_stored=1, bits=bits, window=window)
    preprocessing = make_preprocessing("unit", 6, channels=("actin",), planes=planes)
    counts = np.arange(top + 1, dtype=f"uint{bits}")[:, None]
    expected = np.rint(counts / (1 if bits == 8 else 257))
    np.testing.assert_array_equal(to_bytes(counts, preprocessing), expected)


def test_a_window_of_one_count_makes_no_division_by_nothing():
    flat = Window(low=(7.0, 7.0), high=(7.0, 7.0), percentiles=(1.0, 99.0))
    made = to_bytes(np.full((1, 1, 2), 8, np.uint16), fluorescence(flat))
    np.testing.assert_array_equal(made, np.full((1, 1, 2), 255))


def test_counts_without_a_window_are_refused():
    with pytest.raises(ValueError, match="not fitted"):
        to_bytes(COUNTS, fluorescence(window=None))


def test_brightfield_has_no_window(images):
    np.testing.assert_array_equal(to_bytes(images, make_preprocessing("unit", 8)), images)


def test_the_chosen_channels_come_in_their_order(tmp_path):
    values = np.random.default_rng(1).integers(0, 1200, (3, 6, 6), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    preprocessing = fluorescence()
    read = read_image(tmp_path / "a.tif", None, preprocessing)
    expected = to_bytes(np.stack([values[2], values[0]], axis=-1), preprocessing)
    np.testing.assert_array_equal(read, expected)
    assert to_input(read[None], preprocessing).shape == (1, 2, 6, 6)


@pytest.mark.parametrize(
    ("shape", "dtype", "result"),
    [
        ((6, 6), np.uint16, "has 1 channel of 16 bits; 3 channels of 16 bits are needed"),
        ((3, 6, 6), np.uint8, "has 3 channels of 8 bits; 3 channels of 16 bits are needed"),
    ],
)
def test_other_channels_and_depths_are_refused_by_name(tmp_path, shape, dtype, result):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, dtype), photometric="minisblack")
    with pytest.raises(ImageError, match=result + r" \(the network sees tubulin, DNA\)"):
        read_image(tmp_path / "a.tif", None, fluorescence())


def test_counts_are_resized_as_floats_are():
    counts = np.random.default_rng(2).integers(0, 65_536, (9, 7, 2), dtype=np.uint16)
    resized = resize_image(counts, fluorescence(input_px=5))
    assert resized.dtype == np.uint16
    for channel in range(2):
        plane = Image.fromarray(counts[..., channel].astype(np.float32))
        wanted = np.asarray(plane.resize((5, 5), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(resized[..., channel], wanted, atol=0.5)


def test_imagenet_s_means_in_fluorescence_are_those_of_grey():
    planes = Planes(chosen=(1,), n_stored=3, bits=16)
    with pytest.raises(ValueError, match="blue, green and red"):
        make_preprocessing("caffe", 6, channels=("DNA",), planes=planes)
    colour = make_preprocessing("imagenet", 6)
    grey = make_preprocessing("imagenet", 6, channels=("DNA",), planes=planes)
    assert grey.mean == pytest.approx((np.mean(colour.mean),), abs=5e-4)
    assert grey.std == pytest.approx((np.mean(colour.std),), abs=5e-4)


def test_pictures_to_look_at(images):
    np.testing.assert_array_equal(to_thumbnail(images[0], make_preprocessing("unit", 8)), images[0])
    channels = np.zeros((2, 2, 2), np.uint8)
    channels[0, 0] = (255, 0)
    channels[1, 1] = (0, 255)
    thumbnail = to_thumbnail(channels, fluorescence())
    assert thumbnail.shape == (2, 2, 3)
    assert thumbnail[0, 0].argmax() == 2  # the first dye shows blue
    assert thumbnail[1, 1].argmax() == 0  # the second red
    assert not thumbnail[0, 1].any()
    assert (to_thumbnail(channels[..., :1], fluorescence())[0, 0] == 255).all()


def test_normalising_leaves_what_it_was_given_alone():
    density = np.random.default_rng(0).gamma(2.0, 0.2, (2, 40, 40, 2))
    images = (240 * np.exp(-density @ [[0.6, 0.7, 0.3], [0.1, 0.9, 0.2]])).astype(np.uint8)
    reference = (
        Macenko()
        .fit(images[0])
        .reference_.model_copy(update={"stain_matrix": ((0.5, 0.8, 0.3), (0.2, 0.9, 0.4))})
    )
    stained = make_preprocessing("unit", 40).model_copy(update={"stain": reference})
    before = images.copy()
    images.flags.writeable = False
    for some in (images, images[:1]):
        done = normalise_stain(some, stained)
        assert (done.images != some).any()
        assert done.reasons == ("",) * len(some)
    assert (images == before).all()
    # A stack's images as each by itself, black ones apart.
    stack = np.concatenate([images, np.zeros_like(images), images[::-1]], axis=-1)
    together = normalise_stain(stack, stained).images
    alone = normalise_stain(images, stained).images
    assert (together[..., :3] == alone).all()
    assert not together[..., 3:6].any()
    assert (together[..., 6:] == alone[::-1]).all()
