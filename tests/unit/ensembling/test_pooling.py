"""One model out of several that read images otherwise: windows, means, order of channels, size."""

from types import SimpleNamespace

import numpy as np
import pytest
from tests.facts import tells

from eosin.artifacts.metrics import Threshold
from eosin.artifacts.model import Planes, Window
from eosin.ensembling.pooling import find_rescale, join_preprocessing, mean_threshold
from eosin.images.preprocess import make_preprocessing, to_bytes, to_input

#: Half a step of the ensemble's 8 bits, stretched to the narrower window of a member.
ROUNDING = 1.0
SINGLE_PRECISION = 1e-6  # of the range of the input, in float32


def preprocessing(low, high, style="unit"):
    window = Window(low=low, high=high, percentiles=(0.1, 99.9))
    planes = Planes(chosen=(0, 1), n_stored=2, bits=16, window=window)
    return make_preprocessing(style, 8, channels=("a", "b"), planes=planes)


def test_the_mean_threshold_claims_the_bound_that_all_members_reached():
    reached = Threshold(value=0.2, source="val", target_recall=0.9, bound="lower")
    missed = Threshold(value=0.4, source="val", target_recall=0.9, reason="no interval reaches 0.9")
    found = mean_threshold([SimpleNamespace(threshold=one) for one in (reached, missed)], "both")
    assert (found.value, found.source) == (pytest.approx(0.3), "mean of both")
    assert found.bound == "point"
    assert tells(found.reason, "1 of 2 members", "0.9")
    near_duplicates = mean_threshold([SimpleNamespace(threshold=reached)] * 2, "both")
    assert (near_duplicates.bound, near_duplicates.reason) == ("lower", None)


def test_the_widest_window_of_each_channel():
    joined = join_preprocessing(
        [preprocessing((10.0, 5.0), (90.0, 80.0)), preprocessing((20.0, 4.0), (99.0, 70.0))]
    )
    assert joined.planes.window.low == (10.0, 4.0)
    assert joined.planes.window.high == (99.0, 80.0)


def test_members_that_read_alike_share_their_preprocessing():
    own = make_preprocessing("caffe", 8)
    assert join_preprocessing([own, own]) is own
    assert find_rescale(own, own) is None


def test_the_largest_input_is_read_and_normalises():
    small, large = make_preprocessing("unit", 8), make_preprocessing("centred", 16)
    assert join_preprocessing([small, large]) is large
    assert find_rescale(make_preprocessing("centred", 8), large) is None


def test_each_member_cuts_its_own_crops():
    sizes = {"input_px": (10, 16), "crop_px": 8}
    field = make_preprocessing("unit", 8).model_copy(update=sizes)
    square = make_preprocessing("unit", 8)
    assert join_preprocessing([field, field]) is field
    joined = join_preprocessing([square, field])
    assert (joined.input_px, joined.crop_px) == ((10, 16), None)
    assert find_rescale(field, joined) is None


@pytest.mark.parametrize("own_style", ["unit", "imagenet", "caffe"])
@pytest.mark.parametrize("style", ["centred", "caffe"])
def test_a_member_gets_its_own_normalisation(own_style, style):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    own, joined = make_preprocessing(own_style, 8), make_preprocessing(style, 8)
    rescale = find_rescale(own, joined)
    shared, wanted = to_input(images, joined), to_input(images, own)
    seen = shared if rescale is None else rescale(shared)
    np.testing.assert_allclose(seen, wanted, rtol=0, atol=SINGLE_PRECISION * np.ptp(wanted))


def test_a_member_sees_what_its_own_window_shows():
    counts = np.random.default_rng(0).integers(0, 1200, (2, 8, 8, 2), dtype=np.uint16)
    for own_style, style in (("unit", "unit"), ("centred", "centred"), ("centred", "unit")):
        own = preprocessing((100.0, 50.0), (900.0, 1000.0), own_style)
        joined = preprocessing((80.0, 20.0), (1000.0, 1100.0), style)
        shared = to_input(to_bytes(counts, joined), joined)
        seen = find_rescale(own, joined)(shared)
        wanted = to_input(to_bytes(counts, own), own)
        step = wanted.max() - wanted.min()
        np.testing.assert_allclose(seen, wanted, atol=ROUNDING * step / 255 * 1.2)
        assert seen.min() >= wanted.min() - 1e-6
        assert seen.max() <= wanted.max() + 1e-6
