"""Applying drawn matrices: exact where a pixel falls on a pixel."""

import numpy as np
import pytest
import torch

from eosin.augment import apply_affine

GREY = 1e-3  # of 8-bit values: interpolation weights are not exactly 0 and 1


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
