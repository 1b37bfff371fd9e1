"""One change alone does what its name says."""

import numpy as np
import pytest

from eosin.augment import POLICIES, Policy
from eosin.core.errors import UnknownNameError

MATRIX_PRECISION = 1e-6  # float32
MANY = range(400)


def draw(**ranges):
    return Policy(source="test", **ranges).draw(0, 0, MANY)


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


def test_switching_one_change_on_leaves_the_others_be():
    shifted, both = draw(shift=0.1), draw(shift=0.1, flip_horizontal=True)
    np.testing.assert_array_equal(shifted[:, :, 2], both[:, :, 2])


@pytest.mark.parametrize(
    "ranges",
    [
        {"rotation_deg": 1.0},
        {"shift": 0.1},
        {"shear": 0.1},
        {"zoom": 0.1},
        {"flip_horizontal": True},
        {"flip_vertical": True},
        {"quarter_turns": True},
    ],
    ids=lambda ranges: next(iter(ranges)),
)
def test_a_policy_with_any_change_changes_something(ranges):
    assert not Policy(source="test", **ranges).changes_nothing


def test_an_unknown_policy_is_refused():
    with pytest.raises(UnknownNameError, match="no augmentation policy is called 'dihedrals'"):
        POLICIES.get("dihedrals")
