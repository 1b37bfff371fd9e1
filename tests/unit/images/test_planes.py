"""The channels of fluorescence files, as they were counted."""

import struct
import zlib

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from eosin.core.errors import ImageError
from eosin.images.decode import decode_image
from eosin.images.planes import decode_any, decode_planes

#: 3 channels of 4 × 5, all values different and above 255.
COUNTS = (np.arange(60, dtype=np.uint16) * 1000).reshape(3, 4, 5)
WANTED = np.moveaxis(COUNTS, 0, -1)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (COUNTS, {"photometric": "minisblack", "planarconfig": "separate"}),
        (COUNTS, {"photometric": "minisblack", "metadata": {"axes": "CYX"}}),
        (COUNTS, {"imagej": True, "metadata": {"axes": "CYX"}}),
        (COUNTS, {"ome": True, "metadata": {"axes": "CYX"}}),
        (WANTED, {"photometric": "rgb"}),
        (COUNTS[None, :, None], {"ome": True, "metadata": {"axes": "TCZYX"}}),
    ],
    ids=["planar", "pages", "imagej", "ome", "rgb", "single time and plane"],
)
def test_every_way_in_which_tiff_keeps_channels(tmp_path, values, options):
    tifffile.imwrite(tmp_path / "a.ome.tif", values, **options)
    planes = decode_planes(tmp_path / "a.ome.tif")
    assert planes.dtype == np.uint16
    assert planes.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(planes, WANTED)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_one_channel(tmp_path, dtype):
    values = (COUNTS[0] % 251).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values)
    Image.fromarray(values).save(tmp_path / "a.png")
    for name in ("a.tif", "a.png"):
        planes = decode_planes(tmp_path / name)
        assert planes.dtype == dtype
        np.testing.assert_array_equal(planes, values[..., None])


def test_channels_inside_a_container(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.stack([WANTED, WANTED + 1])
    np.testing.assert_array_equal(decode_planes(tmp_path / "x.h5", 1), WANTED + 1)


@pytest.mark.parametrize(
    ("shape", "axes", "result"),
    [
        ((2, 3, 4, 5), "TCYX", "T 2, C 3, Y 4, X 5"),
        ((2, 4, 5), "ZYX", "Z 2, Y 4, X 5"),
    ],
)
def test_time_points_and_focal_planes_are_refused_by_name(tmp_path, shape, axes, result):
    tifffile.imwrite(
        tmp_path / "a.ome.tif", np.zeros(shape, np.uint16), ome=True, metadata={"axes": axes}
    )
    with pytest.raises(
        ImageError, match=f"has the axes {result}; only one focal plane and one time"
    ):
        decode_planes(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("dtype", [np.float32, np.uint32, np.int16])
def test_other_depths_are_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), dtype))
    with pytest.raises(ImageError, match=f"{np.dtype(dtype)} pixels; uint8 or uint16 is needed"):
        decode_planes(tmp_path / "a.tif")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7])
def test_a_truncated_file_is_refused(tmp_path, share):
    values = np.random.default_rng(0).integers(0, 65_536, (3, 64, 64), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError, match=r"a\.tif"):
        decode_planes(tmp_path / "a.tif")


def test_limits_hold_before_anything_is_decoded(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", COUNTS, photometric="minisblack")
    monkeypatch.setenv("EOSIN_MAX_CHANNELS", "2")
    with pytest.raises(ImageError, match="3 channels; at most 2"):
        decode_planes(tmp_path / "a.tif")
    monkeypatch.setenv("EOSIN_MAX_PIXELS", "19")
    with pytest.raises(ImageError, match="5 × 4 pixels; at most 19"):
        decode_planes(tmp_path / "a.tif")


def test_an_absent_file_and_an_odd_kind(tmp_path):
    for name in ("none.tif", "none.png"):
        with pytest.raises(ImageError, match="does not exist"):
            decode_planes(tmp_path / name)
    Image.new("P", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="grey or RGB of 8 or 16 bits"):
        decode_planes(tmp_path / "a.png")


def test_an_unknown_file_is_rgb_if_it_can_be(tmp_path):
    Image.new("P", (4, 4)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", COUNTS, photometric="minisblack")
    np.testing.assert_array_equal(decode_any(tmp_path / "a.png"), decode_image(tmp_path / "a.png"))
    np.testing.assert_array_equal(decode_any(tmp_path / "a.tif"), WANTED)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match="is not an image that can be read"):
        decode_any(tmp_path / "b.png")


@pytest.mark.data
def test_real_cells(data_root):
    cell = next((data_root / "mcf7-fluorescence").rglob("*.tif"))
    planes = decode_planes(cell)
    assert (planes.shape, planes.dtype) == ((68, 68, 3), np.uint16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [1, 3])
def test_lzw_needs_no_other_package(tmp_path, dtype, count):
    top = np.iinfo(dtype).max
    planes = np.random.default_rng(0).integers(0, top, (count, 9, 14)).astype(dtype)
    first, *others = (Image.fromarray(plane) for plane in planes)
    path = tmp_path / "a.tif"
    first.save(path, compression="tiff_lzw", save_all=True, append_images=others)
    np.testing.assert_array_equal(decode_planes(path), np.moveaxis(planes, 0, -1))


def test_colours_of_16_bits_in_a_png_do_not_lose_half_of_them(tmp_path):
    body = zlib.compress(b"\0" + bytes(range(64, 70)))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)), (b"IDAT", body)]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in [*chunks, (b"IEND", b"")]:
        check = struct.pack(">I", zlib.crc32(kind + content))
        data += struct.pack(">I", len(content)) + kind + content + check
    (tmp_path / "a.png").write_bytes(data)
    assert decode_image(tmp_path / "a.png").tolist() == [[[64, 66, 68]]]
    with pytest.raises(ImageError, match="16 bits per colour"):
        decode_planes(tmp_path / "a.png")


def test_what_would_take_too_much_memory_is_refused(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 4, 5), np.uint16), photometric="minisblack")
    monkeypatch.setenv("EOSIN_MAX_BYTES", "119")
    with pytest.raises(ImageError, match="unpacks to 120 bytes; at most 119 are read"):
        decode_planes(tmp_path / "a.tif")
