"""Files that were made, or damaged, so that reading them takes minutes, gigabytes or for ever."""

import lzma
import os
import platform
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from eosin.artifacts.manifest import make_samples
from eosin.commands.data_check import check as check_images
from eosin.core.errors import ImageError
from eosin.data.audit import hash_files
from eosin.images.decode import decode_image
from eosin.images.planes import decode_any, decode_planes

is_posix = pytest.mark.skipif(os.name != "posix", reason="no pipes in the file system")
EMPTY_BLOCK = {"gif": b"\x21\xfe\x01a\0", "jpg": b"\xff\xfe\0\x02", "ppm": b" "}


@pytest.fixture(autouse=True)
def in_time():
    start = time.process_time()
    yield
    assert time.process_time() - start < 10


def chunk(kind, body):
    check = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + check


def png_with(extra):
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(8 * 25)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + pixels + chunk(b"IEND", b"")


def tiff_with(data, tags, n_pages=1, back_to=None):
    """A TIFF by hand: its data at byte 8, then its pages."""
    data += bytes(len(data) % 2)
    size = 2 + 12 * len(tags) + 4
    pages = []
    for page in range(n_pages):
        place = 8 + len(data) + size * page
        last = 0 if back_to is None else 8 + len(data) + size * back_to
        entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items())]
        after = struct.pack("<I", place + size if page < n_pages - 1 else last)
        pages.append(struct.pack("<H", len(tags)) + b"".join(entries) + after)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + b"".join(pages)


def grey(side, n_bytes, *, packing=1, tile=None):
    tags = {256: side, 257: side, 258: 8, 259: packing, 262: 1, 277: 1}
    if tile is None:
        return tags | {273: 8, 278: side, 279: n_bytes}
    return tags | {322: tile, 323: tile, 324: 8, 325: n_bytes}


@is_posix
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_is_no_file_is_refused_unopened(tmp_path, suffix, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    os.mkfifo("pipe")
    kinds = {"pipe": "a named pipe", "/dev/zero": "a device", "socket": "a socket", ".": "a folder"}
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("socket")
    for number, (target, kind) in enumerate(kinds.items()):
        link = tmp_path / f"{number}{suffix}"
        link.symlink_to(target)
        for decode in (decode_image, decode_planes, decode_any):
            with pytest.raises(ImageError, match=kind):
                decode(link)


@is_posix
def test_a_pipe_in_a_folder_or_table_is_listed_with_its_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    for given in (tmp_path, tmp_path / "pipe.png"):
        ((cell, reason),) = check_images(given).skipped
        assert cell.endswith("pipe.png")
        assert "a named pipe" in reason
    table = pd.DataFrame({"path": ["a.png", "pipe.png"], "label": ["x", "y"]})
    ((cell, reason),) = hash_files(make_samples(table, root=tmp_path)).unreadable
    assert cell == "pipe.png"
    assert "a named pipe" in reason


@is_posix
def test_a_pipe_that_an_image_names_as_its_part_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "other.tif")
    pixels = np.zeros((1, 8, 8), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "CYX"})
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        ome = file.ome_metadata
    uuid = '<UUID FileName="other.tif">urn:uuid:1</UUID>'
    ome = ome.replace("<TiffData", f'<TiffData FirstC="1">{uuid}</TiffData><TiffData')
    tifffile.imwrite(tmp_path / "b.ome.tif", pixels, description=ome, metadata=None)
    with pytest.raises(ImageError, match=r"other\.tif"):
        decode_planes(tmp_path / "b.ome.tif")


@pytest.mark.parametrize("name", ["a\0b.png", "\udcff\ud800.png", "a\nb.png", "a" * 300 + ".png"])
def test_names_that_no_file_can_have_are_a_reason(tmp_path, name):
    for decode in (decode_image, decode_planes, decode_any):
        with pytest.raises(ImageError):
            decode(tmp_path / name)


@pytest.mark.parametrize("ending", ["gif", "jpg", "ppm"])
def test_a_file_of_millions_of_empty_blocks_is_refused(tmp_path, ending):
    kind = {"gif": "GIF", "jpg": "JPEG", "ppm": "PPM"}[ending]
    path = tmp_path / f"a.{ending}"
    Image.new("RGB" if ending != "gif" else "L", (8, 8)).save(path, kind)
    data = path.read_bytes()
    at = {"gif": data.find(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1)), "jpg": 2, "ppm": 3}[ending]
    path.write_bytes(data[:at] + 1_200_000 * EMPTY_BLOCK[ending] + data[at:])
    with pytest.raises(ImageError, match="blocks"):
        decode_any(path)


@pytest.mark.parametrize("kind", [b"tEXt", b"prVt"])
def test_a_png_with_a_huge_block_beside_its_pixels_is_refused(tmp_path, kind):
    (tmp_path / "a.png").write_bytes(png_with(chunk(kind, b"a\0" + bytes(40 << 20))))
    with pytest.raises(ImageError, match="MB beside its pixels"):
        decode_any(tmp_path / "a.png")


def test_a_file_larger_than_any_image_is_refused_unread(tmp_path):
    with (tmp_path / "a.png").open("wb") as stream:
        stream.write(png_with(b""))
        stream.truncate(50 << 30)
    with pytest.raises(ImageError, match="EOSIN_MAX_BYTES"):
        decode_any(tmp_path / "a.png")
    samples = make_samples(
        pd.DataFrame({"path": ["a.png"], "label": ["x"]}), root=tmp_path, allow_one_class=True
    )
    assert hash_files(samples).unreadable


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("L", (2000, 2000)).save(path, progressive=True, quality=1)
    data = path.read_bytes()
    last = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + 2000 * last + data[-2:])
    with pytest.raises(ImageError, match="scans"):
        decode_any(path)
    assert decode_image_of(tmp_path, data).shape == (2000, 2000, 3)


def decode_image_of(folder, data):
    (folder / "plain.jpg").write_bytes(data)
    return decode_image(folder / "plain.jpg")


def test_an_animation_of_many_frames_is_refused_without_counting_them(tmp_path):
    path = tmp_path / "a.gif"
    Image.new("L", (8, 8)).save(path)
    data = path.read_bytes()
    at = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    path.write_bytes(data[:at] + 300_000 * data[at:-1] + b";")
    with pytest.raises(ImageError, match="at least 2 pages"):
        decode_any(path)


@pytest.mark.parametrize("back_to", [None, 100, 4999])
def test_a_tiff_of_thousands_of_pages_or_of_a_circle_of_them_is_refused(tmp_path, back_to):
    tags = grey(8, 64) | {254: 1}
    (tmp_path / "a.tif").write_bytes(tiff_with(bytes(64), tags, 5000, back_to))
    with pytest.raises(ImageError, match="pages"):
        decode_image(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="pages"):
        decode_planes(tmp_path / "a.tif")


def test_a_circle_of_few_pages_is_refused_as_channels(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff_with(bytes(64), grey(8, 64), 200, 0))
    with pytest.raises(ImageError, match="refer back"):
        decode_planes(tmp_path / "a.tif")


@pytest.mark.parametrize("packing", [1, 5, 8])
def test_tiles_that_exceed_their_image_by_far_are_refused(tmp_path, packing):
    data = zlib.compress(bytes(64))
    tags = grey(8, len(data), packing=packing, tile=1 << 16)
    (tmp_path / "a.tif").write_bytes(tiff_with(data, tags))
    for decode in (decode_image, decode_planes):
        with pytest.raises(ImageError, match="tiles"):
            decode(tmp_path / "a.tif")


def pack_bits(n_bytes):
    return b"\x81\0" * (n_bytes // 128)


PACKERS = {8: lambda n: zlib.compress(bytes(n)), 34925: lambda n: lzma.compress(bytes(n))}
PACKERS[32773] = pack_bits


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("part", ["all", "half"])
def test_a_strip_unpacks_to_no_more_and_no_less_than_it_holds(tmp_path, packing, part):
    data = PACKERS[packing](1 << 20)
    tags = grey(64, len(data), packing=packing)
    (tmp_path / "a.tif").write_bytes(tiff_with(data if part == "all" else data[:9], tags))
    with pytest.raises(ImageError, match="longer" if part == "all" else None):
        decode_planes(tmp_path / "a.tif")


@pytest.mark.parametrize("packing", [8, 32773])
def test_unpacking_takes_a_few_times_the_pixels(tmp_path, packing):
    side = 2048
    data = PACKERS[packing](side * side)
    (tmp_path / "a.tif").write_bytes(tiff_with(data, grey(side, len(data), packing=packing)))
    tracemalloc.start()
    try:
        assert not decode_planes(tmp_path / "a.tif").any()
        assert tracemalloc.get_traced_memory()[1] < 4 * side * side
    finally:
        tracemalloc.stop()


def test_packbits_holds_runs_and_single_values(tmp_path):
    values = np.repeat(np.random.default_rng(0).integers(0, 9, (64, 16), dtype=np.uint8), 4, 1)
    values[::2] = np.arange(64)
    Image.fromarray(values).save(tmp_path / "a.tif", compression="packbits")
    np.testing.assert_array_equal(decode_planes(tmp_path / "a.tif")[..., 0], values)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_large_image_leaves_no_memory_behind(tmp_path):
    path = tmp_path / "a.jp2"
    Image.new("RGB", (40, 32)).save(path)
    data = bytearray(path.read_bytes())
    # It claims many more pixels than it stores, in both its headers.
    for mark, behind in ((b"ihdr", 4), (b"\xff\x4f\xff\x51", 8)):
        place = data.index(mark) + behind
        data[place : place + 8] = struct.pack(">II", 6000, 6000)
    path.write_bytes(data)
    code = (
        "import re, sys; from pathlib import Path\n"
        "from eosin.images.decode import decode_image\n"
        "from eosin.images.failures import isolated\n"
        "def used(): return int(re.search(r'VmRSS:\\s+(\\d+)',"
        " Path('/proc/self/status').read_text())[1]) >> 10\n"
        "before = used()\n"
        "for _ in range(2):\n"
        "    with isolated('a'): decode_image(Path(sys.argv[1]))\n"
        "print(used() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert int(done.stdout) < 50


def test_a_part_that_is_missing_is_not_filled_with_zeros(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff_with(bytes(64), grey(8, 0, packing=8)))
    with pytest.raises(ImageError):
        decode_any(tmp_path / "a.tif")


def test_a_million_pixels_as_text_are_refused(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P3 2000 2000 255\n" + b"1 " * 100)
    with pytest.raises(ImageError, match="as text"):
        decode_any(tmp_path / "a.ppm")


def test_damage_writes_nothing_to_the_terminal_and_puts_back_what_others_use(tmp_path, capfd):
    for packing in ("tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        path = tmp_path / f"{packing}.tif"
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, compression=packing)
        data = bytearray(path.read_bytes())
        data[60:4000:7] = bytes(len(data[60:4000:7]))
        path.write_bytes(data)
        for decode in (decode_image, decode_planes, decode_any):
            with suppress(ImageError):  # of some damage a JPEG makes pixels
                decode(path)
    assert capfd.readouterr() == ("", "")
    # A program's own use of Pillow is as loud as before.
    with (
        pytest.raises(OSError, match="decoder error"),
        Image.open(tmp_path / "tiff_lzw.tif") as image,
    ):
        image.load()
    assert capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_little_memory_makes_one_image_fail_and_no_thread_wait(tmp_path):
    Image.effect_noise((64, 64), 9).convert("RGB").save(tmp_path / "small.png")
    for number in range(6):
        Image.new("RGB", (7000, 7000)).save(tmp_path / f"{number}.png", compress_level=1)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from eosin.commands.data_check import check as check_images\n"
        "import scipy.ndimage, numpy.random\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20),) * 2)\n"
        "for _, reason in check_images(Path(sys.argv[1])).skipped: print(reason)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 6, done
    assert all("more memory than is free" in line for line in lines)
    assert "damaged" not in done.stdout
