"""A run's images: read once into the cache, windowed on the training part alone."""

import os

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from eosin.artifacts.manifest import make_samples
from eosin.artifacts.model import Planes, Window
from eosin.core.errors import OutputError
from eosin.images.bank import load_bank
from eosin.images.decode import decode_image
from eosin.images.preprocess import make_preprocessing, read_image, resize_image

LONG_AGO_NS = 1_600_000_000_000_000_000


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EOSIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def samples(tmp_path):
    """Four rows: two images of different size, one broken file, one that is absent."""
    random = np.random.default_rng(0)
    for name, side in (("a.png", 8), ("b.png", 11)):
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"broken")
    frame = pd.DataFrame({"path": ["a.png", "c.png", "b.png", "d.png"], "label": list("xyxy")})
    return make_samples(frame, root=tmp_path)


@pytest.fixture
def cells(tmp_path):
    """Six cells of three channels and 16 bits; the last two are far brighter."""
    random = np.random.default_rng(0)
    names = [f"{index}.tif" for index in range(6)]
    for index, name in enumerate(names):
        counts = random.integers(100, 1000, (3, 6, 6)) * (1 if index < 4 else 50)
        tifffile.imwrite(tmp_path / name, counts.astype(np.uint16), photometric="minisblack")
    frame = pd.DataFrame({"path": names, "label": list("xyxyxy")})
    return make_samples(frame, root=tmp_path)


def fluorescence(input_px=6):
    planes = Planes(chosen=(0, 2), n_stored=3, bits=16)
    return make_preprocessing("unit", input_px, channels=("DNA", "tubulin"), planes=planes)


def test_what_can_be_read_is_there_and_the_rest_has_its_reason(samples, tmp_path):
    preprocessing = make_preprocessing("unit", 8)
    bank, hashes = load_bank(samples, preprocessing)
    assert [path for path, _ in hashes.unreadable] == ["c.png", "d.png"]
    assert "is not an image" in hashes.unreadable[0][1]
    assert "does not exist" in hashes.unreadable[1][1]
    readable = samples.where(samples.frame["path"].isin(["a.png", "b.png"]).to_numpy())
    images = bank.of(readable)
    assert (len(images), images.shape) == (2, (2, 8, 8, 3))
    for row, name in enumerate(("a.png", "b.png")):
        expected = resize_image(decode_image(tmp_path / name), preprocessing)
        np.testing.assert_array_equal(images[row : row + 1][0], expected)
    np.testing.assert_array_equal(images[np.array([1, 0, 1])], images[:][[1, 0, 1]])


def test_a_home_that_cannot_be_written_does_without_a_cache(samples, tmp_path, monkeypatch, caplog):
    preprocessing = make_preprocessing("unit", 8)
    expected, hashes = load_bank(samples, preprocessing)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.delenv("EOSIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    bank, same = load_bank(samples, preprocessing)
    assert same == hashes
    readable = samples.where(samples.frame["path"].isin(["a.png", "b.png"]).to_numpy())
    np.testing.assert_array_equal(bank.of(readable)[:], expected.of(readable)[:])
    assert "EOSIN_CACHE" in caplog.text
    bank.store.close()
    bank.private.cleanup()
    # A cache that was asked for is not left out in silence.
    monkeypatch.setenv("EOSIN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="cache"):
        load_bank(samples, preprocessing)


def test_nothing_is_decoded_twice(samples, tmp_path):
    preprocessing = make_preprocessing("unit", 8)
    for name in ("a.png", "b.png"):
        os.utime(tmp_path / name, ns=(LONG_AGO_NS, LONG_AGO_NS))
    first, hashes = load_bank(samples, preprocessing)
    for name in ("a.png", "b.png"):  # what says that they changed, does not
        (tmp_path / name).write_bytes(bytes((tmp_path / name).stat().st_size))
        os.utime(tmp_path / name, ns=(LONG_AGO_NS, LONG_AGO_NS))
    again, same = load_bank(samples, preprocessing)
    assert same == hashes
    np.testing.assert_array_equal(
        again.store.take(np.array(list(again.rows.values()))),
        first.store.take(np.array(list(first.rows.values()))),
    )


def test_another_size_is_another_store(samples, fresh_cache):
    small, _ = load_bank(samples, make_preprocessing("unit", 4))
    large, _ = load_bank(samples, make_preprocessing("unit", 16))
    assert small.store.shape[1:] == (4, 4, 3)
    assert large.store.shape[1:] == (16, 16, 3)
    # Styles differ in what follows the cache.
    caffe, _ = load_bank(samples, make_preprocessing("caffe", 4))
    assert len(list((fresh_cache / "images").glob("*/store.json"))) == 2
    assert caffe.store.shape == small.store.shape


def test_a_store_of_ones_own_leaves_nothing_in_the_cache(samples, fresh_cache):
    bank, _ = load_bank(samples, make_preprocessing("unit", 8), keep=False)
    assert len(bank.of(samples.where(np.array([True, False, True, False])))[:]) == 2
    assert not fresh_cache.exists()
    folder = bank.private.name
    bank.store.close()
    bank.private.cleanup()
    assert not (fresh_cache.parent / folder).exists()


def test_an_image_of_another_size_is_skipped_by_a_model_that_does_not_resize(samples):
    fixed = make_preprocessing("unit", 8).model_copy(update={"resize": "none"})
    _, hashes = load_bank(samples, fixed)
    assert ("b.png", "the model takes 8 × 8 pixels, got 11 × 11") in hashes.unreadable


def test_images_inside_a_container(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = values
    frame = pd.DataFrame({"path": [f"x.h5#{i}" for i in (4, 0, 7)], "label": list("xyx")})
    bank, hashes = load_bank(make_samples(frame, root=tmp_path), make_preprocessing("unit", 8))
    ((path, reason),) = hashes.unreadable
    assert path == "x.h5#7"
    assert "7" in reason
    first = hashes.of_image("x.h5#4")
    second = hashes.of_image("x.h5#0")
    assert first.content != second.content
    assert first.pixels != second.pixels
    np.testing.assert_array_equal(bank.store.take(np.array([bank.rows["x.h5#0"]]))[0], values[0])


def test_the_window_comes_from_the_training_part_alone(cells, tmp_path):
    bank, _ = load_bank(cells, fluorescence())
    train = cells.where(np.arange(6) < 4)
    fitted = bank.fit_window(train, (10.0, 90.0))
    window = fitted.planes.window
    counts = np.stack([tifffile.imread(tmp_path / f"{i}.tif") for i in range(4)])[:, [0, 2]]
    for channel in range(2):
        # The smallest count that so many per cent do not exceed: NumPy's inverted_cdf.
        low, high = np.percentile(counts[:, channel], (10, 90), method="inverted_cdf")
        assert (window.low[channel], window.high[channel]) == (low, high)
    images = bank.reading(fitted).of(cells)
    assert images.shape == (6, 6, 6, 2)
    np.testing.assert_array_equal(images[:][5], read_image(tmp_path / "5.tif", None, fitted))
    assert (images[:][4:] == 255).mean() > 0.9  # what the training part never showed is clipped


def test_no_window_is_the_range_of_the_files_type(cells):
    bank, _ = load_bank(cells, fluorescence())
    fitted = bank.fit_window(cells.where(np.arange(6) < 4), None)
    assert fitted.planes.window == Window(low=(0, 0), high=(65_535, 65_535), percentiles=None)
    counts = bank.store.take(bank.of(cells).rows)
    np.testing.assert_array_equal(bank.reading(fitted).of(cells)[:], np.rint(counts / 257))


def test_a_crop_and_a_stretch_are_cached_apart(samples, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (8, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "b.png")
    wide = samples.where(np.arange(4) == 2)
    for rule in ("stretch", "centre_crop"):
        preprocessing = make_preprocessing("unit", 8, resize=rule)
        (image,) = load_bank(wide, preprocessing)[0].of(wide)[:]
        np.testing.assert_array_equal(image, resize_image(pixels, preprocessing))
    np.testing.assert_array_equal(image, pixels[:, 6:14])


def test_brightfield_has_no_window(samples):
    bank, _ = load_bank(samples, make_preprocessing("unit", 8))
    assert bank.fit_window(samples, (0.1, 99.9)) is bank.preprocessing


def test_a_window_from_0_per_cent_begins_at_the_darkest_pixel(cells, tmp_path):
    bank, _ = load_bank(cells, fluorescence())
    window = bank.fit_window(cells, (0.0, 100.0)).planes.window
    counts = bank.store.take(bank.of(cells).rows)
    assert window.low == tuple(counts.min(axis=(0, 1, 2)))
    assert window.high == tuple(counts.max(axis=(0, 1, 2)))
