"""Fast decoding of plain PNG files: Pillow's pixels, and Pillow's refusals."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from eosin.core.errors import ImageError
from eosin.images.decode import decode_image
from eosin.images.limits import Limits
from eosin.images.png import decode_plain_png

#: Odd sizes, and more rows than a block of deflate holds.
SHAPES = [(1, 1), (3, 7), (224, 224), (150, 301)]


def noise(height, width, channels=3):
    drawn = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    drawn[: height // 2] = drawn[0, 0]  # an even part, which packs
    return drawn


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", [0, 1, 9])
def test_pixels_are_those_that_were_saved(tmp_path, shape, level):
    pixels = noise(*shape)
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=level)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("level", [1, 9])
def test_a_usual_file_is_decoded_here(tmp_path, level):
    pixels = noise(64, 96)
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=level, dpi=(96, 96))
    np.testing.assert_array_equal(decode_plain_png(tmp_path / "a.png", Limits()), pixels)


def chunks_of(content):
    place, found = 8, []
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        found.append((kind, content[place + 8 : place + 8 + length]))
        place += length + 12
    return found


def pack(chunks):
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        parts += [struct.pack(">I", len(body)), kind, body, checksum]
    return b"".join(parts)


def test_pixels_in_many_chunks(tmp_path):
    pixels = noise(40, 50)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    split = []
    for kind, body in chunks_of((tmp_path / "a.png").read_bytes()):
        size = 100 if kind == b"IDAT" else max(len(body), 1)
        split += [(kind, body[at : at + size]) for at in range(0, max(len(body), 1), size)]
    (tmp_path / "b.png").write_bytes(pack(split))
    np.testing.assert_array_equal(decode_plain_png(tmp_path / "b.png", Limits()), pixels)


def save_with_text(path, pixels):
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "a scanner")
    Image.fromarray(pixels).save(path, pnginfo=info)


def save_turned(path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    Image.fromarray(pixels).save(path, exif=exif)


OTHERS = {
    "alpha": lambda path, _: Image.fromarray(noise(9, 8, 4)).save(path),
    "grey": lambda path, pixels: Image.fromarray(pixels[..., 0]).save(path),
    "palette": lambda path, pixels: Image.fromarray(pixels).quantize(16).save(path),
    "a transparent colour": lambda path, pixels: Image.fromarray(pixels).save(
        path, transparency=tuple(map(int, pixels[0, 0]))
    ),
    "text": save_with_text,
    "turned by EXIF": save_turned,
    "a TIFF by another name": lambda path, pixels: Image.fromarray(pixels).save(path, "TIFF"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_left_to_pillow(tmp_path, kind):
    OTHERS[kind](tmp_path / "a.png", noise(9, 8))
    assert decode_plain_png(tmp_path / "a.png", Limits()) is None
    assert decode_image(tmp_path / "a.png").shape[2] == 3


def test_orientation_is_applied(tmp_path):
    pixels = noise(9, 8)
    save_turned(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), np.rot90(pixels, -1))


def corrupt(content, place):
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "pixels": lambda content: corrupt(content, len(content) // 2),
    "too few rows": lambda content: pack(
        [
            (kind, zlib.compress(zlib.decompress(body)[:-200]) if kind == b"IDAT" else body)
            for kind, body in chunks_of(content)
        ]
    ),
    "not unpacking": lambda content: pack(
        [(kind, b"x" * len(body) if kind == b"IDAT" else body) for kind, body in chunks_of(content)]
    ),
    "an unknown filter": lambda content: pack(
        [
            (kind, zlib.compress(b"\x09" + zlib.decompress(body)[1:]) if kind == b"IDAT" else body)
            for kind, body in chunks_of(content)
        ]
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused(tmp_path, damage):
    Image.fromarray(noise(40, 30)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(DAMAGES[damage]((tmp_path / "a.png").read_bytes()))
    with pytest.raises(ImageError, match=r"b\.png"):
        decode_image(tmp_path / "b.png")


def test_a_higher_image_is_not_filled_up_with_black(tmp_path):
    """Pillow reads such a file without an error."""
    Image.fromarray(noise(40, 30)).save(tmp_path / "a.png")
    header, *others = chunks_of((tmp_path / "a.png").read_bytes())
    taller = struct.pack(">II", 30, 60) + header[1][8:]
    (tmp_path / "b.png").write_bytes(pack([(b"IHDR", taller), *others]))
    assert Image.open(tmp_path / "b.png").convert("RGB").size == (30, 60)
    with pytest.raises(ImageError, match=r"b\.png"):
        decode_image(tmp_path / "b.png")


def test_more_rows_than_the_header_states_are_left_to_pillow(tmp_path):
    pixels = noise(40, 30)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    longer = [
        (kind, zlib.compress(zlib.decompress(body) + b"\0" * 10**7) if kind == b"IDAT" else body)
        for kind, body in chunks_of((tmp_path / "a.png").read_bytes())
    ]
    (tmp_path / "b.png").write_bytes(pack(longer))
    assert decode_plain_png(tmp_path / "b.png", Limits()) is None


def test_limits_hold(tmp_path):
    Image.fromarray(noise(40, 30)).save(tmp_path / "a.png")
    assert decode_plain_png(tmp_path / "a.png", Limits(max_pixels=40 * 30 - 1)) is None
    assert decode_plain_png(tmp_path / "absent.png", Limits()) is None
