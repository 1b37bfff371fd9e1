"""Fast decoding of common PNG files, RGB of 8 bits, with libdeflate and libpng.

It takes 0.4 of Pillow's time, of which hardly any holds the interpreter's lock. libdeflate unpacks
the compressed rows three times as fast as zlib; libpng gets them as a PNG that stores them
unpacked, and undoes the filters. Other files, and those that fail here, are left to Pillow, which
says why.
"""

from __future__ import annotations

import struct
from pathlib import Path

from eosin.core.errors import ImageError
from eosin.core.files import open_file
from eosin.core.types import Image
from eosin.images.failures import reserve_memory
from eosin.images.limits import Limits

_MAGIC, _HEADER_BYTES = b"\x89PNG\r\n\x1a\n", 33
#: The file's first bytes: mark, header's type, width, height, bits, colour type, compression,
#: filter, interlace.
_HEADER = struct.Struct(">8s4x4sIIBBBBB")
_RGB = 2
_PIXELS, _END = b"IDAT", b"IEND"
#: Chunks that change no pixel. Transparency, EXIF's orientation, animation, and texts (in which
#: older programs keep EXIF) are left to Pillow.
_PLAIN = frozenset(
    {_PIXELS, _END, b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"tIME", b"bKGD"}
)
#: Most bytes of the rows: three times as many are in memory at once, Pillow takes less.
_MOST_BYTES = 32 << 20
#: First bytes of a zlib stream that is not compressed, and most bytes of a block of it.
_STORED, _BLOCK_BYTES = b"\x78\x01", 65_535
#: The last chunk.
_LAST = b"\0\0\0\0IEND\xae\x42\x60\x82"


def decode_plain_png(path: Path, limits: Limits) -> Image | None:
    """Decode a PNG of 8-bit RGB: uint8, shape (H, W, 3); ``None`` for any other file.

    Raises ImageError if it has fewer rows than its header states.
    """
    if path.suffix.lower() != ".png":
        return None
    try:
        with open_file(path) as stream:
            n_bytes = _count_bytes(stream.peek(_HEADER_BYTES), limits)
            if not n_bytes:
                return None
            reserve_memory(3 * n_bytes)
            content = stream.read(n_bytes)
    except OSError:
        return None
    # A file that is larger than its pixels ends in the middle here, and is left to Pillow, too.
    packed = _find_pixels(content)
    rows = _unpack(packed, n_bytes) if packed else b""
    if 0 < len(rows) < n_bytes:  # which Pillow would fill up with black
        raise ImageError(f"{path} has fewer rows of pixels than its header states: it is damaged")
    return _decode(content[:_HEADER_BYTES] + _store(rows)) if rows else None


def _count_bytes(head: bytes, limits: Limits) -> int:
    """Return the bytes of the rows by the first bytes of a file; 0 if it is not read here."""
    if len(head) < _HEADER_BYTES:
        return 0
    magic, kind, width, height, depth, colours, _, _, interlace = _HEADER.unpack_from(head)
    if (magic, kind, depth, colours, interlace) != (_MAGIC, b"IHDR", 8, _RGB, 0):
        return 0
    # Each row begins with the number of its filter.
    n_bytes = height * (3 * width + 1)
    return n_bytes if n_bytes <= _MOST_BYTES and width * height <= limits.max_pixels else 0


def _find_pixels(content: bytes) -> bytes:
    """Return the compressed rows; empty if another chunk matters, or the file is not whole."""
    place, data = _HEADER_BYTES, list[bytes]()
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind not in _PLAIN:
            break
        if kind == _PIXELS:
            data.append(content[place + 8 : place + 8 + length])
        place += length + 12
        if kind == _END:
            return b"".join(data) if place == len(content) else b""
    return b""


def _unpack(packed: bytes, n_bytes: int) -> bytes:
    """Return the rows, whose checksum is right; empty if they are damaged or more than stated."""
    try:
        import imagecodecs

        return bytes(imagecodecs.deflate_decode(packed, out=n_bytes))
    except (ImportError, ValueError, RuntimeError):  # the codecs' own errors are RuntimeErrors
        return b""


def _decode(content: bytes) -> Image | None:
    import imagecodecs

    try:
        pixels: Image = imagecodecs.png_decode(content)
    except (ImportError, ValueError, RuntimeError):
        return None
    return pixels


def _store(rows: bytes) -> bytes:
    """Return the chunks of a PNG that follow the header, with rows that are not compressed."""
    from imagecodecs import deflate_adler32, deflate_crc32

    view, parts = memoryview(rows), list[bytes | memoryview]([_PIXELS, _STORED])
    for start in range(0, len(rows), _BLOCK_BYTES):
        block = view[start : start + _BLOCK_BYTES]
        is_last = start + _BLOCK_BYTES >= len(rows)
        parts += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    chunk = b"".join([*parts, int(deflate_adler32(rows)).to_bytes(4)])
    length, checksum = struct.pack(">I", len(chunk) - 4), int(deflate_crc32(chunk)).to_bytes(4)
    return b"".join([length, chunk, checksum, _LAST])
