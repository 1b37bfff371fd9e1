"""TIFF files that Pillow does not read, or not with all their bits, read with tifffile."""

from __future__ import annotations

import copy
import lzma
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from eosin.core.errors import EosinError, ImageError
from eosin.core.files import check_file, open_file
from eosin.core.types import Pixels
from eosin.images.failures import reserve_memory, silence
from eosin.images.limits import MAGIC_OF_TIFF, MAX_PAGES, Limits

_PHOTOMETRIC, _DESCRIPTION, _ORIENTATION, _MAX_SAMPLE = 262, 270, 274, 281
_SIGNIFICANT = re.compile(r'SignificantBits="(\d+)"')
#: Most tiles of a page, and their most pixels if the page itself is smaller.
_MAX_TILES, _LARGE_TILE_PX = 65_536, 4096 * 4096
#: Most runs of a strip or tile with PackBits compression: some seconds' work.
_MAX_RUNS = 10_000_000
_LEAST_BIT_FIRST = 2  # of FillOrder
_COLOURS = {
    tifffile.PHOTOMETRIC.RGB: 3,
    tifffile.PHOTOMETRIC.MINISBLACK: 1,
    tifffile.PHOTOMETRIC.MINISWHITE: 1,
}
_KINDS = {"f": "floating-point", "c": "complex", "i": "signed", "u": "unsigned"}


def is_tiff(path: Path) -> bool:
    """Return True if a file's first bytes are those of a TIFF."""
    try:
        with open_file(path) as stream:
            return stream.read(4) in MAGIC_OF_TIFF
    except OSError:
        return False


@contextmanager
def opened_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a file with tifffile; errors inside become an ImageError."""
    try:
        check_file(path)
        with silence, tifffile.TiffFile(path) as file:
            yield file
    except (EosinError, MemoryError):
        raise
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except Exception as error:  # tifffile raises any error on a damaged file
        raise ImageError(f"{path} cannot be decoded: {describe(error)}") from error


def check_pages(path: Path) -> None:
    """Check that a TIFF's list of pages ends, before a library lists all of them.

    Raises ImageError if there are more than a thousand, or they refer back to each other.
    """
    with open_file(path) as stream:
        order, is_big = _read_header(stream)
        count, size, offset = ("Q", 20, "Q") if is_big else ("H", 12, "I")
        seen: set[int] = set()
        while place := _read_number(stream, order + offset):
            if place in seen:
                raise ImageError(f"{path} is damaged: its pages refer back to each other")
            if len(seen) == MAX_PAGES:
                raise ImageError(
                    f"{path} contains more than {MAX_PAGES} pages; one image per file is read"
                )
            seen.add(place)
            stream.seek(place)
            stream.seek(place + struct.calcsize(count) + size * _read_number(stream, order + count))


def check_tiles(path: Path, shape: tuple[int, int], tile: tuple[int, int], n_tiles: int) -> None:
    """Raise ImageError for tiles or strips out of proportion to the page: each is unpacked whole.

    ``shape`` of the page and ``tile`` are height and width in pixels.
    """
    if math.prod(tile) > max(_LARGE_TILE_PX, math.prod(shape)):
        raise ImageError(f"{path} is damaged: its tiles of {tile[1]} × {tile[0]} pixels exceed it")
    if n_tiles > _MAX_TILES:
        raise ImageError(f"{path} consists of {n_tiles} tiles; at most {_MAX_TILES} are read")


def check_page_tiles(path: Path, page: tifffile.TiffPage) -> None:
    """Check the tiles of a page as :func:`check_tiles` does."""
    tile = (page.tilelength, page.tilewidth)
    check_tiles(path, (page.imagelength, page.imagewidth), tile, len(page.dataoffsets))
    # tifffile would fill it with zeros.
    if 0 in page.databytecounts:
        raise ImageError(f"{path} is damaged: a part of its pixels is missing")


def bound_unpacking(page: tifffile.TiffPage) -> None:
    """Limit the unpacked size of a page's strips or tiles, for which tifffile has no limit.

    Of a series, ``page`` is the one that represents all.
    """
    unpack = _UNPACKERS.get(page.compression)
    if unpack is None:
        return
    # As tifffile does with the same pixels if they are not packed.
    plain = copy.copy(page)
    plain.compression, plain.hash = tifffile.COMPRESSION.NONE, hash((page.hash, "unpacked"))
    decode, dtype, is_reversed = plain.decode, page.dtype, page.fillorder == _LEAST_BIT_FIRST
    # A last strip may be padded; a little more than that does no harm.
    most = 2 * math.prod(page.chunks) * (8 if dtype is None else dtype.itemsize) + 65_536

    def decode_bounded(data: bytes | None, *args: Any, **options: Any) -> Any:
        if is_reversed:
            raise ValueError("the bits of its packed pixels are in reverse order")
        return decode(None if data is None else unpack(data, most), *args, **options)

    page.decode = decode_bounded


def _inflate(data: bytes, most: int) -> bytes:
    return _unpack(zlib.decompressobj(), data, most)


def _unpack_lzma(data: bytes, most: int) -> bytes:
    return _unpack(lzma.LZMADecompressor(), data, most)


def _unpack(unpacker: Any, data: bytes, most: int) -> bytes:
    unpacked: bytes = unpacker.decompress(data, most)
    if not unpacker.eof:
        raise ValueError(_TOO_LONG if len(unpacked) == most else "its packed pixels are truncated")
    return unpacked


def _unpack_bits(data: bytes, most: int) -> bytearray:
    """Unpack PackBits, for which tifffile takes eight times the memory."""
    unpacked, place, n_runs = bytearray(), 0, 0
    while place < len(data):
        count, place, n_runs = data[place], place + 1, n_runs + 1
        if count < 128:
            unpacked += data[place : place + count + 1]
            place += count + 1
        elif count > 128:
            unpacked += data[place : place + 1] * (257 - count)
            place += 1
        if len(unpacked) > most or n_runs > _MAX_RUNS:
            raise ValueError(_TOO_LONG)
    return unpacked


_TOO_LONG = "its packed pixels are longer than its size says"
_UNPACKERS: dict[int, Callable[[bytes, int], bytes | bytearray]] = {
    tifffile.COMPRESSION.ADOBE_DEFLATE: _inflate,
    tifffile.COMPRESSION.DEFLATE: _inflate,
    tifffile.COMPRESSION.LZMA: _unpack_lzma,
    tifffile.COMPRESSION.PACKBITS: _unpack_bits,
}


def _read_header(stream: BufferedReader) -> tuple[str, bool]:
    """Return the byte order and True for a BigTIFF; stops at the first page's offset."""
    head = stream.read(4)
    is_big = b"+" in head
    if is_big:
        stream.seek(8)
    return ("<" if head.startswith(b"II") else ">"), is_big


def _read_number(stream: BufferedReader, code: str) -> int:
    """Return the next whole number of a file, 0 at its end."""
    data = stream.read(struct.calcsize(code))
    return int(struct.unpack(code, data)[0]) if len(data) == struct.calcsize(code) else 0


def read_colours(path: Path, limits: Limits, page: int = 0) -> tuple[Pixels, int | None]:
    """Read grey or RGB pixels of a TIFF's page with all their bits, upright.

    Returns uint8 or uint16, shape (H, W) or (H, W, 3), white being light, and the bits per channel
    that the file states. Raises ImageError if it is damaged, too large, or has other pixels.
    """
    with opened_tiff(path) as file:
        found = file.pages[page].aspage()
        _check_page(path, found, limits)
        bound_unpacking(found)
        values = found.asarray()
        if found.planarconfig == tifffile.PLANARCONFIG.SEPARATE and values.ndim == 3:
            values = np.moveaxis(values, 0, -1)
        tags = {tag.code: tag.value for tag in found.tags}
    values = values[..., :3] if values.ndim == 3 else values
    native: Pixels = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    if tags.get(_PHOTOMETRIC) == tifffile.PHOTOMETRIC.MINISWHITE:
        native = np.iinfo(native.dtype).max - native
    return _turn_upright(native, int(tags.get(_ORIENTATION, 1))), stated_by_tags(tags)


def stated_by_tags(tags: Any) -> int | None:
    """Return the bits per channel that a TIFF's tags, by number, state; None without a statement.

    Many programs write the image's own maximum as MaxSampleValue, which is not the depth: only a
    largest value of 2^n - 1 is taken as a statement.
    """
    largest = int(np.max(tags.get(_MAX_SAMPLE, 0)))
    if largest & (largest + 1) == 0 and (bits := usable_depth(largest.bit_length())):
        return bits
    match = _SIGNIFICANT.search(str(tags.get(_DESCRIPTION, "")))
    return usable_depth(int(match.group(1))) if match else None


def usable_depth(bits: int | None) -> int | None:
    """Return a number of bits that 16 can hold in part or whole, 8–16; else None."""
    return bits if bits is not None and 8 <= bits <= 16 else None


def _turn_upright(values: Pixels, orientation: int) -> Pixels:
    """Apply TIFF's orientation, 1–8, which gives the sides of the first row and column."""
    if orientation in {5, 6, 7, 8}:
        values = values.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        values = values[::-1]
    if orientation in {2, 3, 6, 7}:
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def describe(error: Exception) -> str:
    """Return the first line of a tifffile error."""
    lines = (getattr(error, "strerror", None) or str(error)).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    # Not meant for users: a position beyond the end, for example.
    is_internal = isinstance(error, LookupError | struct.error | TypeError)
    return f"it is damaged or truncated ({reason})" if is_internal else reason


def _check_page(path: Path, page: tifffile.TiffPage, limits: Limits) -> None:
    dtype = page.dtype
    if dtype is None or dtype.type not in {np.uint8, np.uint16}:
        kind = "unknown" if dtype is None else _KINDS.get(dtype.kind, "")
        bits = "" if dtype is None else f" of {8 * dtype.itemsize} bits"
        raise ImageError(
            f"{path} has {kind} pixels{bits}; 8 or 16 bits per channel without sign are read"
        )
    needed = _COLOURS.get(tifffile.PHOTOMETRIC(page.photometric))
    if needed is None or page.samplesperpixel < needed:
        name = tifffile.PHOTOMETRIC(page.photometric).name
        raise ImageError(f"{path} has pixels of the kind {name!r}; grey or RGB is needed")
    limits.check_size(path, page.imagewidth, page.imagelength)
    check_page_tiles(path, page)
    limits.check_bytes(path, page.nbytes)
    reserve_memory(page.nbytes)
