"""One change alone does what its name says."""

from dataclasses import fields

import numpy as np
import pytest

from eosin.augment import POLICIES, Policy
from eosin.core.errors import UnknownNameError

MATRIX_PRECISION = 1e-6  # float32
MANY = range(400)


def draw(**ranges):
    return Policy(source="test", **ranges).draw(0, 0, MANY).affine


def test_a_rotation_is_a_rotation_within_its_range():
    drawn = draw(rotation_deg=30.0)
    linear = drawn[:, :, :2]
    angles = np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert np.abs(angles).max() <= 30.0 + MATRIX_PRECISION
    assert angles.min() < -25
    assert angles.max() > 25
    np.testing.assert_allclose(np.linalg.det(linear), 1.0, atol=MATRIX_PRECISION)
    assert not drawn[:, :, 2].any()


def test_a_shift_is_a_share_of_the_side():
    drawn = draw(shift=0.2)
    # Coordinates span 2: a fifth of the side is 0.4.
    assert np.abs(drawn[:, :, 2]).max() <= 0.4 + MATRIX_PRECISION
    assert (np.abs(drawn[:, :, 2]).max(axis=0) > 0.38).all()
    np.testing.assert_array_equal(drawn[:, :, :2], np.broadcast_to(np.eye(2), (400, 2, 2)))


def test_zoom_magnifies_from_one_minus_to_one_plus():
    drawn = draw(zoom=0.2)
    magnification = 1 / drawn[:, 0, 0]  # the matrix goes from output to input
    assert 0.8 - MATRIX_PRECISION <= magnification.min() < 0.82
    assert 1.18 < magnification.max() <= 1.2 + MATRIX_PRECISION
    np.testing.assert_array_equal(drawn[:, 0, 0], drawn[:, 1, 1])


def test_shear_slides_rows():
    drawn = draw(shear=0.2)
    assert 0.18 < np.abs(drawn[:, 0, 1]).max() <= 0.2 + MATRIX_PRECISION
    assert not drawn[:, 1, 0].any()


@pytest.mark.parametrize(("flip", "axis"), [("flip_horizontal", 0), ("flip_vertical", 1)])
def test_a_flip_mirrors_its_axis_every_second_time(flip, axis):
    drawn = draw(**{flip: True})
    assert set(drawn[:, axis, axis]) == {-1.0, 1.0}
    assert set(drawn[:, 1 - axis, 1 - axis]) == {1.0}
    # 400 tosses: within four standard deviations of a half.
    assert abs((drawn[:, axis, axis] < 0).mean() - 0.5) < 0.1


def test_a_crop_magnifies_and_stays_inside_the_image():
    drawn = draw(crop=0.3)
    side = drawn[:, 0, 0]
    assert 0.7 - MATRIX_PRECISION <= side.min() < 0.72
    assert 0.98 < side.max() <= 1
    np.testing.assert_array_equal(side, drawn[:, 1, 1])
    reach = np.abs(drawn[:, :, 2]) + side[:, None]
    assert reach.max() <= 1 + MATRIX_PRECISION
    assert (reach.max(axis=0) > 0.99).all()
    # Of what the other changes made: a turned image is cropped along its new sides.
    turned, both = draw(quarter_turns=True), draw(quarter_turns=True, crop=0.3)
    np.testing.assert_allclose(both[:, :, :2], turned[:, :, :2] * side[:, None, None], atol=1e-6)
    moved = np.einsum("bij,bj->bi", turned[:, :, :2], drawn[:, :, 2])
    np.testing.assert_allclose(both[:, :, 2], moved, atol=1e-6)


EVERY = {
    "rotation_deg": 1.0,
    "shift": 0.1,
    "shear": 0.1,
    "zoom": 0.1,
    "crop": 0.1,
    "flip_horizontal": True,
    "flip_vertical": True,
    "quarter_turns": True,
    "views": (((-1.0, 0.0), (0.0, 1.0)),),
    "stain_scale": 0.1,
    "stain_shift": 0.1,
    "contrast": 0.1,
    "saturation": 0.1,
    "hue_deg": 10.0,
    "grey": 0.1,
    "brightness": 0.1,
    "blur": 0.1,
    "gain": 0.1,
    "gamma": 0.1,
    "offset": 0.1,
    "function": lambda image, seed: image,
}


def test_switching_one_change_on_leaves_the_others_be():
    shifted, both = draw(shift=0.1), draw(shift=0.1, flip_horizontal=True)
    np.testing.assert_array_equal(shifted[:, :, 2], both[:, :, 2])
    alone = {"rotation_deg": 5.0, "blur": 1.0, "stain_scale": 0.1}
    before = Policy(source="test", **alone).draw(0, 0, MANY)
    for more in ({"brightness": 0.2}, {"crop": 0.2}, {"shift": 0.2}, {"stain_shift": 0.1}):
        after = Policy(source="test", **alone, **more).draw(0, 0, MANY)
        np.testing.assert_array_equal(after.blur, before.blur)
        if "crop" not in more:
            np.testing.assert_array_equal(after.affine[:, :, :2], before.affine[:, :, :2])
        np.testing.assert_array_equal(after.density[:, :, :3], before.density[:, :, :3])


def test_every_kind_of_change_is_named_here():
    assert ["source", *EVERY] == [field.name for field in fields(Policy)]


@pytest.mark.parametrize("kind", EVERY)
def test_a_policy_with_any_change_changes_something(kind):
    policy = Policy(source="test", **{kind: EVERY[kind]})
    assert not policy.changes_nothing
    drawn = policy.draw(0, 0, MANY)
    found = [getattr(drawn, field.name) for field in fields(drawn)]
    assert sum(one is not None for one in found) == 1


def test_an_unknown_policy_is_refused():
    with pytest.raises(UnknownNameError, match="'dihedrals'"):
        POLICIES.get("dihedrals")
