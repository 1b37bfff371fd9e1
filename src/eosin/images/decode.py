"""Decoding of one brightfield image into 8-bit RGB.

Alpha is composited over white, as a microscope's background; EXIF orientation is applied; grey,
palette and CMYK become RGB. Files with channels other than colours raise an error:
:mod:`eosin.images.planes` reads those. :mod:`eosin.images.limits` limits the size.

Of the bits that a file of 16 uses the upper eight are kept. Cameras of 10, 12 and 14 bits are saved
as 16 bits, often without scaling. The depth is what the file states: TIFF's MaxSampleValue of
2^n - 1, OME's SignificantBits, PNG's sBIT. Without a statement all 16 bits are assumed to be used;
an image that then uses less than a quarter of the range raises an error, for it would be read as
black.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFile, ImageOps, UnidentifiedImageError

from eosin.core.errors import EosinError, ImageError
from eosin.core.files import open_file, read_file
from eosin.core.types import Image, Pixels
from eosin.images.containers import read_item
from eosin.images.failures import describe_unopened, reserve_memory, silence
from eosin.images.limits import (
    MAX_PAGES,
    PIXELS_VARIABLE,
    Limits,
    end_header,
    open_bounded,
    read_limits,
)
from eosin.images.png import decode_plain_png
from eosin.images.tiff import check_tiles, is_tiff, read_colours, stated_by_tags, usable_depth

#: Increased whenever a change here changes decoded pixels: caches are keyed by it.
DECODER_VERSION = 4
#: Suffixes that a folder is searched for: those of all supported formats.
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp"}
    | {".jp2", ".j2k", ".ppm", ".pgm", ".pnm"}
)
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
#: Formats for Pillow, whatever the file's name: it would hand an EPS to Ghostscript.
_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
#: Unsupported kinds of pixels, by Pillow's mode.
_KINDS = {"F": "floating-point", "I": "32-bit or signed", "LAB": "CIELAB", "HSV": "HSV"}
# TIFF's tags of bits per sample, photometric interpretation, samples per pixel and arrangement.
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR = 258, 262, 277, 284
# Its tags of a page's kind, the new one and the old, and their values for smaller copies.
_NEW_SUBFILE, _SUBFILE = 254, 255
_REDUCED_OR_MASK, _REDUCED = 1 | 4, 2
_STRIP_OFFSETS, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS = 273, 322, 323, 324
#: Marker of a scan of a JPEG, which does not occur in its packed pixels. A progressive one has
#: about ten, each of which goes over all pixels.
_SCAN, _MAX_SCANNED_PX = b"\xff\xda", 2_000_000_000
#: Most pixels written as text: Pillow reads a million of them a second.
_MAX_PLAIN_PX = 1_000_000
#: Most tags of all pages of a TIFF together; a page of a microscope has some twenty.
_MAX_TAGS = 100_000
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_ONE_PLANE_EACH = 2
#: Largest value of a 14-bit camera: a quarter of the range of 16 bits.
QUARTER = 2**14 - 1
#: Bytes that hold a PNG's small chunks, which stand before its pixels.
_HEAD_BYTES = 65_536
_ROWS = 256


def decode_image(path: Path, index: int | None = None) -> Image:
    """Decode a file, or the image ``index`` of a container, to RGB: uint8, shape (H, W, 3).

    A file is a PNG, JPEG, TIFF, BMP, WebP, GIF, PPM or JPEG 2000. Raises ImageError if it is
    absent, no image, truncated, too large, has channels other than colours, or 16 bits of which an
    unknown number is used.
    """
    if index is not None:
        return item_to_rgb(path, read_item(path, index))
    limits = read_limits()
    if (pixels := decode_plain_png(path, limits)) is not None:
        return pixels
    try:
        with opened_image(path, limits) as image:
            select_page(path, image, limits)
            _check(path, image)
            return _decode(path, image, limits)
    except _UnknownFormatError:
        # Of TIFF Pillow reads the most common kinds only.
        if not is_tiff(path):
            raise
        return _read_deep(path, limits)


def _decode(path: Path, image: PillowImage.Image, limits: Limits) -> Image:
    tags = dict(getattr(image, "tag_v2", {}))
    if image.mode in _SIXTEEN_BIT_MODES:
        values = np.asarray(_turn_upright(image))
        return _to_rgb_array(_grey_to_eight_bits(path, values, tags, _stated_bits(path, image)))
    if _is_deep(image, tags):
        stated = _stated_bits(path, image)
        # Of raw planes Pillow keeps the lower eight bits, which are noise.
        if image.format == "TIFF" and (_is_split(image, tags) or stated not in {None, 16}):
            return _read_deep(path, limits, page=image.tell())
        if stated != 16 and image.mode != "CMYK":  # whose 0 is white
            n_colours = 1 if image.mode == "LA" else 3
            upper = int(np.asarray(image)[..., :n_colours].max(initial=0))
            check_range(path, 256 * upper + 255 if upper else _largest_of_dark(path, image, limits))
    return np.asarray(_to_rgb(_turn_upright(image)), dtype=np.uint8)


def _turn_upright(image: PillowImage.Image) -> PillowImage.Image:
    """Apply EXIF's orientation, in place: nearly every image is upright, and needs no copy."""
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _largest_of_dark(path: Path, image: PillowImage.Image, limits: Limits) -> int:
    """Return the largest value of 16-bit colours whose upper eight bits are all 0."""
    if image.format == "TIFF":
        return int(read_colours(path, limits, image.tell())[0].max(initial=0))
    with opened_image(path, limits) as again:
        stored = how_stored(again)
        if stored.args.startswith("LA"):  # Pillow does not unpack its lower bits
            return 255
        # A PNG's bytes are in big-endian order: read the other way, the lower ones are kept.
        again.tile = [stored._replace(args=stored.args.replace("16B", "16L"))]  # type: ignore[attr-defined]
        return int(np.asarray(again)[..., :3].max(initial=0))


def _read_deep(path: Path, limits: Limits, page: int = 0) -> Image:
    values, stated = read_colours(path, limits, page)
    return _to_rgb_array(reduce_to_eight_bits(path, values, stated))


def select_page(path: Path, image: PillowImage.Image, limits: Limits) -> None:
    """Select the one page of an opened file that is not a smaller copy of another.

    Raises ImageError if there are several, or none.
    """
    # A phone's JPEG holds previews behind its image.
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return
    if image.format == "GIF":  # whose frames are counted by reading all of them
        raise ImageError(f"{path} contains at least 2 pages; one image per file is read")
    if image.format != "TIFF":
        n_pages = getattr(image, "n_frames", 1)
        raise ImageError(f"{path} contains {n_pages} pages; one image per file is read")
    reduced = _list_pages(path, image)
    pages = [page for page, is_reduced in enumerate(reduced) if not is_reduced]
    if len(pages) != 1:
        n_pages = len(pages) or len(reduced)
        raise ImageError(f"{path} contains {n_pages} pages; one image per file is read")
    image.seek(pages[0])
    limits.check_size(path, *image.size)
    _check_layout(path, image)


def _list_pages(path: Path, image: PillowImage.Image) -> list[bool]:
    """Return for each page of a TIFF if it is marked as a smaller copy or a mask.

    Raises ImageError for more pages, or more tags in them, than an image has.
    """
    reduced: list[bool] = []
    n_tags = 0
    while True:
        try:
            image.seek(len(reduced))
        except EOFError:
            return reduced
        tags = getattr(image, "tag_v2", {})
        n_tags += len(tags)
        if len(reduced) == MAX_PAGES or n_tags > _MAX_TAGS:
            raise ImageError(
                f"{path} contains more than {MAX_PAGES} pages, or {_MAX_TAGS} tags; one image per "
                "file is read"
            )
        kind, old_kind = int(tags.get(_NEW_SUBFILE, 0)), int(tags.get(_SUBFILE, 0))
        reduced.append(bool(kind & _REDUCED_OR_MASK) or old_kind == _REDUCED)


def may_be_deep_grey(path: Path) -> bool:
    """Return True if a file may be 16-bit grey: by Pillow, or if Pillow cannot open it.

    Raises ImageError if it does not decode.
    """
    limits = read_limits()
    try:
        with opened_image(path, limits) as image:
            select_page(path, image, limits)
            return image.mode in _SIXTEEN_BIT_MODES
    except _UnknownFormatError:
        return True


@contextmanager
def opened_image(path: Path, limits: Limits) -> Iterator[PillowImage.Image]:
    """Open a file with Pillow, not yet decoded; errors inside become an ImageError."""
    _raise_bomb_limit(limits)
    try:
        # Opened here: given a file name, Pillow maps the file, and then mixes up the pixels of an
        # uncompressed grey TIFF that lies on its side.
        with (
            silence,
            open_bounded(path, limits) as stream,
            PillowImage.open(stream, formats=_FORMATS) as image,
        ):
            end_header(stream)
            limits.check_size(path, *image.size)
            # Pillow keeps a colour in four bytes.
            reserve_memory(4 * image.width * image.height)
            _check_layout(path, image)
            yield image
    except (EosinError, MemoryError):
        raise
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except UnidentifiedImageError:
        raise _UnknownFormatError(f"{path} {describe_unopened(path)}") from None
    except PillowImage.DecompressionBombError:
        raise ImageError(
            f"{path} is larger than {limits.max_pixels} pixels ({PIXELS_VARIABLE} sets this)"
        ) from None
    except Exception as error:  # Pillow raises any error on a damaged file
        raise ImageError(f"{path} cannot be decoded: {_reason(error)}") from error


class _UnknownFormatError(ImageError):
    """None of the formats that Pillow reads."""


def _reason(error: Exception) -> str:
    if isinstance(error, (OSError, ValueError, SyntaxError, EOFError)):
        return getattr(error, "strerror", None) or str(error)
    # Not meant for users: a bare number, for example, of an unknown tag.
    return f"it is damaged ({type(error).__name__}: {error})"


def _raise_bomb_limit(limits: Limits) -> None:
    """Raise Pillow's process-wide limit on pixels to ours.

    Pillow's is never lowered: other code may rely on it.
    """
    own = PillowImage.MAX_IMAGE_PIXELS
    if own is not None and own < limits.max_pixels:
        PillowImage.MAX_IMAGE_PIXELS = limits.max_pixels


def _check_layout(path: Path, image: PillowImage.Image) -> None:
    """Raise ImageError if unpacking would take gigabytes or minutes by the declared layout."""
    n_pixels = image.width * image.height
    if getattr(image, "tile", None) and how_stored(image).codec_name == "ppm_plain":
        if n_pixels > _MAX_PLAIN_PX:
            raise ImageError(
                f"{path} stores {n_pixels} pixels as text; at most {_MAX_PLAIN_PX} are read",
                hint="Save it as PNG",
            )
    elif image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        tile = int(tags.get(_TILE_LENGTH, 1)), int(tags.get(_TILE_WIDTH, 1))
        n_tiles = max(len(tags.get(tag, ())) for tag in (_STRIP_OFFSETS, _TILE_OFFSETS))
        check_tiles(path, (image.height, image.width), tile, n_tiles)
    elif image.format == "JPEG" and "progressive" in image.info:
        n_scans = read_file(path).count(_SCAN)
        if n_scans * n_pixels > _MAX_SCANNED_PX:
            raise ImageError(f"{path} stores its pixels in {n_scans} scans, which take too long")


def _check(path: Path, image: PillowImage.Image) -> None:
    if image.mode not in _EIGHT_BIT_MODES | _SIXTEEN_BIT_MODES:
        kind = _KINDS.get(image.mode, image.mode)
        raise ImageError(f"{path} has {kind} pixels; 8 or 16 bits per channel are read")
    tags = getattr(image, "tag_v2", {})
    samples = int(tags.get(_SAMPLES, 1))
    # Pillow opens such a file as grey and returns its first channel without a warning.
    if tags.get(_PHOTOMETRIC) == _BLACK_IS_ZERO and samples > 1 and image.mode not in {"LA", "PA"}:
        raise ImageError(
            f"{path} has {samples} non-RGB channels; an RGB brightfield image is needed"
        )


def _is_deep(image: PillowImage.Image, tags: dict[int, Any]) -> bool:
    """Return True if colours of 16 bits were, or will be, reduced to 8 by Pillow."""
    if image.format == "TIFF":
        return bool(max(tags.get(_BITS, (8,))) > 8)
    return image.format == "PNG" and "16" in str(how_stored(image).args)


def _is_split(image: PillowImage.Image, tags: dict[int, Any]) -> bool:
    """Return True if colours are stored in uncompressed planes."""
    return tags.get(_PLANAR) == _ONE_PLANE_EACH and how_stored(image).codec_name == "raw"


def how_stored(image: PillowImage.Image) -> Any:
    """Return how Pillow unpacks an opened file: the codec's name, and its arguments."""
    return cast(ImageFile.ImageFile, image).tile[0]


def _grey_to_eight_bits(
    path: Path, values: Pixels, tags: dict[int, Any], stated: int | None
) -> Image:
    """Keep the upper eight of the bits that a grey image uses, with white as light."""
    (bits,) = tags.get(_BITS, (16,))
    # Packed values of 12 bits fill their range; those in 16 may not.
    grey = reduce_to_eight_bits(path, values, bits if bits < 16 else stated)
    # Pillow turns 8 bits around by itself, 16 bits not.
    return 255 - grey if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey


def _stated_bits(path: Path, image: PillowImage.Image) -> int | None:
    """Return the bits per channel that a file of 16, opened with Pillow, states; None without."""
    if image.format == "PNG":
        return usable_depth(_png_bits(path))
    return stated_by_tags(getattr(image, "tag_v2", {}))


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


def _to_rgb_array(values: Image) -> Image:
    """Repeat a grey image (H, W) for three colours; RGB is returned unchanged."""
    return np.repeat(values[..., None], 3, axis=-1) if values.ndim == 2 else values


def item_to_rgb(path: Path, item: Pixels) -> Image:
    """Convert an image of a container, (H, W) or (H, W, C), to RGB; ``path`` is its name."""
    read_limits().check_size(path, item.shape[1], item.shape[0])
    if item.ndim == 3 and item.shape[2] not in {1, 3}:
        raise ImageError(f"{path} contains images of {item.shape[2]} channels; 1 or 3 are needed")
    values = reduce_to_eight_bits(path, item)
    return _to_rgb_array(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)


def drop_alpha(image: Pixels) -> Pixels:
    """Return RGB of an array of RGBA, or of grey with alpha, uint8; any other is unchanged."""
    if image.ndim == 3 and image.shape[2] in {2, 4} and image.dtype == np.uint8:
        return np.asarray(_to_rgb(PillowImage.fromarray(image)))
    return image


def _to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = PillowImage.new("RGBA", rgba.size, (255, 255, 255, 255))
        return PillowImage.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
