"""MNIST from its idx files."""

import gzip
import struct

import pytest

from eosin.core.errors import DataError, ImageError
from eosin.data.sources.base import NOTES
from eosin.data.sources.mnist import collect_mnist


def write(path, shape, values):
    head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    pack = gzip.compress if path.suffix == ".gz" else bytes
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack(head + bytes(values)))


def draw(folder, part="train", digits=(5, 0), n_images=None, ending="-ubyte.gz", join="-"):
    count = len(digits) if n_images is None else n_images
    images = folder / f"{part}-images{join}idx3{ending}"
    write(images, (count, 2, 2), range(4 * count))
    write(folder / f"{part}-labels{join}idx1{ending}", (len(digits),), digits)
    return images


def test_digits_of_both_parts(tmp_path):
    draw(tmp_path)
    draw(tmp_path, "t10k", (9,))
    table = collect_mnist(tmp_path, {})
    names = ["train-images-idx3-ubyte.gz#0", "train-images-idx3-ubyte.gz#1"]
    assert list(table["path"]) == [*names, "t10k-images-idx3-ubyte.gz#0"]
    assert list(table["label"]) == ["5", "0", "9"]
    assert list(table["split"]) == ["train", "train", "test"]


@pytest.mark.parametrize("folder", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize(("ending", "join"), [("-ubyte", "-"), ("-ubyte", "."), ("-ubyte.gz", ".")])
def test_the_names_and_folders_in_use(folder, ending, join, tmp_path):
    images = draw(tmp_path / folder, ending=ending, join=join)
    table = collect_mnist(tmp_path, {})
    assert table["path"][0] == f"{images.relative_to(tmp_path).as_posix()}#0"


@pytest.mark.parametrize(("kind", "lacking"), [("images", "labels"), ("labels", "images")])
def test_half_a_part_is_left_out_and_told(kind, lacking, tmp_path):
    draw(tmp_path)
    draw(tmp_path, "t10k")
    next(tmp_path.glob(f"t10k-{lacking}*")).unlink()
    table = collect_mnist(tmp_path, {})
    assert set(table["split"]) == {"train"}
    assert f"test: left out, because it has {kind} but no {lacking}" in table.attrs[NOTES]
    next(tmp_path.glob(f"train-{lacking}*")).unlink()
    with pytest.raises(DataError, match=f"train: left out, because it has {kind} but no {lacking}"):
        collect_mnist(tmp_path, {})


def test_images_and_labels_must_fit(tmp_path):
    draw(tmp_path, n_images=3)
    with pytest.raises(DataError, match=r"has 3 images, but .* has 2 labels"):
        collect_mnist(tmp_path, {})
    draw(tmp_path, digits=(5, 10))
    with pytest.raises(DataError, match="has the label 10; it must be 0 to 9"):
        collect_mnist(tmp_path, {})


def test_a_damaged_file_is_told(tmp_path):
    images = draw(tmp_path)
    images.write_bytes(images.read_bytes()[:-9])
    with pytest.raises(ImageError, match="is truncated"):
        collect_mnist(tmp_path, {})
