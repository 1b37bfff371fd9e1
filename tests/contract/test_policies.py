"""Every augmentation policy through one suite."""

import numpy as np
import pytest

from eosin.augment import POLICIES, warp_bytes

SINGLE_PRECISION = 1e-5  # of matrices in float32, after an inverse
NAMES = sorted(POLICIES)
MANY = range(300)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(50, 200, (6, 16, 16, 3), dtype=np.uint8)


def apply(name, images, *, epoch=0, seed=0):
    return warp_bytes(images, POLICIES.get(name).draw(seed, epoch, range(len(images))))


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_is_a_pure_function_of_seed_epoch_and_index(name):
    policy = POLICIES.get(name)
    first = policy.draw(3, 5, MANY)
    np.random.default_rng().random(3)
    np.testing.assert_array_equal(first, policy.draw(3, 5, MANY))
    if not policy.changes_nothing:
        assert not np.array_equal(first, policy.draw(4, 5, MANY))
        assert not np.array_equal(first, policy.draw(3, 6, MANY))
        assert len(np.unique(first, axis=0)) > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_does_not_depend_on_the_batch(name):
    policy = POLICIES.get(name)
    together = policy.draw(0, 1, [7, 2, 9])
    np.testing.assert_array_equal(together[::-1], policy.draw(0, 1, [9, 2, 7]))
    np.testing.assert_array_equal(together[1:2], policy.draw(0, 1, np.array([2])))


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_types_stay(name, images):
    drawn = POLICIES.get(name).draw(0, 0, range(6))
    assert drawn.shape == (6, 2, 3)
    assert drawn.dtype == np.float32
    changed = apply(name, images)
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    # Interpolated and reflected: no grey that was not there.
    assert changed.min() >= images.min()
    assert changed.max() <= images.max()


@pytest.mark.parametrize("name", NAMES)
def test_every_image_of_an_epoch_keeps_its_declared_ranges(name):
    policy = POLICIES.get(name)
    drawn = policy.draw(1, 2, MANY).astype(np.float64)
    linear, offset = drawn[:, :, :2], drawn[:, :, 2]
    assert np.abs(offset).max() <= 2 * policy.shift + SINGLE_PRECISION
    determinant = np.linalg.det(linear)
    magnification = np.abs(determinant) ** -0.5
    assert np.abs(magnification - 1).max() <= policy.zoom + SINGLE_PRECISION
    # Turn, then shear, then mirror: QR takes them apart, up to signs.
    turn, upper = np.linalg.qr(linear * magnification[:, None, None])
    assert np.abs(upper[:, 0, 1]).max() <= policy.shear + SINGLE_PRECISION
    np.testing.assert_allclose(np.abs(upper[:, [0, 1], [0, 1]]), 1, atol=SINGLE_PRECISION)
    angle = np.rad2deg(np.arctan2(turn[:, 1, 0], turn[:, 0, 0]))
    period = 90.0 if policy.quarter_turns else 180.0
    away = np.abs((angle + period / 2) % period - period / 2)
    assert away.max() <= policy.rotation_deg + 1e-3  # degrees
    mirrored = (determinant < 0).mean()
    if policy.flip_horizontal or policy.flip_vertical:
        assert 0.35 < mirrored < 0.65  # 300 tosses: five standard deviations
    else:
        assert mirrored == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_range_is_used(name):
    policy = POLICIES.get(name)
    drawn = policy.draw(1, 2, MANY)
    assert np.abs(drawn[:, :, 2]).max() >= 1.9 * policy.shift
    spread = np.abs(np.linalg.det(drawn[:, :, :2])) ** -0.5
    assert spread.max() >= 1 + 0.9 * policy.zoom
    assert spread.min() <= 1 - 0.9 * policy.zoom


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_names_its_source(name):
    assert POLICIES.get(name).source


def test_none_changes_nothing(images):
    assert POLICIES.get("none").changes_nothing
    np.testing.assert_array_equal(apply("none", images), images)
    identity = np.broadcast_to(np.eye(2, 3, dtype=np.float32), (300, 2, 3))
    np.testing.assert_array_equal(POLICIES.get("none").draw(9, 9, MANY), identity)


def test_the_eight_dihedral_views_are_exact(images):
    image = images[:1]
    views = [
        np.rot90(flipped, k=turns)
        for flipped in (image[0], image[0][:, ::-1])
        for turns in range(4)
    ]
    seen = set()
    for epoch in range(60):
        changed = apply("dihedral", image, epoch=epoch)[0]
        fits = [i for i, view in enumerate(views) if np.array_equal(view, changed)]
        assert len(fits) == 1
        seen.add(fits[0])
    assert seen == set(range(8))


def test_the_papers_ranges():
    p3 = POLICIES.get("p3")
    assert (p3.rotation_deg, p3.shift, p3.shear, p3.zoom) == (40.0, 0.2, 0.2, 0.2)
    assert p3.flip_horizontal
    assert p3.flip_vertical
    p1 = POLICIES.get("p1")
    assert all((p1.rotation_deg, p1.shift, p1.zoom, p1.flip_horizontal))
