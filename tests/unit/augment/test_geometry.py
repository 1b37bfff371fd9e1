"""Applying drawn matrices: exact where a pixel falls on a pixel; bytes and floats agree."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from eosin.augment import POLICIES
from eosin.augment.bytes import warp_bytes
from eosin.augment.floats import apply_affine

GREY = 1e-3  # of 8-bit values: interpolation weights are not exactly 0 and 1
ROUNDED = 0.5  # grey values, of rounding to whole ones
SINGLE = 0.01  # grey values beside that, of coordinates in single precision; steep edges use it up


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8)).astype(np.float32)
    )


def matrices(*rows):
    return torch.tensor([rows, rows], dtype=torch.float32)


def test_the_identity_changes_nothing(images):
    changed = apply_affine(images, matrices([1, 0, 0], [0, 1, 0]))
    np.testing.assert_allclose(changed, images, atol=GREY)


def test_a_shift_by_a_pixel_reflects_the_border(images):
    # From output to input: what stands at x = 0 comes from x = 1. One of eight pixels is 2 / 8.
    changed = apply_affine(images, matrices([1, 0, 0.25], [0, 1, 0])).numpy()
    np.testing.assert_allclose(changed[..., :-1], images[..., 1:], atol=GREY)
    np.testing.assert_allclose(changed[..., -1], images[..., -1], atol=GREY)


def test_a_mirror(images):
    changed = apply_affine(images, matrices([-1, 0, 0], [0, 1, 0]))
    np.testing.assert_allclose(changed, images.numpy()[..., ::-1], atol=GREY)


def test_every_image_has_its_own_matrix(images):
    both = torch.tensor([[[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [0, -1, 0]]], dtype=torch.float32)
    changed = apply_affine(images, both)
    np.testing.assert_allclose(changed[0], images[0], atol=GREY)
    np.testing.assert_allclose(changed[1], images[1].numpy()[:, ::-1], atol=GREY)


def test_nothing_black_comes_in(images):
    bright = images + 10
    changed = apply_affine(bright, matrices([1.4, 0.3, 0.4], [-0.3, 1.4, -0.4]))
    assert changed.min() >= bright.min() - GREY
    assert changed.max() <= bright.max() + GREY


def textured(count, height, width, channels):
    """Blobs, as of nuclei, with noise on top: steeper than tissue."""
    random = np.random.default_rng(1)
    noise = random.normal(size=(count, height, width, channels))
    blobs = gaussian_filter(noise, (0, 3, 3, 0))
    values = 128 + 60 * blobs / blobs.std() + 8 * noise
    return values.clip(0, 255).astype(np.uint8)


def as_floats(images, drawn):
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).double()
    return apply_affine(planes, torch.from_numpy(drawn).double()).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("policy", ["p1", "p3"])
@pytest.mark.parametrize("size", [(96, 96), (40, 70)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9])
def test_bytes_move_as_floats_do(policy, size, channels):
    images = textured(8, *size, channels)
    drawn = POLICIES.get(policy).draw(3, 1, range(8)).affine
    moved = warp_bytes(images, drawn)
    assert moved.dtype == np.uint8
    np.testing.assert_allclose(moved, as_floats(images, drawn), rtol=0, atol=ROUNDED + SINGLE)
    assert not np.array_equal(moved, images)


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0, 0.3], [0, 1, 0]],
        [[1, 0, 0], [0, 1, -0.7]],
        [[1, 0.2, 0], [0, 1, 0]],
        [[0.5, 0, 0], [0, 0.5, 0]],
        [[3.5, 0, 0], [0, 3.5, 0]],  # three reflections deep
        [[0.8, -0.6, 0], [0.6, 0.8, 0]],
        [[1, 0, 2.5], [0, 1, -4.5]],  # nothing of the image proper is left
        [[0, -1, 0.25], [1, 0, 0]],
    ],
)
def test_each_kind_of_change_is_the_same_on_bytes(matrix):
    images = textured(2, 32, 48, 3)
    drawn = np.array([matrix, matrix], dtype=np.float32)
    moved = warp_bytes(images, drawn)
    np.testing.assert_allclose(moved, as_floats(images, drawn), rtol=0, atol=ROUNDED + SINGLE)


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_bytes_are_mirrored_and_turned_exactly(channels):
    images = np.random.default_rng(2).integers(0, 256, (8, 9, 9, channels), dtype=np.uint8)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    linear = [
        np.linalg.matrix_power(turn, k) @ np.diag([mirror, 1.0])
        for mirror in (1.0, -1.0)
        for k in range(4)
    ]
    drawn = np.concatenate([np.stack(linear), np.zeros((8, 2, 1))], axis=2).astype(np.float32)
    moved = warp_bytes(images, drawn)
    np.testing.assert_array_equal(moved, np.round(as_floats(images, drawn)))
    assert len(np.unique(warp_bytes(images[[0] * 8], drawn), axis=0)) == 8


def test_a_stretch_of_ones_is_no_mirror():
    images = textured(1, 16, 16, 3)
    drawn = np.array([[[1, 1, 0], [0, 1, 0]]], dtype=np.float32)
    moved = warp_bytes(images, drawn)
    np.testing.assert_allclose(moved, as_floats(images, drawn), rtol=0, atol=ROUNDED + SINGLE)


def test_given_bytes_stay_as_they_are():
    images = textured(4, 32, 32, 3)
    before = images.copy()
    warp_bytes(images, POLICIES.get("p3").draw(0, 0, range(4)).affine)
    warp_bytes(images, np.broadcast_to(np.eye(2, 3), (4, 2, 3)))[:] = 0
    np.testing.assert_array_equal(images, before)


def test_an_empty_batch_stays_empty():
    drawn = POLICIES.get("p3").draw(0, 0, []).affine
    assert warp_bytes(np.empty((0, 8, 8, 3), np.uint8), drawn).shape == (0, 8, 8, 3)


FORKED = """
import os, numpy as np, torch
from eosin.augment import POLICIES, augment_bytes
torch.set_num_threads(2)
images = np.random.default_rng(0).integers(0, 256, (32, 96, 96, 3), dtype=np.uint8)
drawn = POLICIES.get("default").draw(0, 0, range(32))
before = augment_bytes(images, drawn)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(augment_bytes(images, drawn), before) else 7)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux's workers fork")
def test_a_forked_worker_augments_as_its_parent():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], timeout=60, check=False)
    assert done.returncode == 0
