"""Bit depth of brightfield images: files of 16 bits per channel that use fewer.

Cameras of 10, 12 and 14 bits are saved as 16 bits, often without scaling. The depth is what the
file states: TIFF's MaxSampleValue of 2^n - 1, OME's SignificantBits, PNG's sBIT. Without a
statement all 16 bits are assumed to be used; an image that then uses less than a quarter of the
range raises an error, for it would be read as black.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from eosin.core.errors import ImageError
from eosin.core.files import open_file
from eosin.core.types import Image, Pixels

#: Largest value of a 14-bit camera: a quarter of the range of 16 bits.
QUARTER = 2**14 - 1
# TIFF's tags.
_DESCRIPTION, _MAX_SAMPLE = 270, 281
_SIGNIFICANT = re.compile(r'SignificantBits="(\d+)"')
#: Bytes that hold a PNG's small chunks, which stand before its pixels.
_HEAD_BYTES = 65_536
_ROWS = 256


def stated_bits(path: Path, image: PillowImage.Image) -> int | None:
    """Return the bits per channel that a file of 16, opened with Pillow, states; None without."""
    if image.format == "PNG":
        return _within(_png_bits(path))
    return stated_by_tags(getattr(image, "tag_v2", {}))


def stated_by_tags(tags: Any) -> int | None:
    """Return the bits per channel that a TIFF's tags, by number, state; None without a statement.

    Many programs write the image's own maximum as MaxSampleValue, which is not the depth: only a
    largest value of 2^n - 1 is taken as a statement.
    """
    largest = int(np.max(tags.get(_MAX_SAMPLE, 0)))
    if largest & (largest + 1) == 0 and (bits := _within(largest.bit_length())):
        return bits
    match = _SIGNIFICANT.search(str(tags.get(_DESCRIPTION, "")))
    return _within(int(match.group(1))) if match else None


def _within(bits: int | None) -> int | None:
    return bits if bits is not None and 8 <= bits <= 16 else None


def _png_bits(path: Path) -> int | None:
    with open_file(path) as stream:
        head = stream.read(_HEAD_BYTES)
    place = 8
    while place + 8 <= len(head):
        length, kind = struct.unpack(">I4s", head[place : place + 8])
        if kind == b"sBIT":
            return max(head[place + 8 : place + 8 + length], default=None)
        if kind == b"IDAT":
            break
        place += length + 12
    return None


def reduce_to_eight_bits(path: Path, values: Pixels, stated: int | None = None) -> Image:
    """Keep the upper eight of the bits that an image uses; uint8 is returned unchanged.

    ``stated`` is the bits per channel that the file states, 8–16. Raises ImageError if the depth is
    not stated, and less than a quarter of the range is used.
    """
    if values.dtype == np.uint8:
        return values
    largest = int(values.max(initial=0))
    if stated is None or largest.bit_length() > stated:
        check_range(path, largest)
        stated = 16
    found = np.empty(values.shape, dtype=np.uint8)
    # A few rows at a time: a 16-bit copy of a large image would waste memory.
    for start in range(0, len(values), _ROWS):
        found[start : start + _ROWS] = values[start : start + _ROWS] >> (stated - 8)
    return found


def check_range(path: Path, largest: int) -> None:
    """Check by their largest that 16-bit values would not be read as black; 0 is, at any depth.

    Raises ImageError if they use less than a quarter of the range.
    """
    if 0 < largest <= QUARTER:
        raise ImageError(
            f"{path} uses only {largest.bit_length()} of its 16 bits per channel and does not "
            "state its bit depth; it would be read too dark",
            hint="Save it with values scaled to 16 bits, or as 8 bits",
        )
