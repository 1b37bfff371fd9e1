"""Whatever comes, an image comes back: normalised, or as it was with a reason."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eosin.core.errors import DataError
from eosin.stain import METHODS
from eosin.stain.sampling import REASONS

NAMES = sorted(METHODS)


def plain(*colour, size=40):
    return np.full((size, size, 3), colour, dtype=np.uint8)


def spotted(tile, colour, share):
    """The tile with its first rows in another colour."""
    changed = tile.copy()
    changed[: int(share * len(tile))] = colour
    return changed


def noise(low, high, shape=(40, 40, 3)):
    return np.random.default_rng(0).integers(low, high, shape, dtype=np.uint8)


def clipped_tissue():
    """Overexposed: red and blue are cut off at 255, and only green still tells."""
    tile = noise(0, 150)
    tile[..., ::2] = 255
    return tile


LEFT_ALONE = {
    "white": (plain(255, 255, 255), "no tissue"),
    "grey of a white lamp": (noise(228, 245), "no tissue"),
    "black": (plain(0, 0, 0), "one colour"),
    "pink": (plain(220, 130, 170), "one colour"),
    "red": (plain(255, 0, 0), "one colour"),
    "nearly empty": (spotted(noise(228, 245, (100, 100, 3)), (120, 60, 140), 0.01), "no tissue"),
    "one pixel": (plain(120, 60, 140, size=1), "one colour"),
    "one white pixel": (plain(250, 250, 250, size=1), "no tissue"),
    "four pixels": (
        np.array([[[150, 90, 160]] * 2, [[200, 120, 180]] * 2], np.uint8),
        "too little tissue",
    ),
    "nothing": (np.zeros((0, 8, 3), dtype=np.uint8), "no tissue"),
    "overexposed": (clipped_tissue(), "saturated"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", LEFT_ALONE)
def test_an_image_without_a_stain_comes_back_with_the_reason(fitted, name, case):
    tile, reason = LEFT_ALONE[case]
    tile = tile.astype(np.uint8)
    images, reasons = fitted[name].apply(tile)
    assert images.tobytes() == tile.tobytes()
    assert images.shape == tile.shape
    assert reasons == (reason,)
    with pytest.raises(DataError, match=reason):
        METHODS.get(name)().fit(tile)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pen", [(30, 60, 200), (20, 140, 60), (220, 25, 30), (12, 10, 14)])
def test_a_pen_marked_tile_is_left_alone_even_with_its_slide_s_stain(fitted, tissue, name, pen):
    marked = spotted(tissue[0], pen, 0.1)
    source = fitted[name].estimate(tissue[:2])
    for sources in (None, [source]):
        images, reasons = fitted[name].apply(marked, sources)
        assert reasons == ("pen marks",)
        assert np.array_equal(images, marked)


@pytest.mark.parametrize("name", ["macenko", "vahadane"])
def test_one_stain_is_not_taken_for_two(fitted, name):
    # Eosin alone, in all strengths.
    amount = np.linspace(0.2, 2.0, 1600).reshape(40, 40, 1)
    tile = (240 * np.exp(-amount * np.array([0.25, 0.9, 0.35]))).astype(np.uint8)
    images, reasons = fitted[name].apply(tile)
    assert reasons == ("no two stains",)
    assert np.array_equal(images, tile)


@st.composite
def tiles(draw):
    """Random and adversarial tiles: noise, plain, two colours, gradients, tiny, extreme."""
    shape = (draw(st.integers(1, 24)), draw(st.integers(1, 24)), 3)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    colours = rng.integers(0, 256, (2, 3))
    colours = np.where(rng.random((2, 3)) < 0.3, rng.choice([0, 255], (2, 3)), colours)
    kind = draw(st.sampled_from(["noise", "plain", "two", "gradient", "extreme", "faint", "grey"]))
    share = {
        "noise": rng.random(shape),
        "plain": np.zeros(shape),
        "two": rng.integers(0, 2, (*shape[:2], 1)),
        "gradient": np.linspace(0, 1, shape[0] * shape[1]).reshape(*shape[:2], 1),
        "extreme": rng.integers(0, 2, shape),
        "faint": 0.03 * rng.random(shape),
        "grey": rng.random((*shape[:2], 1)),
    }[kind]
    if kind == "extreme":
        colours = np.array([[0, 0, 0], [255, 255, 255]])
    if kind == "grey":
        colours = colours[:, :1].repeat(3, axis=1)
    return (colours[0] + share * (colours[1] - colours[0])).round().astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=120)
@given(tile=tiles(), sources=st.booleans())
def test_any_tile_comes_back_in_shape_and_kind(fitted, tissue, name, tile, sources):
    # Any warning of NumPy's would be an error here.
    given_sources = [fitted[name].estimate(tissue[0])] if sources else None
    with np.errstate(all="raise", under="ignore"):
        images, (reason,) = fitted[name].apply(tile, given_sources)
    assert (images.shape, images.dtype) == (tile.shape, np.uint8)
    assert reason in ("", *REASONS)
    assert not reason or np.array_equal(images, tile)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(batch=st.lists(tiles(), min_size=1, max_size=4))
def test_a_batch_is_each_tile_alone(fitted, tissue, name, batch):
    fitting = [np.resize(tile, (24, 24, 3)) for tile in batch]
    stack = np.stack([*fitting, tissue[0, :24, :24]])
    images, reasons = fitted[name].apply(stack)
    alone = [fitted[name].apply(tile) for tile in stack]
    assert reasons == tuple(one.reasons[0] for one in alone)
    assert np.array_equal(images, np.stack([one.images for one in alone]))
