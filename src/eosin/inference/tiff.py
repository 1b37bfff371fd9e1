"""TIFF files that Pillow does not read, or not with all their bits, read with tifffile."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import tifffile

from eosin.core.errors import EosinError, ImageError
from eosin.core.types import Pixels
from eosin.inference.depth import stated_by_tags
from eosin.inference.limits import Limits

_PHOTOMETRIC, _ORIENTATION = 262, 274
_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COLOURS = {
    tifffile.PHOTOMETRIC.RGB: 3,
    tifffile.PHOTOMETRIC.MINISBLACK: 1,
    tifffile.PHOTOMETRIC.MINISWHITE: 1,
}
_KINDS = {"f": "floating-point", "c": "complex", "i": "signed"}
# What it finds odd it would print amid the user's own lines; a program that logs still hears it.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def is_tiff(path: Path) -> bool:
    """Return whether a file's first bytes are those of a TIFF."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) in _MAGIC
    except OSError:
        return False


def read_colours(path: Path, limits: Limits, page: int = 0) -> tuple[Pixels, int | None]:
    """Read grey or RGB pixels of a TIFF with all their bits, upright.

    Args:
        path: The file.
        limits: How large the image may be.
        page: Which of its pages.

    Returns:
        uint8 or uint16, shape (H, W) or (H, W, 3), white being light; the bits per channel that
        the file states.

    Raises:
        ImageError: It is damaged, too large, or has other pixels.
    """
    try:
        with tifffile.TiffFile(path) as file:
            found = file.pages[page].aspage()
            _check_page(path, found, limits)
            values = found.asarray()
            if found.planarconfig == tifffile.PLANARCONFIG.SEPARATE and values.ndim == 3:
                values = np.moveaxis(values, 0, -1)
            tags = {tag.code: tag.value for tag in found.tags}
    except EosinError:
        raise
    except Exception as error:  # tifffile raises what a damaged file makes it stumble over
        raise ImageError(f"{path} cannot be decoded: {describe(error)}") from error
    values = values[..., :3] if values.ndim == 3 else values
    native: Pixels = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    if tags.get(_PHOTOMETRIC) == tifffile.PHOTOMETRIC.MINISWHITE:
        native = np.iinfo(native.dtype).max - native
    return _turn_upright(native, int(tags.get(_ORIENTATION, 1))), stated_by_tags(tags)


def _turn_upright(values: Pixels, orientation: int) -> Pixels:
    """Apply TIFF's orientation, 1–8: where the first row and the first column are."""
    if orientation in {5, 6, 7, 8}:
        values = values.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        values = values[::-1]
    if orientation in {2, 3, 6, 7}:
        values = values[:, ::-1]
    return np.ascontiguousarray(values)


def describe(error: Exception) -> str:
    """Return the first line of an error of tifffile's."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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
    limits.check_bytes(path, page.nbytes)
