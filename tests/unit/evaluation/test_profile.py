"""What is measured of an image as the network sees it."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from eosin.core.types import Samples
from eosin.evaluation.drift import measure_images
from eosin.images.spacing import MOST_MEASURED, choose_some


def stained(dose, seed=0):
    """Speckled tissue that absorbs red, green and blue 1 : 2 : 1, as much as ``dose`` says."""
    amount = dose * np.random.default_rng(seed).uniform(0.5, 1.5, (48, 48, 1))
    light = 255 * np.exp(-amount * np.array([0.25, 0.5, 0.25]))
    return light.round().astype(np.uint8)


def test_a_stain_has_a_colour_whatever_its_dose():
    pale, dark = (measure_images(stained(dose)[None]) for dose in (1.5, 3.0))
    for found in (pale, dark):
        assert found["stain_red"] == pytest.approx([0.25], abs=0.01)
        assert found["stain_blue"] == pytest.approx([0.25], abs=0.01)
    assert dark["red"] < pale["red"]
    assert dark["contrast"] > pale["contrast"]
    assert dark["saturation"] > pale["saturation"]
    # Glass has none.
    glass = measure_images(np.full((1, 16, 16, 3), 240, np.uint8))
    assert np.isnan(glass["stain_red"]).all()
    assert np.isnan(glass["focus"]).all()


def test_blur_lowers_the_focus_and_little_else():
    sharp = stained(2.0)
    soft = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(1)))
    found = measure_images(np.stack([sharp, soft]))
    assert found["focus"][1] < found["focus"][0] - 1
    assert found["red"][1] == pytest.approx(found["red"][0], abs=1)


def test_fluorescence_has_light_a_channel_in_place_of_colour():
    images = np.random.default_rng(0).integers(0, 100, (3, 24, 24, 2)).astype(np.uint8)
    images[..., 1] += 100
    found = measure_images(images, ("DNA", "actin"))
    assert found.keys() == {"light of DNA", "light of actin", "focus"}
    assert found["light of DNA"] == pytest.approx(images[..., 0].mean(axis=(1, 2)))
    assert found["light of actin"] == pytest.approx(found["light of DNA"] + 100, abs=5)


def test_a_bundle_is_the_mean_of_the_images_that_it_has():
    one, other = stained(1.0), stained(3.0)
    missing = np.zeros_like(one)
    stack = np.concatenate([one, missing, other], axis=2)[None]
    single = measure_images(np.stack([one, other]))
    for name, values in measure_images(stack).items():
        assert values == pytest.approx([single[name].mean()])


def test_a_selection_takes_from_all_groups_in_turn():
    groups = np.array(["large"] * 3000 + [f"small {place}" for place in range(100)] * 5)
    frame = pd.DataFrame({"path": np.arange(len(groups)).astype(str), "group": groups})
    chosen = choose_some(Samples(frame, None, ()))
    assert len(chosen) == MOST_MEASURED
    counts = chosen.frame["group"].value_counts()
    assert counts["large"] == MOST_MEASURED - 500
    assert (counts.drop("large") == 5).all()
    assert len(choose_some(chosen)) == MOST_MEASURED
