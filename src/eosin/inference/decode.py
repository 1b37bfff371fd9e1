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

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from eosin.core.errors import ImageError
from eosin.core.types import Image, Pixels
from eosin.inference.containers import read_item
from eosin.inference.limits import Limits, read_limits

#: Raised whenever a change here changes decoded pixels: caches are keyed by it.
DECODER_VERSION = 1
#: Suffixes that a folder is searched for.
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
# TIFF's tags of photometric interpretation and samples per pixel, and "black is zero".
_PHOTOMETRIC, _SAMPLES, _BLACK_IS_ZERO = 262, 277, 1


def decode_image(path: Path, index: int | None = None) -> Image:
    """Decode a file, or one image of a container.

    Args:
        path: An image file in a format that Pillow reads, or an h5 or idx file.
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
        if image.mode in _SIXTEEN_BIT_MODES:
            return _grey_to_rgb(to_eight_bits(np.asarray(image)))
        return np.asarray(_to_rgb(ImageOps.exif_transpose(image)), dtype=np.uint8)


@contextmanager
def opened_image(path: Path, limits: Limits) -> Iterator[PillowImage.Image]:
    """Open a file with Pillow, not yet decoded; what goes wrong inside becomes an ImageError.

    Args:
        path: The file.
        limits: How large the image may be.

    Raises:
        ImageError: It is absent, no image, truncated, or too large.
    """
    try:
        with warnings.catch_warnings():
            # Odd tags are none of our business; a bomb is refused by its size.
            warnings.simplefilter("ignore")
            with PillowImage.open(path) as image:
                limits.check_size(path, *image.size)
                yield image
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that can be read") from None
    except PillowImage.DecompressionBombError:
        raise ImageError(f"{path} is larger than {limits.max_pixels} pixels") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        # Pillow raises SyntaxError for broken PNG chunks.
        raise ImageError(f"{path} cannot be decoded: {error}") from error


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


def to_eight_bits(values: Pixels) -> Image:
    """Keep the upper eight of 16 bits; 8-bit values come back as they are."""
    return values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8)


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
