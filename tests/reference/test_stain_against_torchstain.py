"""Macenko and Reinhard against torchstain's NumPy normalisers, on real tiles."""

import numpy as np
import pytest
from PIL import Image
from torchstain.numpy.normalizers.macenko import NumpyMacenkoNormalizer
from torchstain.numpy.normalizers.reinhard import NumpyReinhardNormalizer

from eosin.stain import Macenko, Reinhard, Vahadane

pytestmark = pytest.mark.data

#: Grey levels, and the share of pixels that must keep within them.
TOLERANCE, SHARE = 2, 0.99
SETS = {
    "breakhis-200x-224": "**/*.png",
    "pcam": "valid/*/*.jpg",
    "lc25000": "**/*.jpeg",
    "idc": "*/1/*.png",
}


def decode(path):
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def target(data_root):
    return decode(data_root / "stain-pair" / "target.png")


@pytest.fixture(scope="module", params=SETS)
def tiles(request, data_root):
    """Ten tiles spread over one data set; sizes may differ."""
    paths = sorted((data_root / request.param).glob(SETS[request.param]))
    assert len(paths) > 100
    return [decode(path) for path in paths[:: len(paths) // 10]]


def share_alike(ours, theirs):
    return (np.abs(ours.astype(int) - theirs).max(axis=-1) <= TOLERANCE).mean()


def test_macenko(target, tiles):
    peer = NumpyMacenkoNormalizer()
    peer.fit(target)
    normaliser = Macenko().fit(target)
    assert np.allclose(normaliser.reference_.stain_matrix, peer.HERef.T, atol=1e-3)
    assert np.allclose(normaliser.reference_.max_concentrations, peer.maxCRef, rtol=1e-3)
    n_compared = 0
    for tile in tiles:
        images, (reason,) = normaliser.apply(tile)
        if not reason:
            theirs, _, _ = peer.normalize(tile, stains=False)
            assert share_alike(images, theirs) >= SHARE
            n_compared += 1
    assert n_compared >= 0.8 * len(tiles)


def test_reinhard(target, tiles):
    peer = NumpyReinhardNormalizer()
    peer.fit(target)
    normaliser = Reinhard().fit(target)
    assert np.allclose(normaliser.reference_.lab_mean, peer.target_means, atol=0.05)
    assert np.allclose(normaliser.reference_.lab_std, peer.target_stds, atol=0.05)
    for tile in tiles:
        images, reasons = normaliser.apply(tile)
        assert reasons == ("",)
        assert share_alike(images, peer.normalize(tile)) >= SHARE


def test_the_pair_of_fields(data_root, target):
    source = decode(data_root / "stain-pair" / "source.png")
    macenko, reinhard = NumpyMacenkoNormalizer(), NumpyReinhardNormalizer()
    macenko.fit(target)
    reinhard.fit(target)
    theirs, _, _ = macenko.normalize(source, stains=False)
    assert share_alike(Macenko().fit(target).apply(source).images, theirs) >= SHARE
    theirs = reinhard.normalize(source)
    assert share_alike(Reinhard().fit(target).apply(source).images, theirs) >= SHARE


@pytest.mark.parametrize("method", [Macenko, Reinhard, Vahadane])
def test_applying_twice_changes_nothing_that_can_be_seen(target, tiles, method):
    # docs/stain.md gives the figures by data set.
    normaliser = method().fit(target)
    changes = []
    for tile in tiles:
        once, (reason,) = normaliser.apply(tile)
        if not reason:
            change = np.abs(once.astype(int) - normaliser.apply(once).images)
            changes.append(np.percentile(change, (50, 95)))
    median, high = np.median(changes, axis=0)
    assert median <= 1
    assert high <= 2
