"""Decoding of fluorescence channels as they were counted: 8 or 16 bits, any number.

TIFF with one channel a page, one sample a channel, or either as its axes state (tifffile); grey and
RGB images of other formats; images inside h5 and idx files. Time points and focal planes raise an
error: the user has to choose one, and save it.
"""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import numpy as np
import tifffile

from eosin.core.errors import ImageError
from eosin.core.files import check_file
from eosin.core.text import clean_name
from eosin.core.types import Pixels
from eosin.images.containers import read_item
from eosin.images.decode import decode_image, how_stored, opened_image, select_page
from eosin.images.failures import reserve_memory
from eosin.images.limits import Limits, read_limits
from eosin.images.tiff import bound_unpacking, check_page_tiles, check_pages, opened_tiff

_TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
_PLAIN_MODES = frozenset({"L", "RGB", "I;16", "I;16L", "I;16B", "I;16N"})
# In OME's metadata, without an XML parser: files are untrusted.
_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b.*?</(?:\w+:)?Pixels>", re.DOTALL)
_CHANNEL = re.compile(r"<(?:\w+:)?Channel\b([^>]*)>")
_FILE_NAME = re.compile(r"""\bFileName=(["'])(.*?)\1""")
_NAME = re.compile(r"""\bName=(["'])(.*?)\1""")
_LAB = (tifffile.PHOTOMETRIC.CIELAB, tifffile.PHOTOMETRIC.ICCLAB, tifffile.PHOTOMETRIC.ITULAB)
#: Tifffile's axes that can be channels: channel, sample, sequence, unknown.
_CHANNEL_AXES = frozenset("CSIQ")


def decode_planes(path: Path, index: int | None = None) -> Pixels:
    """Decode every channel as :func:`decode_channels` does, in the order of the file."""
    return decode_channels(path, index)[0]


def decode_channels(path: Path, index: int | None = None) -> tuple[Pixels, tuple[str, ...]]:
    """Decode every channel of a TIFF or other image, or of the image ``index`` of a container.

    Returns uint8 or uint16, shape (H, W, C), as stored; the names of the channels, if OME's
    metadata give each of them one of its own. Raises ImageError if it is absent, no image,
    truncated, too large, of another depth, or has time points or focal planes.
    """
    limits = read_limits()
    names: tuple[str, ...] = ()
    if index is not None:
        planes = read_item(path, index)
    elif path.suffix.lower() in _TIFF_SUFFIXES:
        planes, names = _read_tiff(path, limits)
    else:
        planes = _read_plain(path, limits)
    planes = planes[..., None] if planes.ndim == 2 else planes
    limits.check_size(path, planes.shape[1], planes.shape[0])
    limits.check_channels(path, planes.shape[2])
    distinct = {name.casefold() for name in names}
    is_named = len(names) == len(distinct) == planes.shape[2]
    return np.ascontiguousarray(planes), names if is_named else ()


def _read_plain(path: Path, limits: Limits) -> Pixels:
    with opened_image(path, limits) as image:
        select_page(path, image, limits)
        if image.mode not in _PLAIN_MODES:
            raise ImageError(
                f"{path} has pixels of the kind {image.mode!r}; grey or RGB of 8 or 16 bits is "
                "needed for fluorescence"
            )
        if image.mode == "RGB" and "16" in str(how_stored(image).args):
            # Pillow would drop the lower eight bits without a warning.
            raise ImageError(
                f"{path} has 16 bits per colour, which are read from TIFF only; save it as TIFF"
            )
        values = np.asarray(image)
    return values.astype(np.uint16) if values.dtype.itemsize > 1 else values


def _read_tiff(path: Path, limits: Limits) -> tuple[Pixels, tuple[str, ...]]:
    with opened_tiff(path) as file:
        check_pages(path)
        _check_parts(path, file.ome_metadata)
        series = file.series[0]
        _check_series(path, series, limits)
        bound_unpacking(series.keyframe)
        values = _read_series(path, series, limits)
        axes = series.axes
        names = _channel_names(file.ome_metadata)
    planes = np.moveaxis(_drop_single(values, axes), _channel_axis(values, axes), -1)
    return planes, names


def _check_parts(path: Path, ome: str | None) -> None:
    """Check the other files in OME's metadata before they are opened for their channels."""
    for name in {unescape(match[2]) for match in _FILE_NAME.finditer(ome or "")}:
        part = path.parent / name
        try:
            check_file(part)
        except FileNotFoundError:
            continue  # whose channels are then black
        except OSError as error:
            raise ImageError(
                f"{path} refers to {part}, which cannot be read: {error.strerror}"
            ) from error


def _channel_names(ome: str | None) -> tuple[str, ...]:
    pixels = _PIXELS.search(ome or "")
    if pixels is None:
        return ()
    found = [_NAME.search(channel) for channel in _CHANNEL.findall(pixels.group())]
    names = tuple(clean_name(unescape(match.group(2))) if match else "" for match in found)
    return names if all(names) else ()


def _read_series(path: Path, series: tifffile.TiffPageSeries, limits: Limits) -> Pixels:
    """Decode all pages; those with LZW compression, common in microscopy, with Pillow.

    tifffile unpacks them only if the package imagecodecs is installed.
    """
    first = series.keyframe
    plain = first.samplesperpixel == 1 and first.photometric == tifffile.PHOTOMETRIC.MINISBLACK
    if first.compression != tifffile.COMPRESSION.LZW or not plain:
        return series.asarray()
    planes = []
    with opened_image(path, limits) as image:
        for page in series.pages:
            if page is None:
                raise ImageError(f"{path} lacks a channel")
            image.seek(int(page.index))
            planes.append(np.asarray(image).astype(series.dtype.newbyteorder("=")))
    return np.stack(planes).reshape(series.shape)


def _check_series(path: Path, series: tifffile.TiffPageSeries, limits: Limits) -> None:
    """Check the header before anything is decoded."""
    if series.dtype is None or series.dtype.type not in {np.uint8, np.uint16}:
        raise ImageError(f"{path} has {series.dtype} pixels; uint8 or uint16 is needed")
    sizes = dict(zip(series.axes, series.shape, strict=True))
    others = [axis for axis in series.axes if axis not in "YX" and sizes[axis] > 1]
    odd = [axis for axis in others if axis not in _CHANNEL_AXES]
    if odd or len(others) > 1 or not {"Y", "X"} <= set(series.axes):
        shown = ", ".join(f"{axis} {sizes[axis]}" for axis in series.axes)
        raise ImageError(
            f"{path} has the axes {shown}; only one focal plane and one time point are read, "
            "with channels as C"
        )
    if series.keyframe.photometric in _LAB:
        raise ImageError(f"{path} has CIELAB pixels, not fluorescence channels")
    limits.check_size(path, sizes["X"], sizes["Y"])
    limits.check_channels(path, sizes[others[0]] if others else 1)
    check_page_tiles(path, series.keyframe)
    limits.check_bytes(path, series.nbytes)
    reserve_memory(series.nbytes)


def _drop_single(values: Pixels, axes: str) -> Pixels:
    """Drop every axis of length one but Y and X."""
    single = tuple(
        place for place, axis in enumerate(axes) if axis not in "YX" and values.shape[place] == 1
    )
    return np.squeeze(values, axis=single)


def _channel_axis(values: Pixels, axes: str) -> int:
    """Return the axis of channels once single axes are dropped; the last axis if there is none."""
    kept = [a for a, size in zip(axes, values.shape, strict=True) if a in "YX" or size > 1]
    return next((place for place, axis in enumerate(kept) if axis not in "YX"), -1)


def decode_any(path: Path, index: int | None = None) -> Pixels:
    """Decode an image of unknown kind: RGB if it is one, else its channels.

    For checks and audits, which read files whose kind has not been declared. Returns uint8 RGB,
    shape (H, W, 3), or uint8 or uint16 channels, shape (H, W, C); raises ImageError if it can be
    read as neither.
    """
    try:
        return decode_image(path, index)
    except ImageError as error:
        try:
            return decode_planes(path, index)
        except ImageError:
            raise error from None
