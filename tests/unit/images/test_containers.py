"""Images inside HDF5 and idx files."""

import gzip
import multiprocessing
import os
import struct
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from eosin.core.errors import ImageError
from eosin.core.types import CONTAINER_SUFFIXES, is_container
from eosin.images.containers import (
    OpenedFiles,
    count_items,
    read_item,
    read_labels,
)
from eosin.images.hdf5 import Hdf5Images
from eosin.images.idx import IdxImages


def idx_bytes(array, kind=0x08):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return head + array.tobytes()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (10, 6, 5), dtype=np.uint8)


@pytest.fixture
def write_h5(tmp_path):
    """A function from arrays by key to an HDF5 file."""

    def write(name="a.h5", compression=None, chunks=None, **arrays):
        with h5py.File(tmp_path / name, "w") as file:
            for key, array in arrays.items():
                file.create_dataset(key, data=array, compression=compression, chunks=chunks)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.h5", True),
        ("a.HDF5", True),
        ("a.idx", True),
        ("a.idx.gz", True),
        ("t10k-images-idx3-ubyte", True),
        ("train-images.idx3-ubyte.gz", True),
        ("a.png", False),
        ("a.gz", False),
        ("h5", False),
        ("a.h5.gz", False),
    ],
)
def test_a_container_is_known_by_its_name(name, expected):
    assert is_container(Path("folder") / name) is expected
    assert expected == any(name.lower().endswith(end) for end in CONTAINER_SUFFIXES)


@pytest.mark.parametrize("name", ["a.idx", "a-ubyte", "a.idx.gz", "a-ubyte.gz"])
@pytest.mark.parametrize("shape", [(10, 6, 5), (10, 6, 5, 3)])
def test_idx_images_are_read_as_written(name, shape, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pack = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(pack(idx_bytes(array)))
    assert count_items(tmp_path / name) == 10
    for index in (9, 0, 4):
        np.testing.assert_array_equal(read_item(tmp_path / name, index), array[index])


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("chunks", [(1, 6, 5), (4, 3, 5), None])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_h5_images_are_read_as_written(dtype, chunks, compression, write_h5):
    top = np.iinfo(dtype).max
    array = np.random.default_rng(0).integers(0, top, (10, 6, 5), endpoint=True, dtype=dtype)
    path = write_h5(x=array, compression=compression, chunks=chunks)
    assert count_items(path) == 10
    for index in (9, 0, 4, 3, 8):
        found = read_item(path, index)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, array[index])


def test_an_item_is_a_copy_of_its_own(images, write_h5, tmp_path):
    (tmp_path / "a.idx.gz").write_bytes(gzip.compress(idx_bytes(images)))
    for path in (write_h5(x=images, compression="gzip", chunks=(5, 6, 5)), tmp_path / "a.idx.gz"):
        first = read_item(path, 1)
        assert first.flags.c_contiguous
        assert first.flags.writeable
        first[:] = 0
        np.testing.assert_array_equal(read_item(path, 1), images[1])


def test_a_row_of_chunks_is_unpacked_once(images, write_h5, monkeypatch):
    path = write_h5(x=images, compression="gzip", chunks=(5, 3, 5))
    reads = []
    plain = h5py.Dataset.__getitem__
    monkeypatch.setattr(
        h5py.Dataset, "__getitem__", lambda data, key: reads.append(key) or plain(data, key)
    )
    for index in range(10):
        np.testing.assert_array_equal(read_item(path, index), images[index])
    assert reads == [slice(0, 5), slice(5, 10)]


def test_a_large_row_of_chunks_is_unpacked_once(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        packing = {"chunks": (3000, 100, 100), "compression": "gzip", "compression_opts": 1}
        data = file.create_dataset("x", (40, 100, 100), "u1", maxshape=(None, 100, 100), **packing)
        data[:] = np.repeat(np.arange(40, dtype=np.uint8), 10**4).reshape(data.shape)
        data.resize(3000, axis=0)
    images = Hdf5Images(tmp_path / "a.h5", block_bytes=10**6)
    started = time.process_time()
    images.read(0)
    first = time.process_time() - started
    started = time.process_time()
    for index in range(40):  # each would take as long as the first
        assert (images.read(index) == index).all()
    images.close()
    assert time.process_time() - started < 10 * first


@pytest.mark.parametrize("index", [-1, 10, 12])
def test_an_index_outside_is_refused(index, images, write_h5, tmp_path):
    (tmp_path / "a.idx").write_bytes(idx_bytes(images))
    for path in (write_h5(x=images), tmp_path / "a.idx"):
        with pytest.raises(ImageError, match=f"contains 10 images and has no index {index}"):
            read_item(path, index)


@pytest.mark.parametrize("name", ["a.h5", "a.idx", "a-ubyte.gz"])
def test_a_file_that_is_not_there_is_told(name, tmp_path):
    for function in (count_items, read_labels, lambda path: read_item(path, 0)):
        with pytest.raises(ImageError, match=f"{name} does not exist"):
            function(tmp_path / name)


@pytest.mark.parametrize("name", ["a.h5", "a.idx"])
def test_a_folder_is_told(name, tmp_path):
    (tmp_path / name).mkdir()
    for function in (count_items, read_labels):
        with pytest.raises(ImageError, match=name):
            function(tmp_path / name)


def test_another_file_is_no_container(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    for function in (count_items, read_labels):
        with pytest.raises(ImageError, match="not a file of many images"):
            function(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "header is incomplete"),
        (b"\0\0\x08", "header is incomplete"),
        (b"\0\0\x08\x03\0\0\0\x01", "header is incomplete"),
        (
            b"\x89PNG\r\n\x1a\n" + bytes(99),
            "is not an idx file: it starts with the bytes 89 50 4e 47",
        ),
        (b"\0\0\x07\x03" + bytes(99), "is not an idx file"),
        (b"\0\0\x08\x00" + bytes(99), "has 0 dimensions"),
        (b"\0\0\x08\xff" + bytes(99), "has 255 dimensions"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 2, 2) + bytes(7), "truncated: 7 of the 8 bytes"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 2, 2) + bytes(9), "more than the 8 bytes"),
        (struct.pack(">BBBB3I", 0, 0, 0x0B, 3, 1, 1, 1) + bytes(2), "has int16 numbers"),
        (struct.pack(">BBBB3I", 0, 0, 0x0D, 3, 1, 1, 1) + bytes(4), "has float32 numbers"),
        (struct.pack(">BBBB1I", 0, 0, 8, 1, 2) + bytes(2), "has 2 numbers, not images"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 0, 2), "has 2 × 0 × 2 numbers, not images"),
    ],
)
def test_a_damaged_idx_file_is_told(name, content, reason, tmp_path):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_item(path, 0)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_gzip_is_told(images, tmp_path):
    whole = gzip.compress(idx_bytes(images))
    for content, reason in (
        (whole[: len(whole) // 2], "truncated"),
        (whole[:-4], "truncated"),
        (whole[:-8] + b"\0\0\0\0" + whole[-4:], "cannot be read: CRC"),
        (whole[:30] + b"\xff\xff\xff" + whole[33:], "damaged|cannot be read"),
        (b"not gzip at all", "cannot be read: Not a gzipped file"),
    ):
        (tmp_path / "a.idx.gz").write_bytes(content)
        with pytest.raises(ImageError, match=reason):
            count_items(tmp_path / "a.idx.gz")


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
def test_a_header_s_claim_takes_no_memory(name, tmp_path):
    claim = struct.pack(">BBBB3I", 0, 0, 8, 3, 60_000, 20, 300) + bytes(100)
    path = tmp_path / name
    path.write_bytes(gzip.compress(claim) if name.endswith(".gz") else claim)
    tracemalloc.start()
    with pytest.raises(ImageError, match=r"360,?000,?000 bytes"):
        count_items(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_small_file_that_inflates_enormously_is_refused(tmp_path):
    # 200 MB behind a header of four bytes; and a header of more than is allowed.
    path = tmp_path / "a.idx.gz"
    head = struct.pack(">BBBB3I", 0, 0, 8, 3, 1, 2, 2)
    path.write_bytes(gzip.compress(head + bytes(200_000_000), compresslevel=1))
    tracemalloc.start()
    with pytest.raises(ImageError, match="more than the 4 bytes"):
        count_items(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    path.write_bytes(gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3)))
    with pytest.raises(ImageError, match=r"at most 536870912 are read \(EOSIN_MAX_BYTES"):
        count_items(path)


def test_a_chunk_that_inflates_enormously_is_refused(tmp_path):
    # One small image in a chunk of 1.6 GB, which HDF5 would unpack for it.
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            "x",
            shape=(1, 8, 8),
            maxshape=(1, None, None),
            dtype=np.uint8,
            chunks=(1, 40_000, 40_000),
            compression="gzip",
        )
    with pytest.raises(ImageError, match="unpacks to 1600000000 bytes; at most 536870912"):
        count_items(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({}, r"contains no images \(arrays: none\)"),
        ({"y": np.zeros(3, np.uint8)}, "arrays: y uint8 3"),
        (
            {"a": np.zeros((2, 3, 3), np.uint8), "b": np.zeros((2, 3, 3), np.uint8)},
            "2 others",
        ),
        ({"x": np.zeros((2, 3, 3), np.float32)}, "x float32 2 × 3 × 3 must be uint8 or uint16"),
        ({"x": np.zeros((2, 3, 3), np.int16)}, "must be uint8 or uint16"),
        ({"x": np.zeros((2, 3, 9, 9), np.uint8)}, "has its channels first"),
        ({"x": np.zeros((9, 9, 3), np.uint8)}, "one colour image"),
        ({"x": np.zeros((0, 9, 9, 3), np.uint8)}, "contains no images"),
        ({"x": np.zeros((2, 3), np.uint8)}, "has 2 dimensions; images have 3 or 4"),
        ({"x": np.zeros((2, 1, 3, 3, 1), np.uint8)}, "has 5 dimensions"),
        ({"x": np.zeros((2, 0, 3), np.uint8)}, "has no pixels"),
        ({"x": np.zeros((2, 1, 1, 99), np.uint8)}, "99 channels"),
    ],
)
def test_an_h5_file_without_images_is_told(arrays, reason, write_h5):
    with pytest.raises(ImageError, match=reason) as caught:
        count_items(write_h5(**arrays))
    assert caught.value.hint or "pixels" in reason or "channels" in reason


def test_the_only_array_of_images_is_found(images, write_h5):
    path = write_h5(pixels=images, labels=np.zeros((10, 1), np.int64))
    np.testing.assert_array_equal(read_item(path, 3), images[3])


def test_an_image_larger_than_allowed_is_refused_unread(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", shape=(1, 100_000, 100_000), dtype="u1", chunks=(1, 100, 100))
    with pytest.raises(ImageError, match="100000 × 100000 pixels"):
        read_item(tmp_path / "a.h5", 0)


def test_links_to_other_files_are_not_followed(images, write_h5, tmp_path):
    write_h5("other.h5", x=images)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "x")
    with pytest.raises(ImageError, match="arrays: none"):
        count_items(tmp_path / "a.h5")
    (tmp_path / "raw").write_bytes(bytes(300))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", (10, 6, 5), "u1", external=[(str(tmp_path / "raw"), 0, 300)])
    with pytest.raises(ImageError, match="arrays: none"):
        count_items(tmp_path / "b.h5")


def test_a_damaged_h5_file_is_told(images, write_h5):
    path = write_h5(x=np.repeat(images, 50, axis=0), compression="gzip", chunks=(50, 6, 5))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"is truncated: it has [\d,]+ of [\d,]+ bytes"):
        read_item(path, 0)
    path.write_bytes(b"<html>Quota exceeded</html>")
    with pytest.raises(ImageError, match="web page"):
        read_item(path, 0)
    path.write_bytes(gzip.compress(whole))
    with pytest.raises(ImageError, match="packed with gzip"):
        read_item(path, 0)
    path.write_bytes(b"no HDF5 at all")
    with pytest.raises(ImageError, match="is not an HDF5 file"):
        read_item(path, 0)
    with h5py.File(write_h5("b.h5", x=images, compression="gzip", chunks=(5, 6, 5))) as file:
        start = file["x"].id.get_chunk_info(1).byte_offset
    damaged = bytearray((path.parent / "b.h5").read_bytes())
    damaged[start : start + 20] = bytes(20)
    (path.parent / "c.h5").write_bytes(damaged)
    np.testing.assert_array_equal(read_item(path.parent / "c.h5", 4), images[4])
    with pytest.raises(ImageError, match="image 5 is damaged"):
        read_item(path.parent / "c.h5", 5)


def test_labels_are_whole_numbers(write_h5, tmp_path):
    digits = np.array([7, 0, 9], dtype=np.uint8)
    (tmp_path / "a-ubyte.gz").write_bytes(gzip.compress(idx_bytes(digits)))
    (tmp_path / "b.idx").write_bytes(idx_bytes(np.array([7, 0, 9], ">i4"), kind=0x0C))
    paths = [
        tmp_path / "a-ubyte.gz",
        tmp_path / "b.idx",
        write_h5("c.h5", y=digits.reshape(3, 1, 1, 1)),
        write_h5("d.h5", target=digits, x=np.zeros((3, 2, 2), np.uint8)),
    ]
    for path in paths:
        labels = read_labels(path)
        assert labels.dtype == np.int64
        assert labels.tolist() == [7, 0, 9]


def test_what_is_no_label_is_told(images, write_h5, tmp_path):
    (tmp_path / "a.idx").write_bytes(idx_bytes(images))
    for path, reason in (
        (tmp_path / "a.idx", "10 × 6 × 5 numbers"),
        (
            write_h5("b.h5", y=np.zeros((3, 2), np.uint8)),
            "does not have one whole number per image",
        ),
        (write_h5("c.h5", y=np.zeros(3, np.float32)), "does not have one whole number per image"),
        (write_h5("d.h5", x=images), "contains no labels"),
    ):
        with pytest.raises(ImageError, match=reason):
            read_labels(path)


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz", "a.h5"])
def test_a_file_that_changed_is_read_anew(name, images, write_h5, tmp_path):
    def write(array):
        if name == "a.h5":
            # A new file under the old name, as Eosin and downloads write them.
            write_h5("new.h5", x=array).replace(tmp_path / name)
        else:
            pack = gzip.compress if name.endswith(".gz") else bytes
            (tmp_path / name).write_bytes(pack(idx_bytes(array)))

    write(images)
    np.testing.assert_array_equal(read_item(tmp_path / name, 0), images[0])
    write(images[::-1].copy()[:9])
    np.testing.assert_array_equal(read_item(tmp_path / name, 0), images[9])
    assert count_items(tmp_path / name) == 9


def test_a_broken_file_is_opened_once(tmp_path, on_entry):
    (tmp_path / "a.idx.gz").write_bytes(b"nothing")
    opened = []
    for index in range(3):
        with (
            on_entry(IdxImages.__init__, opened.append),
            pytest.raises(ImageError, match="Not a gzipped file"),
        ):
            read_item(tmp_path / "a.idx.gz", index)
    assert len(opened) == 1


def test_few_files_are_kept_open(images, write_h5):
    opened = OpenedFiles()
    paths = [write_h5(f"{index}.h5", x=images) for index in range(12)]
    for path in paths:
        opened.get(path)
    held = [path in opened for path in paths]
    assert held == [False] * 4 + [True] * 8


def test_large_arrays_are_not_kept_together(images, tmp_path):
    opened = OpenedFiles(images.nbytes)
    paths = [tmp_path / f"{index}.idx.gz" for index in range(3)]
    for path in paths:
        path.write_bytes(gzip.compress(idx_bytes(images)))
        opened.get(path)
    assert [path in opened for path in paths] == [False, False, True]


def test_counting_keeps_no_file_open(images, write_h5):
    path = write_h5(x=images)
    assert count_items(path) == 10
    write_h5(x=images[:3])  # HDF5 refuses to write a file that is open
    assert count_items(path) == 3


def test_threads_read_what_they_ask_for(images, write_h5, tmp_path):
    (tmp_path / "a.idx.gz").write_bytes(gzip.compress(idx_bytes(images)))
    paths = (write_h5(x=images, compression="gzip", chunks=(3, 6, 5)), tmp_path / "a.idx.gz")
    asked = [
        (path, index) for index in np.random.default_rng(1).integers(0, 10, 400) for path in paths
    ]
    with ThreadPoolExecutor(8) as pool:
        for (_, index), found in zip(asked, pool.map(lambda a: read_item(*a), asked), strict=True):
            np.testing.assert_array_equal(found, images[index])


def _sum_items(path, answers):
    answers.put(int(sum(read_item(path, index).sum() for index in range(10))))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="forking beside threads warns")
def test_a_forked_process_reads_while_its_parent_does(images, write_h5):
    path = write_h5(x=images, compression="gzip", chunks=(3, 6, 5))
    read_item(path, 0)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    stop = []

    def keep_reading():
        index = 0
        while not stop:
            read_item(path, index := (index + 3) % 10)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(keep_reading) for _ in range(2)]
        try:
            children = [context.Process(target=_sum_items, args=(path, answers)) for _ in range(6)]
            for child in children:
                child.start()
            found = [answers.get(timeout=60) for _ in children]
        finally:
            stop.append(True)
        for child in children:
            child.join(60)
            assert child.exitcode == 0
    for reader in readers:
        reader.result()
    assert found == [int(images.sum())] * 6
    np.testing.assert_array_equal(read_item(path, 9), images[9])


@pytest.mark.data
def test_real_digits(data_root):
    stem = data_root / "mnist" / "t10k"
    images, labels = (Path(f"{stem}-{k}-ubyte.gz") for k in ("images-idx3", "labels-idx1"))
    assert count_items(images) == 10_000
    assert read_item(images, 9_999).shape == (28, 28)
    assert set(read_labels(labels)) == set(range(10))


def test_a_shape_that_the_file_cannot_hold_is_refused_unread(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        shape, chunks = (10**7, 96, 96, 3), (1000, 96, 96, 3)
        file.create_dataset("x", shape, "u1", chunks=chunks, compression="gzip")
    (tmp_path / "a.idx").write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 1, 1))
    packed = gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, 10**7, 1, 1) + bytes(10**7))
    (tmp_path / "b.idx.gz").write_bytes(packed)
    for name in ("a.h5", "a.idx", "b.idx.gz"):
        for function in (count_items, lambda path: read_item(path, 0)):
            with pytest.raises(ImageError, match=name):
                function(tmp_path / name)


def test_one_image_in_millions_of_chunks_is_refused_unread(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (1, 7000, 7000), "u1", chunks=(1, 1, 1))
        file.create_dataset("y", (10**7,), "u1", chunks=(1,))
    for function in (count_items, read_labels):
        with pytest.raises(ImageError, match="0000 chunks"):
            function(tmp_path / "a.h5")


def test_an_image_that_was_never_written_is_refused(images, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, chunks in (("x", (2, 6, 5)), ("late", None)):
            file.create_dataset(key, (10, 6, 5), "u1", chunks=chunks)
        file["x"][:3] = images[:3]
        file["x"][0] = 0
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", (10, 6, 5), "u1")
    assert not read_item(tmp_path / "a.h5", 0).any()
    np.testing.assert_array_equal(read_item(tmp_path / "a.h5", 2), images[2])
    for name, index in (("a.h5", 4), ("a.h5", 9), ("b.h5", 0)):
        with pytest.raises(ImageError, match=f"image {index} was never written"):
            read_item(tmp_path / name, index)


@pytest.mark.parametrize(
    ("shape", "chunks", "reason"),
    [
        ((10**12,), None, "EOSIN_MAX_BYTES"),
        ((10**12,), (10**6,), "EOSIN_MAX_BYTES"),
        ((50_000_000,), (10_000,), "never written"),
        ((1000,), None, "never written"),
        ((1000,), (100,), "never written"),
    ],
)
def test_labels_that_were_never_written_are_refused_unread(shape, chunks, reason, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("y", shape, "u1", chunks=chunks)
    with pytest.raises(ImageError, match=reason):
        read_labels(tmp_path / "a.h5")


def test_odd_kinds_of_array_are_told_in_one_line(tmp_path):
    pair = np.dtype([(f"a{number}", "u1") for number in range(300)])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["pairs"] = np.zeros((2, 3, 3), pair)
        file["empty"] = h5py.Empty("u1")
        file["number"] = 3
        file["two\nlines" + "x" * 999] = np.zeros(3)
        file[b"\xff\xfe"] = np.zeros(3)
        file["type"] = np.dtype("i4")
        file["loop"] = file["/"]
        file.create_dataset("texts", data=["a"], dtype=h5py.string_dtype())
        file.create_dataset("references", (2, 3, 3), dtype=h5py.ref_dtype)
        for number in range(100):
            file[f"group/{number}"] = np.zeros(3)
    with pytest.raises(ImageError, match="contains no images") as caught:
        count_items(tmp_path / "a.h5")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


def test_an_array_with_two_names_is_one(images, write_h5):
    path = write_h5(pixels=images)
    with h5py.File(path, "a") as file:
        file["group/again"] = file["pixels"]
    assert count_items(path) == 10


def test_groups_within_groups_are_walked_without_end(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file
        for _ in range(300):
            group = group.create_group("g")
        group["pixels"] = np.ones((2, 3, 3), np.uint8)
    assert count_items(tmp_path / "a.h5") == 2


def test_a_filter_that_is_not_there_is_named(images, write_h5):
    path = write_h5(x=images, compression="lzf", chunks=(5, 6, 5))
    content = path.read_bytes()
    lzf = (32000).to_bytes(2, "little")
    assert content.count(lzf) == 1
    path.write_bytes(content.replace(lzf, (32111).to_bytes(2, "little")))
    with pytest.raises(ImageError, match=r"filter 32111 .* not installed"):
        read_item(path, 0)


def test_a_damaged_index_of_chunks_crashes_nothing(images, write_h5, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for key in ("first", "second"):
            file.create_dataset(key, data=images, chunks=(5, 3, 5), maxshape=(None, None, 5))
    content = path.read_bytes()
    assert content.count(b"BTHD") == 2
    path.write_bytes(content.replace(b"BTHD", b"BTHX"))
    with pytest.raises(ImageError, match="2 others"):
        count_items(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["a.h5", "a.idx", "a.idx.gz"])
def test_what_is_no_file_is_not_opened(name, tmp_path):
    os.mkfifo(tmp_path / name)
    for function in (count_items, read_labels, lambda path: read_item(path, 0)):
        with pytest.raises(ImageError, match="it is a named pipe, not a file"):
            function(tmp_path / name)
        with pytest.raises(ImageError, match="it is not a valid file name"):
            function(tmp_path / f"\0{name}")


def test_lack_of_memory_is_one_file_s_failure_and_no_damage(images, write_h5, monkeypatch):
    path = write_h5(x=images)

    def fail(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Dataset, "__getitem__", fail)
        with pytest.raises(ImageError, match=r"a\.h5 needs more memory than is free"):
            read_item(path, 3)
    np.testing.assert_array_equal(read_item(path, 3), images[3])


def test_what_is_behind_a_packed_file_is_not_searched_for_more(tmp_path):
    path = tmp_path / "a.idx.gz"
    packed = gzip.compress(idx_bytes(np.zeros((2, 8, 8), np.uint8)))
    with path.open("wb") as stream:
        stream.write(packed)
        stream.truncate(1 << 40)
    started = time.process_time()
    with pytest.raises(ImageError, match="has more than the 128 bytes"):
        read_item(path, 0)
    assert time.process_time() - started < 5


def test_a_small_idx_file_that_says_what_it_unpacks_to_is_refused(tmp_path):
    path = tmp_path / "a.idx.gz"
    claim = struct.pack(">BBBB3I", 0, 0, 8, 3, 100, 1000, 1000)
    path.write_bytes(gzip.compress(claim + bytes(100_000_000), compresslevel=1))
    with pytest.raises(ImageError, match="would unpack to 100,000,000 bytes"):
        count_items(path)
