"""Each change does what its name says, more so with the severity, and leaves the rest."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter

from eosin.evaluation.corruptions import CORRUPTIONS, SEVERITIES


def tissue(side=96):
    """Smooth colours with texture, as of a stained section, uint8 (H, W, 3)."""
    random = np.random.default_rng(0)
    coarse = gaussian_filter(random.normal(size=(side, side, 3)), (6, 6, 0))
    fine = gaussian_filter(random.normal(size=(side, side, 3)), (1, 1, 0))
    values = 170 + 25 * coarse / coarse.std() + 15 * fine / fine.std()
    return np.clip(values, 0, 255).astype(np.uint8)


def changed(name, severity, image=None, seed=0):
    image = tissue() if image is None else image
    return CORRUPTIONS[name].change(image, severity, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_severity_changes_more_than_the_one_before(name):
    image = tissue().astype(float)
    gaps = [np.abs(changed(name, severity) - image).mean() for severity in SEVERITIES]
    assert gaps[0] > 0
    assert np.all(np.diff(gaps) > 0)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_form_and_random_numbers(name):
    image = tissue()
    before = image.copy()
    found = changed(name, 3)
    assert (found.dtype, found.shape) == (np.uint8, image.shape)
    np.testing.assert_array_equal(found, changed(name, 3))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", ["noise", "elastic"])
def test_other_random_numbers_give_another_image(name):
    assert (changed(name, 3, seed=1) != changed(name, 3, seed=2)).any()


@pytest.mark.parametrize("name", ["stain", "scale", "gamma"])
def test_both_directions_occur(name):
    light = {
        np.sign(int((changed(name, 5, seed=seed).astype(int) - tissue()).sum()))
        for seed in range(20)
    }
    assert light == {-1, 1} or name == "scale"
    assert len({changed(name, 5, seed=seed).tobytes() for seed in range(20)}) == (
        4 if name == "stain" else 2
    )


def test_stain_scales_the_dyes_alone():
    unit = np.array([0.65, 0.70, 0.29]) / np.linalg.norm([0.65, 0.70, 0.29])
    amounts = np.linspace(0.1, 0.7, 64)[:, None, None]
    image = np.round(256 * np.exp(-amounts * unit) - 1).astype(np.uint8)
    ratios = set()
    for seed in range(20):
        found = changed("stain", 3, image, seed)
        density = -np.log((found.astype(float) + 1) / 256)
        ratios.add(round(float(np.median(density @ unit / amounts[..., 0])), 1))
    assert ratios == {0.7, 1.3}


def test_blur_is_opencv_s():
    image = tissue(224)
    expected = cv2.GaussianBlur(image, (25, 25), 1.5, borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(changed("blur", 3, image).astype(int) - expected).max() <= 1


def test_jpeg_is_pillow_s_file():
    stream = io.BytesIO()
    PillowImage.fromarray(tissue()).save(stream, "JPEG", quality=30)
    np.testing.assert_array_equal(changed("jpeg", 3), np.asarray(PillowImage.open(stream)))


def test_noise_has_its_deviation():
    grey = np.full((200, 200, 3), 128, dtype=np.uint8)
    assert changed("noise", 5, grey).std() == pytest.approx(25, rel=0.02)


def test_scale_magnifies_about_the_centre():
    image = np.zeros((101, 101, 3), dtype=np.uint8)
    image[40:61, 40:61] = 255  # a square of 21 pixels
    sides = {
        round(np.sqrt((changed("scale", 5, image, seed)[..., 0] / 255.0).sum()))
        for seed in range(20)
    }
    assert sides == {17, 25}
    assert changed("scale", 5, image)[50, 50].tolist() == [255] * 3


def test_gamma_keeps_black_and_white():
    ends = np.array([[[0, 0, 0], [255, 255, 255], [128, 128, 128]]], dtype=np.uint8)
    greys = {changed("gamma", 5, ends, seed)[0, 2, 0] for seed in range(20)}
    assert greys == {round(255 * (128 / 255) ** 1.5), round(255 * (128 / 255) ** (1 / 1.5))}
    assert changed("gamma", 5, ends)[0, :2].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_deformation_moves_places_by_what_it_says():
    """A ramp shows by how many pixels each of its places moved."""
    side = 250
    ramp = np.broadcast_to(np.arange(side, dtype=np.uint8)[None, :, None], (side, side, 3))
    moved = changed("elastic", 5, np.ascontiguousarray(ramp)).astype(int) - ramp
    assert moved[25:-25, 25:-25].std() == pytest.approx(0.01 * side, rel=0.15)
