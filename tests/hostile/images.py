"""Hostile image files: damaged, lying, huge once unpacked, of other kinds, with odd names."""

import gzip
import io
import itertools
import os
import pickle
import socket
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from tests.hostile.drafts import SEED, Draft, damaged, hole, link

#: Just below what is read at most: 49 million pixels.
_LARGE = 7000
_MAGIC_PNG = b"\x89PNG\r\n\x1a\n"


def draw(height=32, width=40, seed=SEED):
    """Return a small picture of blobs, uint8, shape (H, W, 3)."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    light = np.full((height, width), 235.0)
    for _ in range(12):
        cy, cx, r = chance.uniform(0, height), chance.uniform(0, width), chance.uniform(2, 7)
        light -= 90 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / r**2)
    colours = light[..., None] - np.array([0, 60, 20]) + chance.normal(0, 4, (height, width, 3))
    return colours.clip(0, 255).astype(np.uint8)


def save(image, file_format, **options):
    """Return the bytes of a picture in a format of Pillow."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, file_format, **options)
    return stream.getvalue()


def image_drafts():
    """Yield every hostile image file as a draft."""
    yield from _damaged_images()
    for make in (
        _lying_png,
        _lying_jpeg,
        _lying_tiff,
        _cyclic_tiff,
        _lying_others,
        _bombs,
        _foreign,
        _special,
        _holes,
        _names,
    ):
        yield from make()


def _damaged_images():
    thumbnail = draw()
    deep = thumbnail.astype(np.uint16) * 257
    for family, suffix, data in (
        ("png", ".png", save(thumbnail, "PNG")),
        ("png-grey16", ".png", save(deep[..., 0], "PNG")),
        ("png-palette", ".png", _palette(thumbnail)),
        ("jpeg", ".jpg", save(thumbnail, "JPEG", quality=90)),
        ("jpeg-progressive", ".jpg", save(thumbnail, "JPEG", progressive=True)),
        ("jpeg-cmyk", ".jpg", _cmyk(thumbnail)),
        ("tiff-raw", ".tif", save(thumbnail, "TIFF")),
        ("tiff-lzw", ".tif", save(thumbnail, "TIFF", compression="tiff_lzw")),
        ("tiff-deflate", ".tif", save(thumbnail, "TIFF", compression="tiff_adobe_deflate")),
        ("tiff-jpeg", ".tif", save(thumbnail, "TIFF", compression="jpeg")),
        ("tiff-deep", ".tif", _tifffile(deep)),
        ("tiff-planar", ".tif", _tifffile(deep.transpose(2, 0, 1), planarconfig="separate")),
        ("tiff-tiled", ".tif", _tifffile(draw(64, 64), tile=(16, 16), compression="zlib")),
        ("tiff-big", ".tif", _tifffile(thumbnail, bigtiff=True)),
        ("bmp", ".bmp", save(thumbnail, "BMP")),
        ("gif", ".gif", save(thumbnail, "GIF")),
        ("webp", ".webp", save(thumbnail, "WEBP")),
        ("webp-lossless", ".webp", save(thumbnail, "WEBP", lossless=True)),
        ("jp2", ".jp2", save(thumbnail, "JPEG2000")),
        ("ppm", ".ppm", save(thumbnail, "PPM")),
    ):
        yield from damaged(family, family, suffix, data)


def _palette(thumbnail):
    stream = io.BytesIO()
    Image.fromarray(thumbnail).quantize(16).save(stream, "PNG", transparency=3)
    return stream.getvalue()


def _cmyk(thumbnail):
    stream = io.BytesIO()
    Image.fromarray(thumbnail).convert("CMYK").save(stream, "JPEG")
    return stream.getvalue()


def _tifffile(values, **options):
    stream = io.BytesIO()
    options = {"photometric": "rgb", **options}
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


# PNG


def chunk(kind, data, length=None, checksum=None):
    """Return a chunk of a PNG, whose length and checksum may lie."""
    length = len(data) if length is None else length
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", length) + kind + data + struct.pack(">I", checksum)


def png(width, height, *, bits=8, colour=2, interlace=0, extra=b"", data=None):
    """Return a PNG whose header need not fit its pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    data = zlib.compress(bytes(32 * 121)) if data is None else data
    return _MAGIC_PNG + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _lying_png():
    family = "lying-png"
    sizes = (
        (0, 40),
        (40, 0),
        (2**31 - 1, 2**31 - 1),
        (2**32 - 1, 1),
        (100_000, 100_000),
        (7000, 7000),
        (1, 50_000_000),
        (40, 33),
        (1, 1),
    )
    for width, height in sizes:
        yield Draft(family, f"size-{width}x{height}.png", png(width, height))
    for bits, colour in ((3, 2), (16, 3), (99, 2), (8, 1), (8, 7), (8, 255), (1, 6), (0, 0)):
        yield Draft(
            family, f"bits-{bits}-colour-{colour}.png", png(40, 32, bits=bits, colour=colour)
        )
    yield Draft(family, "interlace-9.png", png(40, 32, interlace=9))
    yield Draft(family, "palette-absent.png", png(40, 32, colour=3))
    palette = chunk(b"PLTE", bytes(3 * 300))
    yield Draft(family, "palette-of-300.png", png(40, 32, colour=3, extra=palette))
    yield Draft(family, "deflate-lies.png", png(40, 32, data=b"\x78\x9c" + bytes(50)))
    yield Draft(family, "deflate-ends-early.png", png(40, 32, data=zlib.compress(b"x")))
    yield Draft(family, "deflate-goes-on.png", png(40, 32, data=zlib.compress(bytes(10_000_000))))
    end = chunk(b"IEND", b"")
    head = png(40, 32)[: -len(end)]
    yield Draft(family, "no-end.png", head)
    yield Draft(family, "length-huge.png", head + chunk(b"tEXt", b"x", length=2**31 - 1))
    yield Draft(family, "length-negative.png", head + chunk(b"tEXt", b"x", length=2**32 - 1))
    yield Draft(family, "checksum.png", _MAGIC_PNG + chunk(b"IHDR", bytes(13), checksum=1) + end)
    yield Draft(family, "no-header.png", _MAGIC_PNG + chunk(b"IDAT", b"") + end)
    yield Draft(family, "short-header.png", _MAGIC_PNG + chunk(b"IHDR", bytes(5)) + end)
    two = struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)
    yield Draft(family, "two-headers.png", png(40, 32, extra=chunk(b"IHDR", two)))
    for kind, data in (
        (b"iCCP", b"x\0\0" + zlib.compress(bytes(64 << 20))),
        (b"iCCP", b"x\0\0" + zlib.compress(b"no profile")),
        (b"zTXt", b"x\0\0" + zlib.compress(bytes(64 << 20))),
        (b"iTXt", b"x\0\1\0\0\0" + zlib.compress(bytes(64 << 20))),
        (b"tEXt", b"x\0" + b"y" * 3_000_000),
        (b"tRNS", bytes(5000)),
        (b"acTL", struct.pack(">II", 2**31 - 1, 0)),
        (b"acTL", b"x"),
        (b"gAMA", b""),
        (b"pHYs", b"\0"),
        (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff"),
        (b"eXIf", b"II*\0" + struct.pack("<I", 2**31)),
        (b"sBIT", b"\xff\xff\xff"),
        (b"sBIT", b""),
    ):
        name = f"chunk-{kind.decode()}-{zlib.crc32(data):08x}.png"
        yield Draft(family, name, png(40, 32, extra=chunk(kind, data)))
    many = b"".join(chunk(b"tEXt", b"k%d\0v" % number) for number in range(50_000))
    yield Draft(family, "chunks-50000.png", png(40, 32, extra=many))


# JPEG


def _segment(marker, data, length=None):
    length = len(data) + 2 if length is None else length
    return bytes([0xFF, marker]) + struct.pack(">H", length) + data


def _lying_jpeg():
    family = "lying-jpeg"
    data = save(draw(), "JPEG")
    place = data.index(b"\xff\xc0")
    for height, width in ((0, 40), (32, 0), (65535, 65535), (65500, 700), (1, 1), (33, 41)):
        lie = data[: place + 5] + struct.pack(">HH", height, width) + data[place + 9 :]
        yield Draft(family, f"size-{width}x{height}.jpg", lie)
    for count in (0, 1, 2, 4, 255):
        lie = data[: place + 9] + bytes([count]) + data[place + 10 :]
        yield Draft(family, f"components-{count}.jpg", lie)
    for bits in (1, 12, 16, 255):
        lie = data[: place + 4] + bytes([bits]) + data[place + 5 :]
        yield Draft(family, f"precision-{bits}.jpg", lie)
    for kind in (0xC1, 0xC2, 0xC3, 0xC9, 0xCF):
        lie = data[: place + 1] + bytes([kind]) + data[place + 2 :]
        yield Draft(family, f"process-{kind:02x}.jpg", lie)
    for marker, name in ((0xDB, "quantisation"), (0xC4, "huffman"), (0xDA, "scan")):
        gone = data.index(bytes([0xFF, marker]))
        yield Draft(family, f"no-{name}.jpg", data[:gone] + data[gone + 8 :])
    start, rest = data[:2], data[2:]
    for name, segment in (
        ("exif-cut", _segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")),
        ("exif-cycle", _segment(0xE1, b"Exif\0\0" + _cycle(exif=True))),
        ("exif-orientation", _segment(0xE1, b"Exif\0\0" + _orientation(99))),
        ("exif-text", _segment(0xE1, b"Exif\0\0no exif at all")),
        ("mpf-lies", _segment(0xE2, b"MPF\0" + b"\xff" * 60)),
        ("icc-lies", _segment(0xE2, b"ICC_PROFILE\0\xff\xff" + b"x" * 60)),
        ("jfif-density", _segment(0xE0, b"JFIF\0\1\2\1\0\0\0\0\0\0")),
        ("adobe-transform", _segment(0xEE, b"Adobe\0\x64\0\0\0\0\xff")),
        ("photoshop", _segment(0xED, b"Photoshop 3.0\x008BIM\xff\xff\xff\xff\xff\xff")),
        ("comment", _segment(0xFE, b"x" * 65000)),
        ("length-0", _segment(0xE5, b"x", length=0)),
        ("length-1", _segment(0xE5, b"x", length=1)),
        ("length-65535", _segment(0xE5, b"x", length=65535)),
        ("restart-1", _segment(0xDD, b"\0\1")),
        ("lines", _segment(0xDC, b"\xff\xff")),
    ):
        yield Draft(family, f"{name}.jpg", start + segment + rest)
    yield Draft(family, "comments.jpg", start + _segment(0xFE, b"x" * 65000) * 200 + rest)
    yield Draft(family, "mpo.jpg", data + data)
    yield Draft(family, "filled.jpg", start + b"\xff" * 3_000_000 + rest)
    yield Draft("jpeg-scans", "scans.jpg", _many_scans())


def _many_scans():
    """A progressive JPEG of 36 million pixels that is gone over 400 times."""
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    place = data.index(b"\xff\xc2")
    data = data[: place + 5] + struct.pack(">HH", 6000, 6000) + data[place + 9 :]
    scan = data.rindex(b"\xff\xda")
    return data[:-2] + data[scan:-2] * 400 + b"\xff\xd9"


# TIFF

_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 12: 8, 13: 4, 16: 8}
_RGB = {
    256: (3, [40]),
    257: (3, [32]),
    258: (3, [8, 8, 8]),
    259: (3, [1]),
    262: (3, [2]),
    273: (4, [8]),
    277: (3, [3]),
    278: (3, [32]),
    279: (4, [40 * 32 * 3]),
}
_STRIP = 40 * 32 * 3


def tiff(changes=(), *, data=None, count=None, following=0, order="<", claimed=()):
    """Return a TIFF whose tags need not fit its pixels.

    Args:
        changes: ``{tag: (type, values)}`` over those of an RGB image of 40 × 32 px; ``None``
            leaves a tag out.
        data: Pixels, which lie at byte 8.
        count: Number of tags that the page claims.
        following: Where the next page lies.
        order: ``<`` or ``>``.
        claimed: ``{tag: count}`` of the values that a tag claims.
    """
    data = draw().tobytes() if data is None else data
    data += bytes(len(data) % 2)
    tags = {tag: entry for tag, entry in {**_RGB, **dict(changes)}.items() if entry is not None}
    claimed = dict(claimed)
    place = 8 + len(data)
    behind, table = b"", b""
    start_behind = place + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        packed = _pack(order, kind, values)
        number = claimed.get(tag, len(packed) // _TYPES.get(kind, 1))
        if len(packed) > 4:
            where = struct.pack(f"{order}I", start_behind + len(behind))
            behind += packed + bytes(len(packed) % 2)
        else:
            where = packed.ljust(4, b"\0")
        table += struct.pack(f"{order}HHI", tag, kind, number) + where
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}I", place)
    number = struct.pack(f"{order}H", len(tags) if count is None else count)
    return head + data + number + table + struct.pack(f"{order}I", following) + behind


def _pack(order, kind, values):
    if isinstance(values, bytes):
        return values
    letter = {1: "B", 3: "H", 4: "I", 7: "B", 12: "d", 13: "I", 16: "Q"}.get(kind, "I")
    return struct.pack(f"{order}{len(values)}{letter}", *values)


def _lying_tiff():
    family = "lying-tiff"
    most = 2**32 - 1
    for name, changes in (
        ("width-0", {256: (3, [0])}),
        ("height-0", {257: (3, [0])}),
        ("width-huge", {256: (4, [most])}),
        ("size-huge", {256: (4, [2**31]), 257: (4, [2**31])}),
        ("size-49-million", {256: (4, [_LARGE]), 257: (4, [_LARGE]), 278: (4, [_LARGE])}),
        ("no-width", {256: None}),
        ("no-strips", {273: None, 279: None}),
        ("no-bits", {258: None}),
        ("strip-beyond", {273: (4, [most - 10])}),
        ("strip-in-header", {273: (4, [0])}),
        ("strip-bytes-huge", {279: (4, [most])}),
        ("strip-bytes-0", {279: (4, [0])}),
        ("strips-many", {278: (3, [1]), 273: (4, [8] * 32), 279: (4, [most] * 32)}),
        ("rows-0", {278: (3, [0])}),
        ("rows-huge", {278: (4, [most])}),
        ("bits-0", {258: (3, [0, 0, 0])}),
        ("bits-mixed", {258: (3, [8, 16, 1])}),
        ("bits-65535", {258: (3, [65535] * 3)}),
        ("bits-32", {258: (3, [32] * 3), 339: (3, [3] * 3)}),
        ("bits-64", {258: (3, [64] * 3), 339: (3, [3] * 3)}),
        ("samples-0", {277: (3, [0])}),
        ("samples-65535", {277: (3, [65535])}),
        ("samples-5-extra", {277: (3, [5]), 258: (3, [8] * 5), 338: (3, [0, 0])}),
        ("compression-unknown", {259: (3, [54321])}),
        ("compression-0", {259: (3, [0])}),
        ("compression-lzw-lies", {259: (3, [5])}),
        ("compression-deflate-lies", {259: (3, [8])}),
        ("compression-jpeg-lies", {259: (3, [7])}),
        ("compression-old-jpeg", {259: (3, [6])}),
        ("compression-packbits-lies", {259: (3, [32773])}),
        ("compression-fax-lies", {259: (3, [4]), 258: (3, [1]), 277: (3, [1]), 262: (3, [0])}),
        ("compression-zstd-lies", {259: (3, [50000])}),
        ("compression-lzma-lies", {259: (3, [34925])}),
        ("compression-webp-lies", {259: (3, [50001])}),
        ("photometric-65535", {262: (3, [65535])}),
        ("photometric-palette", {262: (3, [3]), 258: (3, [8]), 277: (3, [1])}),
        ("photometric-ycbcr", {262: (3, [6])}),
        ("photometric-cielab", {262: (3, [8])}),
        ("photometric-cfa", {262: (3, [32803])}),
        ("planar-9", {284: (3, [9])}),
        ("planar-2-one-strip", {284: (3, [2])}),
        ("predictor-99", {317: (3, [99])}),
        ("predictor-3", {317: (3, [3]), 259: (3, [5])}),
        ("tile-0", {322: (3, [0]), 323: (3, [0]), 324: (4, [8]), 325: (4, [99])}),
        ("tile-huge", {322: (4, [2**31]), 323: (4, [2**31]), 324: (4, [8]), 325: (4, [99])}),
        ("tile-of-strips", {322: (3, [16]), 323: (3, [16])}),
        ("orientation-99", {274: (3, [99])}),
        ("fill-order-2", {266: (3, [2])}),
        ("sample-format-9", {339: (3, [9, 9, 9])}),
        ("type-0", {256: (0, b"\x28\0\0\0")}),
        ("type-99", {256: (99, b"\x28\0\0\0")}),
        ("width-text", {256: (2, b"forty\0")}),
        ("width-real", {256: (12, [float("nan")])}),
        ("resolution-0", {282: (5, bytes(8)), 283: (5, bytes(8))}),
        ("icc-lies", {34675: (7, b"no profile, but long enough")}),
        ("subfile-mask", {254: (4, [4])}),
        ("subfile-reduced", {254: (4, [1])}),
        ("significant-bits", {281: (3, [0, 0, 0]), 280: (3, [9, 9, 9])}),
        ("description-long", {270: (2, b"x" * 4_000_000)}),
        ("description-ome", {270: (2, _laughing_ome())}),
        ("description-imagej", {270: (2, b"ImageJ=1.53\nimages=999999999\nslices=99999\n\0")}),
        ("description-json", {270: (2, b'{"shape": [99999999, 99999999, 3]}\0')}),
        ("description-deep", {270: (2, b'{"shape": ' + b"[" * 100_000 + b"\0")}),
    ):
        yield Draft(family, f"{name}.tif", tiff(changes))
    for tag in (256, 258, 273, 279, 270, 305):
        changes = {270: (2, b"x" * 9), 305: (2, b"y" * 9)}
        claim = tiff(changes, claimed={tag: 2**32 - 1})
        yield Draft(family, f"count-huge-{tag}.tif", claim)
        yield Draft(family, f"count-large-{tag}.tif", tiff(changes, claimed={tag: 300_000_000}))
    for order in "<>":
        end = "little" if order == "<" else "big"
        yield Draft(family, f"tags-65535-{end}.tif", tiff(order=order, count=65535))
        yield Draft(family, f"tags-0-{end}.tif", tiff(order=order, count=0))
    yield Draft(family, "page-beyond.tif", b"II*\0" + struct.pack("<I", 2**31))
    yield Draft(family, "page-0.tif", b"II*\0" + bytes(4))
    yield Draft(family, "no-tiff.tif", b"II\x55\0" + bytes(4))
    big = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**60)
    yield Draft(family, "big-tags-2e60.tif", big)
    yield Draft(family, "big-offset-9.tif", b"II+\0\x09\0\0\0" + struct.pack("<Q", 16))
    yield Draft(family, "big-page-2e63.tif", b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63))


def _laughing_ome():
    """XML whose entities become a billion letters."""
    lines = ["<?xml version='1.0'?><!DOCTYPE OME [<!ENTITY a 'ha'>"]
    for before, name in itertools.pairwise("abcdefghij"):
        lines.append(f"<!ENTITY {name} '{f'&{before};' * 10}'>")
    lines.append(
        "]><OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06'><Image ID='&j;'>"
    )
    lines.append("<Pixels SizeX='99999999' SizeY='99999999' SizeC='3' Type='uint8'/></Image></OME>")
    return "".join(lines).encode() + b"\0"


def _cycle(*, exif=False):
    """Return a page whose next is itself, or whose EXIF part is itself."""
    tag = 34665 if exif else 254
    entry = struct.pack(">HHII", tag, 4, 1, 8 if exif else 0)
    return b"MM\0*\0\0\0\x08\0\x01" + entry + struct.pack(">I", 8)


def _orientation(value):
    entry = struct.pack(">HHIHH", 0x112, 3, 1, value, 0)
    return b"MM\0*\0\0\0\x08\0\x01" + entry + bytes(4)


def _cyclic_tiff():
    family = "cyclic-tiff"
    page = 8 + _STRIP
    yield Draft(family, "itself.tif", tiff(following=page))
    yield Draft(family, "header.tif", tiff(following=8))
    yield Draft(family, "odd.tif", tiff(following=page + 1))
    for tag, name in ((330, "sub"), (34665, "exif"), (34853, "gps"), (40965, "interoperability")):
        for kind in (4, 13):
            changes = {tag: (kind, [page])}
            yield Draft(family, f"{name}-itself-{kind}.tif", tiff(changes))
    yield Draft(family, "sub-many.tif", tiff({330: (4, [page] * 5000)}))
    yield Draft(family, "two.tif", _chain([1, 0]))
    yield Draft(family, "late.tif", _chain([*range(1, 200), 100]))
    yield Draft(family, "pages-20000.tif", _chain([*range(1, 20_000), None]))
    yield Draft(family, "reduced-20000.tif", _chain([*range(1, 20_000), None], reduced=True))
    yield Draft(family, "exif-only.tif", _cycle(exif=True))
    yield Draft(family, "next-only.tif", _cycle())


def _chain(following, *, reduced=False):
    """Return pages of one pixel, each with the number of the next."""
    pixel = 8
    tags = [(254, 4, int(reduced)), (256, 3, 1), (257, 3, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, pixel), (277, 3, 1), (278, 3, 1), (279, 4, 1)]
    size = 2 + 12 * len(tags) + 4
    places = [10 + size * number for number in range(len(following))]
    pages = []
    for number, after in enumerate(following):
        own = tags if number else [(254, 4, 0), *tags[1:]]
        table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in own)
        then = 0 if after is None else places[after]
        pages.append(struct.pack("<H", len(own)) + table + struct.pack("<I", then))
    return b"II*\0" + struct.pack("<I", places[0]) + b"\x80\0" + b"".join(pages)


# The other formats


def _lying_others():
    yield from _lying_bmp()
    yield from _lying_gif()
    yield from _lying_webp()
    yield from _lying_jp2()
    yield from _lying_ppm()


def _put(data, place, form, *values):
    packed = struct.pack(form, *values)
    return data[:place] + packed + data[place + len(packed) :]


def _lying_bmp():
    data = save(draw(), "BMP")
    for name, place, form, value in (
        ("width-0", 18, "<i", 0),
        ("width-huge", 18, "<i", 2**31 - 1),
        ("width-negative", 18, "<i", -40),
        ("height-0", 22, "<i", 0),
        ("height-huge", 22, "<i", 2**31 - 1),
        ("height-least", 22, "<i", -(2**31)),
        ("offset-beyond", 10, "<I", 2**32 - 1),
        ("header-0", 14, "<I", 0),
        ("header-huge", 14, "<I", 2**32 - 1),
        ("header-12", 14, "<I", 12),
        ("bits-0", 28, "<H", 0),
        ("bits-99", 28, "<H", 99),
        ("bits-1", 28, "<H", 1),
        ("bits-8", 28, "<H", 8),
        ("compression-99", 30, "<I", 99),
        ("compression-png", 30, "<I", 5),
        ("compression-rle", 30, "<I", 1),
        ("colours-huge", 46, "<I", 2**31),
        ("planes-9", 26, "<H", 9),
    ):
        yield Draft("lying-bmp", f"{name}.bmp", _put(data, place, form, value))
    rle = _put(_put(_put(data, 28, "<H", 8), 30, "<I", 1), 18, "<ii", 7000, 7000)
    yield Draft("lying-bmp", "rle-49-million.bmp", rle[:54] + bytes(1024) + b"\xff\0" * 1000)


def _lying_gif():
    data = save(draw(), "GIF")
    frame = data.index(b"\x2c")
    for name, lie in (
        ("screen-0", _put(data, 6, "<HH", 0, 0)),
        ("screen-65535", _put(data, 6, "<HH", 65535, 65535)),
        ("screen-7000", _put(data, 6, "<HH", 7000, 7000)),
        ("frame-65535", _put(data, frame + 1, "<HHHH", 0, 0, 65535, 65535)),
        ("frame-outside", _put(data, frame + 1, "<HHHH", 60000, 60000, 40, 32)),
        ("code-0", data[: frame + 10] + b"\0" + data[frame + 11 :]),
        ("code-255", data[: frame + 10] + b"\xff" + data[frame + 11 :]),
        ("frames-2000", data[:-1] + data[frame:-1] * 2000 + b";"),
        ("background", _put(data, 11, "<B", 255)),
        ("no-palette", _put(data, 10, "<B", 0)),
        ("blocks", data[:-1] + b"!\xfe" + (b"\xff" + b"x" * 255) * 4000 + b"\0;"),
    ):
        yield Draft("lying-gif", f"{name}.gif", lie)


def _lying_webp():
    data = save(draw(), "WEBP")
    lossless = save(draw(), "WEBP", lossless=True)
    for name, lie in (
        ("riff-huge", _put(data, 4, "<I", 2**32 - 1)),
        ("riff-0", _put(data, 4, "<I", 0)),
        ("chunk-huge", _put(data, 16, "<I", 2**32 - 1)),
        ("frame-0", _put(data, 26, "<HH", 0, 0)),
        ("frame-16383", _put(data, 26, "<HH", 16383, 16383)),
        ("lossless-16384", _put(lossless, 21, "<I", 0x0FFFFFFF)),
        ("canvas-2e24", _extended(data, 2**24 - 1)),
        ("canvas-7000", _extended(data, 6999)),
        ("canvas-1", _extended(data, 0)),
        ("animation", _extended(data, 39, flags=2)),
        ("kind", _put(data, 12, "<4s", b"VP8Z")),
    ):
        yield Draft("lying-webp", f"{name}.webp", lie)


def _extended(data, side, flags=0):
    size = side.to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<IB3x", 10, flags) + size + data[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _lying_jp2():
    data = save(draw(), "JPEG2000")
    header, stream = data.index(b"ihdr"), data.index(b"\xff\x4f\xff\x51")
    sizes = stream + 4
    large = _put(data, sizes + 4, ">II", 7000, 7000)
    most = 2**32 - 1
    for name, lie in (
        ("header-huge", _put(data, header + 4, ">II", most, most)),
        ("header-0", _put(data, header + 4, ">II", 0, 0)),
        ("header-components", _put(data, header + 12, ">H", 16384)),
        ("size-huge", _put(data, sizes + 4, ">II", most, most)),
        ("size-7000", _put(data, sizes + 4, ">II", 7000, 7000)),
        ("size-0", _put(data, sizes + 4, ">II", 0, 0)),
        ("offset", _put(data, sizes + 12, ">II", most, most)),
        ("tile-1", _put(data, sizes + 20, ">II", 1, 1)),
        ("tile-0", _put(data, sizes + 20, ">II", 0, 0)),
        (
            "tile-1-size-7000",
            _put(large, sizes + 20, ">II", 1, 1),
        ),
        ("components-0", _put(data, sizes + 36, ">H", 0)),
        ("components-16384", _put(data, sizes + 36, ">H", 16384)),
        ("depth", _put(data, sizes + 38, ">B", 255)),
        ("step-0", _put(data, sizes + 39, ">BB", 0, 0)),
        ("box-0", _put(data, header - 4, ">I", 0)),
        ("box-1", _put(data, header - 4, ">I", 1)),
        ("box-7", _put(data, header - 4, ">I", 7)),
        ("box-huge", _put(data, header - 4, ">I", most)),
        (
            "both-7000",
            _put(large, header + 4, ">II", 7000, 7000),
        ),
    ):
        yield Draft("lying-jp2", f"{name}.jp2", lie)
    raw = data[stream:]
    yield Draft("lying-jp2", "stream-size-huge.j2k", _put(raw, 8, ">II", most, most))
    yield Draft("lying-jp2", "stream-levels.j2k", raw.replace(b"\xff\x52", b"\xff\x53", 1))


def _lying_ppm():
    pixels = draw().tobytes()
    for number, head in enumerate(
        (
            b"P6 99999999 99999999 255\n",
            b"P6 0 32 255\n",
            b"P6 -40 32 255\n",
            b"P6 40 32 0\n",
            b"P6 40 32 65535\n",
            b"P6 40 32 70000\n",
            b"P6 40 32 99999999999\n",
            b"P6 7000 7000 255\n",
            b"P3 40 32 255\n",
            b"P1 40 32\n",
            b"P2 40 32 255\nseven",
            b"P4 7000 7000\n",
            b"P7\n",
            b"P6 " + b"9" * 5000 + b" 1 255\n",
            b"P6 4x0 32 255\n",
            b"Pf 40 32 -1.0\n",
            b"PyRGB\n",
            b"P6 40 32 255\n#" + b"c" * 2_000_000 + b"\n",
            b"P6" + b" " * 2_000_000 + b"40 32 255\n",
            b"P0CMYK\n40 32 255\n",
            b"P6 40.5 32 255\n",
            b"P5 1 50000000 255\n",
            b"P6\n",
        )
    ):
        yield Draft("lying-ppm", f"head-{number:02d}.ppm", head + pixels)


# Bombs


def squeeze(n_bytes):
    """Return zeros, deflated; of one block of a megabyte, which is repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.compress(bytes(n_bytes % (1 << 20))) + packer.flush()
    # Adler-32 of zeros: the sum stays 1, and the sum of sums counts.
    checksum = struct.pack(">HH", n_bytes % 65521, 1)
    return b"\x78\xda" + block * (n_bytes >> 20) + end + checksum


def _bombs():
    family, side = "bomb", _LARGE
    rgb, deep = squeeze(side * (3 * side + 1)), squeeze(side * (6 * side + 1))
    yield Draft(family, "png-60000.png", png(60_000, 60_000, data=rgb))
    yield Draft(family, "png-49-million.png", png(side, side, data=rgb))
    yield Draft(family, "png-49-million-deep.png", png(side, side, bits=16, data=deep))
    yield Draft(family, "png-49-million-alpha.png", png(side, side, colour=6, data=deep))
    yield Draft(
        family, "png-49-million-deep-alpha.png", png(side, side, bits=16, colour=6, data=deep)
    )
    yield Draft(
        family, "png-49-million-bits.png", png(side, side, bits=1, colour=0, data=rgb[:9000])
    )
    yield Draft(family, "png-line.png", png(49_999_999, 1, data=rgb))
    large = {256: (4, [side]), 257: (4, [side]), 278: (4, [side]), 259: (3, [8])}
    flat, double = squeeze(side * side * 3), squeeze(side * side * 6)
    for name, packed, changes in (
        ("tiff-49-million", flat, {}),
        ("tiff-49-million-deep", double, {258: (3, [16] * 3)}),
        ("tiff-deeper", flat, {258: (3, [32] * 3), 339: (3, [3] * 3)}),
        ("tiff-rows-1", flat[:5000], {278: (3, [1])}),
        ("tiff-channels-32", flat, {277: (3, [32]), 258: (3, [8] * 32), 338: (3, [0] * 29)}),
        ("tiff-60000", flat, {256: (4, [60_000]), 257: (4, [60_000])}),
        ("tiff-planar", flat, {284: (3, [2]), 273: (4, [8] * 3), 279: (4, [len(flat)] * 3)}),
    ):
        content = tiff({**large, 279: (4, [len(packed)]), **changes}, data=packed)
        yield Draft(family, f"{name}.tif", content)
    one = squeeze(256 << 20)
    small = {259: (3, [8]), 279: (4, [len(one)])}
    yield Draft(family, "tiff-strip-of-256-mb.tif", tiff(small, data=one), sampled=True)
    packbits = b"\x81\0" * (side * side * 3 // 128)
    changes = {**large, 259: (3, [32773]), 279: (4, [len(packbits)])}
    yield Draft(family, "tiff-packbits.tif", tiff(changes, data=packbits))
    for file_format, suffix in (("JPEG", "jpg"), ("GIF", "gif")):
        thumbnail = Image.new("L", (side, side))
        yield Draft(family, f"{suffix}-49-million.{suffix}", _saver(thumbnail, file_format))
    yield Draft(family, "jpeg-65500.jpg", _saver(Image.new("L", (65500, 700)), "JPEG"))


def _saver(thumbnail, file_format):
    return lambda path: thumbnail.save(path, file_format)


# What is no image at all


class _Bait:
    """Leaves a file where it is unpickled."""

    def __reduce__(self):
        return (os.system, ("touch UNPICKLED",))


def _foreign():
    family = "foreign"
    svg = (
        b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
    )
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 32\n(%pipe%touch UNPICKLED) (w) file\n"
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("../../outside.png", b"x")
    kinds = {
        "empty": b"",
        "byte": b"\0",
        "newline": b"\n",
        "text": b"This is text.\n" * 40,
        "svg": svg,
        "eps": eps,
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "pickle": pickle.dumps(_Bait()),
        "pickle-0": pickle.dumps(_Bait(), protocol=0),
        "pdf": b"%PDF-1.7\n",
        "zip": zipped.getvalue(),
        "gzip": gzip.compress(save(draw(), "PNG")),
        "elf": b"\x7fELF" + bytes(60),
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid x\n",
        "dicom": bytes(128) + b"DICM" + bytes(60),
        "json": b"[" * 100_000,
        "zeros": bytes(100_000),
        "ones": b"\xff" * 100_000,
        "surrogates": b"\xed\xa0\x80" * 100,
        "utf16": "text".encode("utf-16"),
        "icns": b"icns\0\0\0\x08",
        "ico": b"\0\0\1\0\1\0" + bytes(40),
        "psd": b"8BPS\0\1" + bytes(40),
        "xbm": b"#define x_width 9999999\n#define x_height 9999999\n",
        "fits": b"SIMPLE  =    T" * 90,
        "mp4": b"\0\0\0\x18ftypmp42" + bytes(90),
        "heic": b"\0\0\0\x18ftypheic" + bytes(90),
        "avif": b"\0\0\0\x18ftypavif" + bytes(90),
        "dds": b"DDS |" + b"\xff" * 128,
        "h5": b"\x89HDF\r\n\x1a\n" + bytes(90),
        "npy": b"\x93NUMPY\1\0" + bytes(90),
    }
    for place, (kind, data) in enumerate(kinds.items()):
        suffix = (".png", ".jpg", ".tif", ".bmp", ".webp", ".gif", ".jp2", ".ppm")[place % 8]
        yield Draft(family, f"{kind}{suffix}", data)
    thumbnail = draw()
    yield Draft("misnamed", "jpeg.png", save(thumbnail, "JPEG"))
    yield Draft("misnamed", "png.tif", save(thumbnail, "PNG"))
    yield Draft("misnamed", "tiff.webp", save(thumbnail, "TIFF"))
    yield Draft("misnamed", "ico.png", save(thumbnail, "ICO"))
    yield Draft("misnamed", "pcx.png", save(thumbnail, "PCX"))
    yield Draft("misnamed", "tga.png", save(thumbnail, "TGA"))
    yield Draft("misnamed", "dds.png", save(thumbnail, "DDS"))
    yield Draft("misnamed", "eps.png", save(thumbnail, "EPS"))
    yield Draft("misnamed", "pdf.png", save(thumbnail, "PDF"))
    yield Draft("misnamed", "one-pixel.png", save(thumbnail[:1, :1], "PNG"))
    yield Draft("misnamed", "float.tif", _tifffile(thumbnail.astype(np.float32), photometric="rgb"))
    values = np.full((32, 40), np.nan, np.float32)
    yield Draft("misnamed", "nan.tif", _tifffile(values, photometric="minisblack"))
    complex_values = values.astype(np.complex64)
    yield Draft("misnamed", "complex.tif", _tifffile(complex_values, photometric="minisblack"))
    yield Draft("misnamed", "dark.png", save(np.zeros((32, 40), np.uint16), "PNG"))


def _special():
    family = "special"
    yield Draft(family, "pipe.png", os.mkfifo)
    yield Draft(family, "pipe.tif", os.mkfifo)
    yield Draft(family, "socket.png", bind)
    for name, target in (
        ("zero.png", "/dev/zero"),
        ("stdin.png", "/dev/stdin"),
        ("random.jpg", "/dev/urandom"),
        ("null.png", "/dev/null"),
        ("terminal.png", "/dev/tty"),
        ("full.tif", "/dev/full"),
        ("descriptor.png", "/proc/self/fd/0"),
        ("memory.png", "/proc/self/mem"),
        ("map.png", "/proc/self/maps"),
        ("dangling.png", "nowhere.png"),
        ("itself.png", "itself.png"),
        ("cycle-a.png", "cycle-b.png"),
        ("cycle-b.png", "cycle-a.png"),
        ("pipe-link.png", "pipe.png"),
        ("around.png", "."),
        ("password.png", "/etc/passwd"),
    ):
        yield Draft(family, name, link(target))
    yield Draft(family, "folder.png", Path.mkdir)
    yield Draft(family, "folder.tif", Path.mkdir)


def bind(path):
    # The name of a socket may have 108 bytes at most.
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{short}/s")
        os.rename(f"{short}/s", path)  # noqa: PTH104


def _holes():
    family = "hole"
    heads = {
        "png": save(draw(), "PNG")[:-12],
        "jpg": save(draw(), "JPEG")[:-2],
        "bmp": save(draw(), "BMP"),
        "gif": save(draw(), "GIF")[:-1],
        "webp": save(draw(), "WEBP"),
        "tif": tiff(),
        "ppm": b"P6 ",
        "jp2": save(draw(), "JPEG2000"),
    }
    for suffix, head in heads.items():
        yield Draft(family, f"terabyte.{suffix}", hole(head))
        yield Draft(family, f"terabyte-of-zeros.{suffix}", hole(b""))


_NAMES = (
    "carriage\rreturn",
    "line\nINJECTED: yes",
    "both\r\nINJECTED",
    "tab\tin",
    "=1+1",
    "+1",
    "-rf",
    "@SUM(1)",
    "=cmd|' /C calc'!A0",
    "--output=x",
    "-o",
    'quote"in',
    "'quotes'",
    "comma,in",
    "semi;colon",
    "back\\slash",
    "hash#0",
    "left|right",
    "percent%00",
    "$(touch UNPICKLED)",
    "`touch UNPICKLED`",
    "{braces}",
    "%s%n",
    "<img src=x onerror=alert(1)>",
    "&amp;<b>",
    "[x](javascript:alert(1))",
    "![x](http:x)",
    "\x1b[31mred",
    "bell\x07",
    "back\x08",
    "del\x7f",
    "\u202egnp.bidi",
    "\u2066isolate\u2069",
    "zero\u200bwidth",
    "\ufeffmark",
    "nel\u0085INJECTED",
    "separator\u2028INJECTED",
    "nfd-e\u0301",
    "emoji-\U0001f9ec",
    " leading",
    "trailing ",
    "..two",
    "a" * 250,
    "ä" * 125,
    "con",
    "~",
    "*",
    "?",
    "[a-z]",
    "\udce9latin",
    "\udcff\udcfe",
    "\udced\udca0\udc80",
    "form\x0cINJECTED",
    "vertical\x0bINJECTED",
    "file\x1cINJECTED",
    "nan",
    "True",
    "007",
    "1e5",
    "2024-01-01",
    "null",
    "|",
    "#",
    "a|b|c",
)


def _names():
    good, bad = save(draw(), "PNG"), b"no image"
    for place, name in enumerate(_NAMES):
        yield Draft("name", f"{name}.png", good, sampled=place in {0, 1, 4, 23, 49})
        if len(name) < 100:
            yield Draft("name-broken", f"{name}.png", bad, sampled=place in {0, 49})
