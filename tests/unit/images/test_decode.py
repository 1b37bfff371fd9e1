"""One image file into 8-bit RGB: every kind that comes in, and every refusal."""

import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from eosin.core.errors import ImageError
from eosin.images.decode import decode_image, may_be_deep_grey, opened_image
from eosin.images.limits import Limits

# 2 × 3 pixels, all different, so that a transposition shows.
RGB = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 14
GREY = np.array([[0, 50, 100], [150, 200, 255]], dtype=np.uint8)


def png(side, bits, colour_type, pixels):
    """A PNG by hand: Pillow writes no 16-bit colour, and no header that lies."""

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", side, side, bits, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


def test_rgb_comes_as_it_is(tmp_path):
    for name in ("a.png", "a.tif", "a.bmp"):
        Image.fromarray(RGB).save(tmp_path / name)
        decoded = decode_image(tmp_path / name)
        assert decoded.dtype == np.uint8
        np.testing.assert_array_equal(decoded, RGB)


def test_grey_fills_three_channels(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), np.dstack([GREY] * 3))


def test_black_and_white_is_0_and_255(tmp_path):
    Image.fromarray(GREY > 120).save(tmp_path / "a.png")
    decoded = decode_image(tmp_path / "a.png")
    np.testing.assert_array_equal(decoded[..., 1], np.where(GREY > 120, 255, 0))


def test_a_palette_is_looked_up(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 1], [1, 0, 0]], dtype=np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.save(tmp_path / "a.png")
    decoded = decode_image(tmp_path / "a.png")
    np.testing.assert_array_equal(decoded[0], [[10, 20, 30], [200, 100, 0], [200, 100, 0]])


def test_alpha_is_laid_over_white(tmp_path):
    alpha = np.array([[255, 0, 51], [255, 255, 255]], dtype=np.uint8)
    Image.fromarray(np.dstack([RGB, alpha])).save(tmp_path / "a.png")
    decoded = decode_image(tmp_path / "a.png")
    np.testing.assert_array_equal(decoded[1], RGB[1])
    np.testing.assert_array_equal(decoded[0, 0], RGB[0, 0])
    np.testing.assert_array_equal(decoded[0, 1], [255, 255, 255])
    expected = 0.2 * RGB[0, 2] + 0.8 * 255
    assert np.abs(decoded[0, 2] - expected).max() <= 1  # one grey level of rounding


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_is_white(tmp_path, mode):
    # White as a microscope's background, whatever colour the file hides behind it.
    image = Image.new(mode, (3, 2), 0)
    image.save(tmp_path / "a.png", transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert (decode_image(tmp_path / "a.png") == 255).all()


def test_grey_with_alpha(tmp_path):
    Image.fromarray(np.dstack([GREY, np.zeros_like(GREY)]), mode="LA").save(tmp_path / "a.png")
    assert (decode_image(tmp_path / "a.png") == 255).all()


def test_cmyk_becomes_rgb(tmp_path):
    # No ink is paper; full cyan leaves no red.
    Image.new("CMYK", (4, 4), (0, 0, 0, 0)).save(tmp_path / "paper.tif")
    Image.new("CMYK", (4, 4), (255, 0, 0, 0)).save(tmp_path / "cyan.tif")
    assert (decode_image(tmp_path / "paper.tif") == 255).all()
    np.testing.assert_array_equal(decode_image(tmp_path / "cyan.tif")[0, 0], [0, 255, 255])


def test_the_orientation_of_a_camera_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), np.rot90(RGB, k=-1))


def test_the_decoded_array_can_outlive_the_file(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    decoded = decode_image(path)
    path.unlink()
    np.testing.assert_array_equal(decoded, RGB)


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_of_16_bits_the_upper_eight_are_kept(tmp_path, colour_type, channels):
    has_alpha = colour_type in {4, 6}
    pixel = b"\x52\x34" * (channels - has_alpha) + b"\xff\xff" * has_alpha
    (tmp_path / "a.png").write_bytes(png(4, 16, colour_type, (b"\x00" + pixel * 4) * 4))
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), np.full((4, 4, 3), 0x52))


@pytest.mark.parametrize(("name", "bits"), [("a.png", 8), ("a.png", 16), ("a.tif", 16)])
def test_grey_of_16_bits_is_known_from_the_header(tmp_path, name, bits):
    values = np.full((8, 8), 2**bits - 1, np.uint16 if bits > 8 else np.uint8)
    Image.fromarray(values).save(tmp_path / name)
    assert may_be_deep_grey(tmp_path / name) == (bits > 8)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_grey_tiff_of_16_bits(tmp_path, byteorder):
    values = np.array([[0, 255, 256], [40_000, 65_280, 65_535]], dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=byteorder)
    decoded = decode_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(decoded[..., 0], [[0, 0, 1], [156, 255, 255]])
    assert (decoded == decoded[..., :1]).all()


def test_channels_that_are_no_colours_are_refused(tmp_path):
    values = np.zeros((3, 4, 5), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="separate")
    with pytest.raises(ImageError, match="3 non-RGB channels"):
        decode_image(tmp_path / "a.tif")


def test_an_image_inside_a_container(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = colour
    np.testing.assert_array_equal(decode_image(tmp_path / "x.h5", 1), colour[1])
    with h5py.File(tmp_path / "grey.h5", "w") as file:
        file["x"] = colour[..., 0].astype(np.uint16) * 256
    decoded = decode_image(tmp_path / "grey.h5", 2)
    np.testing.assert_array_equal(decoded, np.repeat(colour[2, ..., :1], 3, axis=-1))
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["x"] = colour[..., :2]
    with pytest.raises(ImageError, match="images of 2 channels; 1 or 3 are needed"):
        decode_image(tmp_path / "two.h5", 0)


@pytest.mark.parametrize(("mode", "kind"), [("F", "floating-point"), ("I", "32-bit")])
def test_deep_grey_is_refused_by_its_kind(tmp_path, mode, kind):
    Image.new(mode, (3, 2)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=kind):
        decode_image(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_truncated_file_is_refused(tmp_path, name, share):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError, match="cannot be"):
        decode_image(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_no_image_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError):
        decode_image(tmp_path / "a.png")


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        decode_image(tmp_path / "none.png")
    with pytest.raises(ImageError):
        decode_image(tmp_path)


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setenv("EOSIN_MAX_PIXELS", "5")
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"has 3 × 2 pixels; at most 5 are read"):
        decode_image(tmp_path / "a.png")
    monkeypatch.setenv("EOSIN_MAX_PIXELS", "6")
    assert decode_image(tmp_path / "a.png").shape == (2, 3, 3)


def test_a_decompression_bomb_is_refused(tmp_path):
    # A few bytes that claim 400 million pixels.
    (tmp_path / "a.png").write_bytes(png(20_000, 1, 0, b"\x00"))
    with pytest.raises(ImageError, match="larger than 50000000 pixels"):
        decode_image(tmp_path / "a.png")


@pytest.mark.data
def test_real_fields_decode_and_fluorescence_is_refused(data_root):
    field = next((data_root / "breakhis-700x460").rglob("*.png"))
    assert decode_image(field).shape == (460, 700, 3)
    cell = next((data_root / "mcf7-fluorescence").rglob("*.tif"))
    with pytest.raises(ImageError, match="3 non-RGB channels"):
        decode_image(cell)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_of_8_and_16_bits_is_turned_as_it_says(tmp_path, name, dtype, orientation):
    turned = {
        1: GREY,
        2: GREY[:, ::-1],
        3: GREY[::-1, ::-1],
        4: GREY[::-1],
        5: GREY.T,
        6: np.rot90(GREY, -1),
        7: GREY[::-1, ::-1].T,
        8: np.rot90(GREY),
    }
    stored = GREY.astype(dtype) * (256 if dtype == np.uint16 else 1)
    exif = Image.Exif()
    exif[274] = orientation
    if name == "a.png":
        Image.fromarray(stored).save(tmp_path / name, exif=exif)
    else:
        tifffile.imwrite(tmp_path / name, stored, extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_array_equal(decode_image(tmp_path / name)[..., 0], turned[orientation])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_negative_is_seen_as_it_is_meant(tmp_path, dtype):
    stored = GREY.astype(dtype) * (257 if dtype == np.uint16 else 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    np.testing.assert_array_equal(decode_image(tmp_path / "a.tif")[..., 0], 255 - GREY)


def test_of_12_bits_the_upper_eight_are_kept(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((2, 4), 0xABAB, dtype=np.uint16))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags["BitsPerSample"].overwrite(12)
    # Packed, the bytes AB AB AB are the counts ABA and BAB.
    assert set(decode_image(tmp_path / "a.tif").ravel().tolist()) == {0xAB, 0xBA}


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_colours_of_16_bits_one_behind_the_other(tmp_path, compression):
    path = tmp_path / "a.tif"
    planes = np.moveaxis(RGB, -1, 0).astype(np.uint16) << 8
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": compression}
    tifffile.imwrite(path, planes, **options)
    np.testing.assert_array_equal(decode_image(path), RGB)


def test_whatever_pillow_stumbles_over_is_told_as_a_broken_image(tmp_path):
    page = Image.fromarray(GREY)
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page])
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        # A second page without a width: Pillow raises TypeError for it.
        offset = file.pages[1].aspage().tags["ImageWidth"].offset
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[offset : offset + 2] = struct.pack("<H", 60_000)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.tif cannot be decoded: "):
        decode_image(tmp_path / "a.tif")


def test_the_limit_can_be_raised_above_pillow_s_own(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), RGB)


def test_a_document_under_an_image_s_name_is_never_handed_to_another_program(tmp_path):
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "a.png").write_bytes(script)
    with pytest.raises(ImageError, match="is not an image that can be read"):
        decode_image(tmp_path / "a.png")


def test_decoding_on_many_threads_leaves_the_process_s_warnings_alone(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    before = list(warnings.filters)
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first():
        with opened_image(tmp_path / "a.png", Limits()):
            first_in.set()
            assert second_in.wait(10)
        first_out.set()

    def second():
        assert first_in.wait(10)
        with opened_image(tmp_path / "a.png", Limits()):
            second_in.set()
            assert first_out.wait(10)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result()
    assert warnings.filters == before
