"""Every augmentation policy through one suite."""

from dataclasses import fields

import numpy as np
import pytest

from eosin.augment import POLICIES, Drawn, augment_bytes

SINGLE_PRECISION = 1e-5  # of matrices in float32, after an inverse
NAMES = sorted(POLICIES)
MANY = range(300)
KINDS = [field.name for field in fields(Drawn)]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(50, 200, (6, 16, 16, 3), dtype=np.uint8)


def apply(name, images, *, epoch=0, seed=0):
    return augment_bytes(images, POLICIES.get(name).draw(seed, epoch, range(len(images))))


def arrays(drawn):
    """What was drawn, by kind."""
    return {kind: getattr(drawn, kind) for kind in KINDS if getattr(drawn, kind) is not None}


def equal(first, other):
    first, other = arrays(first), arrays(other)
    assert first.keys() == other.keys()
    return all(np.array_equal(first[kind], other[kind]) for kind in first)


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_is_a_pure_function_of_seed_epoch_and_index(name):
    policy = POLICIES.get(name)
    first = policy.draw(3, 5, MANY)
    np.random.default_rng().random(3)
    assert equal(first, policy.draw(3, 5, MANY))
    if policy.changes_nothing:
        assert arrays(first) == {}
        return
    # Copies that are fixed are the same in every run and epoch.
    assert equal(first, policy.draw(4, 5, MANY)) == bool(policy.fixed_copies)
    assert equal(first, policy.draw(3, 6, MANY)) == bool(policy.fixed_copies)
    assert all(len(np.unique(found, axis=0)) > 1 for found in arrays(first).values())


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_does_not_depend_on_the_batch(name):
    policy = POLICIES.get(name)
    together = arrays(policy.draw(0, 1, [7, 2, 9]))
    for kind, reversed_ in arrays(policy.draw(0, 1, [9, 2, 7])).items():
        np.testing.assert_array_equal(together[kind][::-1], reversed_)
    for kind, alone in arrays(policy.draw(0, 1, np.array([2]))).items():
        np.testing.assert_array_equal(together[kind][1:2], alone)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_types_stay(name, images):
    drawn = POLICIES.get(name).draw(0, 0, range(6), channels=3)
    shapes = {"affine": (6, 2, 3), "density": (6, 3, 4), "blur": (6,), "tables": (6, 3, 256)}
    for kind, found in arrays(drawn).items():
        assert found.shape == shapes[kind]
        assert found.dtype == (np.uint8 if kind == "tables" else np.float32)
    changed = apply(name, images)
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    if drawn.density is None and drawn.tables is None:
        # Interpolated and reflected: no grey that was not there.
        assert changed.min() >= images.min()
        assert changed.max() <= images.max()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_black_comes_in(name):
    grey = np.full((100, 12, 12, 3), 128, np.uint8)
    changed = apply(name, grey)
    assert changed.min() > 30
    # The whole of an even image changes alike: no corner is told from the middle.
    assert (changed == changed[:, 6:7, 6:7]).all()


@pytest.mark.parametrize("name", NAMES)
def test_colours_are_changed_for_one_kind_of_image(name):
    policy = POLICIES.get(name)
    drawn = policy.draw(0, 0, MANY)
    assert (drawn.density is not None) == (policy.modality == "brightfield")
    assert (drawn.tables is not None) == (policy.modality == "fluorescence")


DRAWN_ANEW = [
    name
    for name in NAMES
    if POLICIES.get(name).draw(0, 0, [0]).affine is not None and not POLICIES.get(name).fixed_copies
]


@pytest.mark.parametrize("name", DRAWN_ANEW)
def test_every_image_of_an_epoch_keeps_its_declared_ranges(name):
    policy = POLICIES.get(name)
    drawn = policy.draw(1, 2, MANY).affine.astype(np.float64)
    linear, offset = drawn[:, :, :2], drawn[:, :, 2]
    # The middle of a crop lies off the image's by at most what is left out.
    moved = 2 * policy.shift + policy.crop * np.abs(linear).sum(axis=2).max() / (1 - policy.crop)
    assert np.abs(offset).max() <= moved + SINGLE_PRECISION
    determinant = np.linalg.det(linear)
    magnification = np.abs(determinant) ** -0.5
    assert magnification.min() >= 1 - policy.zoom - SINGLE_PRECISION
    assert magnification.max() <= (1 + policy.zoom) / (1 - policy.crop) + SINGLE_PRECISION
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


@pytest.mark.parametrize("name", DRAWN_ANEW)
def test_the_whole_range_is_used(name):
    policy = POLICIES.get(name)
    drawn = policy.draw(1, 2, MANY).affine
    assert np.abs(drawn[:, :, 2]).max() >= 1.9 * policy.shift
    spread = np.abs(np.linalg.det(drawn[:, :, :2])) ** -0.5
    assert spread.max() >= (1 + 0.9 * policy.zoom) / (1 - 0.8 * policy.crop)
    assert spread.min() <= (1 - 0.9 * policy.zoom) / (1 - 0.2 * policy.crop)


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_names_its_source(name):
    assert POLICIES.get(name).source


def test_none_changes_nothing(images):
    assert POLICIES.get("none").changes_nothing
    np.testing.assert_array_equal(apply("none", images), images)


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
    p2 = POLICIES.get("p2")
    assert all((p2.rotation_deg, p2.shift, p2.zoom, p2.crop, p2.flip_horizontal))
    p5 = POLICIES.get("p5")
    assert all((p5.rotation_deg, p5.shift, p5.shear, p5.zoom, p5.flip_horizontal))


# Of seed 11, epoch 4, index 12345. A run is repeated only while these hold.
BEFORE = {
    "dihedral": [[0, 1, 0], [1, 0, 0]],
    "p1": [[-1.0100793, 0.07093604, 0.12840308], [-0.07093604, -1.0100793, 0.17052492]],
    "p3": [[-1.0153886, 0.02651781, 0.25680616], [-0.14332467, -1.0318762, 0.34104985]],
}


@pytest.mark.parametrize("name", BEFORE)
def test_what_was_drawn_before_is_drawn_still(name):
    drawn = POLICIES.get(name).draw(11, 4, [12345])
    np.testing.assert_allclose(drawn.affine[0], BEFORE[name], rtol=0, atol=1e-6)  # float32
    assert set(arrays(drawn)) == {"affine"}


def test_the_five_copies_of_p4(images):
    one = images[:1].repeat(5, axis=0)
    image, policy = images[0], POLICIES.get("p4")
    assert policy.fixed_copies == 5
    wanted = [
        *(np.rot90(image, turns) for turns in (1, 2, 3)),
        image[:, ::-1],
        image[::-1],
    ]
    for epoch, first in ((0, 0), (7, 35)):
        made = augment_bytes(one, policy.draw(epoch, epoch, range(first, first + 5)))
        assert sorted(view.tobytes() for view in made) == sorted(
            np.ascontiguousarray(view).tobytes() for view in wanted
        )
