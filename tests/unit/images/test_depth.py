"""Bit depth of brightfield images: 10 to 14 bits in files of 16."""

import struct
import zlib

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from eosin.core.errors import ImageError
from eosin.images.decode import decode_image
from eosin.images.planes import decode_any

EIGHT = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
EIGHT[0, 0] = 255


def deep(bits, channels=3):
    """The same picture as a camera of so many bits counts it, in 16."""
    values = EIGHT.astype(np.uint16) << (bits - 8)
    return values if channels == 3 else values[..., 0]


def wanted(channels):
    return EIGHT if channels == 3 else np.repeat(EIGHT[..., :1], 3, axis=-1)


def write(path, values, **options):
    photometric = "rgb" if values.ndim == 3 else "minisblack"
    tifffile.imwrite(path, values, photometric=photometric, **options)
    return path


def write_png(path, values, significant=None):
    def chunk(kind, body):
        return (
            struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    height, width = values.shape[:2]
    colour_type = 2 if values.ndim == 3 else 0
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = b"\x89PNG\r\n\x1a\n"
    data += chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    if significant is not None:
        data += chunk(b"sBIT", bytes([significant]) * (3 if values.ndim == 3 else 1))
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("write_it", [write, write_png])
def test_fewer_bits_than_the_file_has_are_refused_rather_than_read_as_black(
    tmp_path, bits, channels, write_it
):
    path = write_it(tmp_path / "a.img", deep(bits, channels))
    with pytest.raises(ImageError, match=f"only {bits} of its 16 bits"):
        decode_image(path)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("write_it", [write, write_png])
def test_all_16_bits_are_read_without_a_word_on_depth(tmp_path, channels, write_it):
    path = write_it(tmp_path / "a.img", deep(16, channels))
    np.testing.assert_array_equal(decode_image(path), wanted(channels))


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_largest_sample_that_a_tiff_states_is_its_depth(
    tmp_path, bits, channels, byteorder, compression
):
    tag = (281, "H", channels, (2**bits - 1,) * channels if channels > 1 else 2**bits - 1, True)
    values = deep(bits, channels)
    options = {"byteorder": byteorder, "compression": compression, "extratags": [tag]}
    path = write(tmp_path / "a.tif", values, **options)
    np.testing.assert_array_equal(decode_image(path), wanted(channels))


def test_a_stated_depth_that_the_values_exceed_is_not_believed(tmp_path):
    tag = (281, "H", 1, 4095, True)
    path = write(tmp_path / "a.tif", deep(16, 1), extratags=[tag])
    np.testing.assert_array_equal(decode_image(path), wanted(1))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_significant_bits_of_ome_are_its_depth(tmp_path, channels):
    axes = "YXS" if channels == 3 else "YX"
    metadata = {"axes": axes, "SignificantBits": 12}
    path = write(tmp_path / "a.ome.tif", deep(12, channels), ome=True, metadata=metadata)
    np.testing.assert_array_equal(decode_image(path), wanted(channels))


def test_the_significant_bits_of_a_png_are_its_depth(tmp_path):
    path = write_png(tmp_path / "a.png", deep(12, 1), significant=12)
    np.testing.assert_array_equal(decode_image(path), wanted(1))
    # As the format wants it: scaled to the whole range.
    path = write_png(tmp_path / "b.png", deep(16, 1), significant=12)
    np.testing.assert_array_equal(decode_image(path), wanted(1))


def test_a_turned_image_of_stated_depth_is_upright(tmp_path):
    tags = [(281, "H", 3, (4095,) * 3, True), (274, "H", 1, 6, True)]
    path = write(tmp_path / "a.tif", deep(12), extratags=tags)
    np.testing.assert_array_equal(decode_image(path), np.rot90(EIGHT, -1))


def test_black_is_black_at_any_depth(tmp_path):
    path = write(tmp_path / "a.tif", np.zeros((4, 5), dtype=np.uint16))
    assert not decode_image(path).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_containers_are_held_to_the_same_rule(tmp_path, channels):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.stack([deep(16, channels), deep(12, channels)])
    np.testing.assert_array_equal(decode_image(tmp_path / "x.h5", 0), wanted(channels))
    with pytest.raises(ImageError, match="only 12 of its 16 bits"):
        decode_image(tmp_path / "x.h5", 1)


def test_where_nothing_is_known_of_an_image_its_counts_are_kept(tmp_path):
    Image.fromarray(deep(12, 1)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_any(tmp_path / "a.png")[..., 0], deep(12, 1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bright", [1, 2, 4, 8])
def test_the_image_s_own_largest_value_is_no_statement_of_depth(tmp_path, channels, bright):
    values = deep(12, channels) // 2 * bright
    largest = int(values.max())
    tag = (281, "H", channels, (largest,) * channels if channels > 1 else largest, True)
    path = write(tmp_path / "a.tif", values, extratags=[tag])
    if largest < 16_384:
        with pytest.raises(ImageError, match=f"only {largest.bit_length()} of its 16 bits"):
            decode_image(path)
    else:
        plain = write(tmp_path / "b.tif", values)
        np.testing.assert_array_equal(decode_image(path), decode_image(plain))


def test_significant_bits_count_beside_the_image_s_own_largest_value(tmp_path):
    metadata, tag = {"axes": "YX", "SignificantBits": 12}, (281, "H", 1, 4080, True)
    path = write(tmp_path / "a.ome.tif", deep(12, 1), ome=True, metadata=metadata, extratags=[tag])
    np.testing.assert_array_equal(decode_image(path), wanted(1))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}])
@pytest.mark.parametrize("write_it", [write, write_png])
def test_black_colours_are_black_at_any_depth(tmp_path, write_it, options):
    options = options if write_it is write else {}
    path = write_it(tmp_path / "a.img", np.zeros((4, 5, 3), dtype=np.uint16), **options)
    assert not decode_image(path).any()
