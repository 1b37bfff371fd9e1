"""Images to be augmented, and training's number of threads."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter


@pytest.fixture
def set_threads():
    """torch's own function; the number is put back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_tissue():
    """A function from shape (B, H, W) to dark blobs on a stained ground, uint8, (B, H, W, 3)."""

    def make(*shape):
        noise = np.random.default_rng(1).normal(size=shape)
        blobs = gaussian_filter(noise, (0, 3, 3))
        nuclei = np.clip(blobs / blobs.std(), 0, 2)[..., None]
        density = 0.1 + 0.25 * np.array([0.1, 1.0, 0.1]) + 0.4 * nuclei * np.array([0.9, 1, 0.4])
        return np.round(256 * np.exp(-density) - 1).astype(np.uint8)

    return make
