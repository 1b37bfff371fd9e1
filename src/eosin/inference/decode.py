"""Reading one brightfield image into 8-bit RGB.

Alpha is laid over white, as a microscope's background; EXIF orientation is applied; grey, palette
and CMYK become RGB; of 16 bits the upper eight are kept. Files of several channels that are no
colours are refused by name: :mod:`eosin.inference.planes` reads those. How large an image may be
is said in :mod:`eosin.inference.limits`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFile, ImageOps, UnidentifiedImageError

from eosin.core.errors import EosinError, ImageError
from eosin.core.types import Image, Pixels
from eosin.inference.containers import read_item
from eosin.inference.limits import PIXELS_VARIABLE, Limits, read_limits

#: Raised whenever a change here changes decoded pixels: caches are keyed by it.
DECODER_VERSION = 2
#: Suffixes that a folder is searched for: those of all formats that are read.
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp"}
    | {".jp2", ".j2k", ".ppm", ".pgm", ".pnm"}
)
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
#: What Pillow may take a file for, whatever its name: it would hand an EPS to Ghostscript.
_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# TIFF's tags of bits per sample, photometric interpretation, samples per pixel and arrangement.
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR = 258, 262, 277, 284
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_ONE_PLANE_EACH = 2


def decode_image(path: Path, index: int | None = None) -> Image:
    """Decode a file, or one image of a container.

    Args:
        path: A PNG, JPEG, TIFF, BMP, WebP, GIF, PPM or JPEG 2000, or an h5 or idx file.
        index: Which image of a container; nothing for a file of one image.

    Returns:
        The image, uint8, shape (H, W, 3), RGB, 0–255.

    Raises:
        ImageError: It is absent, no image, truncated, too large, or has several channels that are
            no colours.
    """
    if index is not None:
        return _item_to_rgb(path, read_item(path, index))
    limits = read_limits()
    with opened_image(path, limits) as image:
        _check(path, image)
        tags = dict(getattr(image, "tag_v2", {}))
        upright = ImageOps.exif_transpose(image)
        if image.mode in _SIXTEEN_BIT_MODES:
            return _grey_to_rgb(_sixteen_to_eight_bits(np.asarray(upright), tags))
        return np.asarray(_to_rgb(upright), dtype=np.uint8)


@contextmanager
def opened_image(path: Path, limits: Limits) -> Iterator[PillowImage.Image]:
    """Open a file with Pillow, not yet decoded; what goes wrong inside becomes an ImageError.

    Args:
        path: The file.
        limits: How large the image may be.

    Raises:
        ImageError: It is absent, no image, truncated, or too large.
    """
    _raise_bomb_limit(limits)
    try:
        # Opened here: Pillow maps a file of which it knows the name, and then mixes up the pixels
        # of an uncompressed grey TIFF that lies on its side.
        with (
            _quiet,
            path.open("rb") as stream,
            PillowImage.open(stream, formats=_FORMATS) as image,
        ):
            limits.check_size(path, *image.size)
            yield image
    except EosinError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that can be read") from None
    except PillowImage.DecompressionBombError:
        raise ImageError(
            f"{path} is larger than {limits.max_pixels} pixels ({PIXELS_VARIABLE} sets this)"
        ) from None
    except Exception as error:  # Pillow raises what a damaged file makes it stumble over
        raise ImageError(f"{path} cannot be decoded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, (OSError, ValueError, SyntaxError, EOFError)):
        return getattr(error, "strerror", None) or str(error)
    # Not meant for users: a bare number, for example, of a tag that no file should have.
    return f"it is damaged ({type(error).__name__}: {error})"


def _raise_bomb_limit(limits: Limits) -> None:
    """Let Pillow, which has a limit of its own for all that the process reads, open what ours does.

    Pillow's is never lowered: other code may rely on it.
    """
    own = PillowImage.MAX_IMAGE_PIXELS
    if own is not None and own < limits.max_pixels:
        PillowImage.MAX_IMAGE_PIXELS = limits.max_pixels


class _Quiet:
    """Silences warnings while any thread decodes; re-entered at will.

    Odd tags are none of our business, and a bomb is refused by its size. The filters of warnings
    belong to the whole process: threads that each put back what they found leave it deaf.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._entered = 0
        self._caught: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._entered == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._entered += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._entered -= 1
            if self._entered == 0:
                self._caught.__exit__(None, None, None)


_quiet = _Quiet()


def _check(path: Path, image: PillowImage.Image) -> None:
    if image.mode not in _EIGHT_BIT_MODES | _SIXTEEN_BIT_MODES:
        raise ImageError(
            f"{path} has pixels of the kind {image.mode!r}; 8 or 16 bits a channel are read"
        )
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise ImageError(f"{path} holds {pages} pages; a file of one image is needed")
    tags = getattr(image, "tag_v2", {})
    samples = int(tags.get(_SAMPLES, 1))
    # Pillow opens such a file as grey and shows its first channel without a word.
    if tags.get(_PHOTOMETRIC) == _BLACK_IS_ZERO and samples > 1 and image.mode not in {"LA", "PA"}:
        raise ImageError(
            f"{path} has {samples} channels that are no colours; a brightfield image is needed"
        )
    # Pillow takes the lower eight bits of such a file, which are noise.
    if (
        tags.get(_PLANAR) == _ONE_PLANE_EACH
        and samples > 1
        and max(tags.get(_BITS, (8,))) > 8
        and how_stored(image).codec_name == "raw"
    ):
        raise ImageError(
            f"{path} keeps 16 bits a colour, one colour behind the other, uncompressed; it is read "
            "when it is compressed, or its colours lie side by side"
        )


def to_eight_bits(values: Pixels) -> Image:
    """Keep the upper eight of 16 bits; 8-bit values come back as they are."""
    return values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8)


def how_stored(image: PillowImage.Image) -> Any:
    """Return how Pillow is to unpack an opened file: the codec's name, and its arguments."""
    return cast(ImageFile.ImageFile, image).tile[0]


def _sixteen_to_eight_bits(values: Pixels, tags: dict[int, Any]) -> Image:
    """Keep the upper eight of the bits that a grey image has, as light as it is to be seen."""
    (bits,) = tags.get(_BITS, (16,))
    grey: Image = (values >> (bits - 8)).astype(np.uint8)
    # Pillow turns 8 bits around by itself, 16 bits not.
    return 255 - grey if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey


def _grey_to_rgb(values: Image) -> Image:
    return np.repeat(values[..., None], 3, axis=-1)


def _item_to_rgb(path: Path, item: Pixels) -> Image:
    """Turn an image of a container, (H, W) or (H, W, C), into RGB."""
    read_limits().check_size(path, item.shape[1], item.shape[0])
    values = to_eight_bits(item)
    if values.ndim == 2:
        return _grey_to_rgb(values)
    if values.shape[2] == 1:
        return _grey_to_rgb(values[..., 0])
    if values.shape[2] != 3:
        raise ImageError(f"{path} holds images of {values.shape[2]} channels; 1 or 3 are needed")
    return values


def _to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = PillowImage.new("RGBA", rgba.size, (255, 255, 255, 255))
        return PillowImage.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
