"""Odd kinds of image files: several pages, rare TIFFs, and files that are no images."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from eosin.core.errors import ImageError
from eosin.images.decode import decode_image
from eosin.images.planes import decode_any, decode_planes

RGB = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
HALF = RGB[::2, ::2]


def test_the_previews_of_a_phone_s_jpeg_are_no_pages(tmp_path):
    image, path = Image.fromarray(RGB), tmp_path / "phone.jpg"
    image.save(path, format="MPO", save_all=True, append_images=[image.resize((16, 16))])
    assert decode_image(path).shape == RGB.shape
    assert decode_planes(path).shape == RGB.shape
    Image.fromarray(RGB).save(tmp_path / "plain.jpg")
    np.testing.assert_array_equal(decode_image(path), decode_image(tmp_path / "plain.jpg"))


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_an_animation_is_refused(tmp_path, ending):
    image, path = Image.fromarray(RGB), tmp_path / f"a.{ending}"
    image.save(path, save_all=True, append_images=[image.rotate(90)])
    for decode in (decode_image, decode_planes, decode_any):
        with pytest.raises(ImageError, match="2 pages"):
            decode(path)


@pytest.mark.parametrize("in_pages", [True, False])
@pytest.mark.parametrize("small_first", [True, False])
def test_smaller_copies_are_no_pages(tmp_path, in_pages, small_first):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        if in_pages and small_first:
            file.write(HALF, photometric="rgb", subfiletype=1)
        file.write(RGB, photometric="rgb", subifds=0 if in_pages else 1)
        if not (in_pages and small_first):
            file.write(HALF, photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.tif"), RGB)


def test_pages_that_are_not_said_to_be_copies_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([RGB, RGB]), photometric="rgb")
    with pytest.raises(ImageError, match="2 pages"):
        decode_image(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_big_tiff_of_the_other_byte_order_is_read(tmp_path, dtype, compression):
    values = RGB.astype(dtype) * (257 if dtype == np.uint16 else 1)
    options = {"bigtiff": True, "byteorder": ">", "compression": compression}
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", **options)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.tif"), RGB)
    tifffile.imwrite(tmp_path / "b.tif", values[..., 0], photometric="miniswhite", **options)
    np.testing.assert_array_equal(decode_image(tmp_path / "b.tif")[..., 0], 255 - RGB[..., 0])


def test_the_size_of_a_rare_tiff_is_limited_too(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", bigtiff=True, byteorder=">")
    monkeypatch.setenv("EOSIN_MAX_PIXELS", "100")
    with pytest.raises(ImageError, match="at most 100"):
        decode_image(tmp_path / "a.tif")


@pytest.mark.parametrize("bigtiff", [True, False])
@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        *[(np.float32, "floating-point"), (np.float64, "floating-point")],
        *[(np.uint32, "unsigned pixels of 32"), (np.int8, "signed pixels of 8")],
    ],
)
def test_colours_of_another_kind_are_named(tmp_path, dtype, kind, bigtiff):
    values = (RGB / 255).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", bigtiff=bigtiff)
    with pytest.raises(ImageError, match=kind):
        decode_image(tmp_path / "a.tif")


def test_cielab_is_named(tmp_path):
    Image.fromarray(RGB).convert("LAB").save(tmp_path / "a.tif")
    for decode in (decode_image, decode_planes, decode_any):
        with pytest.raises(ImageError, match="CIELAB"):
            decode(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
        (b"<html>404 not found</html>", "web page"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
        (b"MM\0+\0\x08\0\0", "damaged or truncated"),
        (b"II*\0", "damaged or truncated"),
        (b"II*\0\xff\xff\xff\x7f" + bytes(99), "damaged or truncated"),
        (bytes(128) + b"DICM" + bytes(99), "DICOM"),
        (b"%PDF-1.7\n" + bytes(99), "PDF"),
        (b"ZISRAWFILE" + bytes(99), "CZI"),
        (b"\x93NUMPY" + bytes(99), "NumPy"),
        # A text transfer turned the line ends of the first around.
        (b"\x89PNG\n\x1a\n" + bytes(99), "damaged PNG"),
        (b"\xff\xd8\xff\xe0" + bytes(99), "damaged JPEG"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match=reason):
        decode_image(tmp_path / "a.png")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_file_of_a_rare_kind_is_damaged(tmp_path, share):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", bigtiff=True, byteorder=">")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ImageError):
        decode_image(path)
