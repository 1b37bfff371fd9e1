"""Reading one image file into 8-bit RGB.

Limits: at most ``MAX_PIXELS`` pixels; anything larger is no patch but a slide. Alpha is laid
over white, as a microscope's background; EXIF orientation is applied; grey, palette and CMYK
become RGB. Deeper and multi-channel images are refused by name.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFile, ImageOps, UnidentifiedImageError

from eosin.core.errors import ImageError
from eosin.core.types import Image

MAX_PIXELS = 50_000_000
#: Suffixes that a folder is searched for.
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


def decode_image(path: Path) -> Image:
    """Decode a file.

    Args:
        path: An image file in a format that Pillow reads.

    Returns:
        The image, uint8, shape (H, W, 3), RGB, 0–255.

    Raises:
        ImageError: It is absent, no image, truncated, too large, or deeper than 8 bits.
    """
    try:
        with warnings.catch_warnings():
            # Odd tags are none of our business; a bomb is refused by size below.
            warnings.simplefilter("ignore")
            with PillowImage.open(path) as opened:
                _check(path, opened)
                image: PillowImage.Image = ImageOps.exif_transpose(opened)
                image = _to_rgb(image)
                return np.asarray(image, dtype=np.uint8)
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that can be read") from None
    except PillowImage.DecompressionBombError:
        raise ImageError(f"{path} is larger than {MAX_PIXELS} pixels") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        # Pillow raises SyntaxError for broken PNG chunks.
        raise ImageError(f"{path} cannot be decoded: {error}") from error


def _check(path: Path, image: ImageFile.ImageFile) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{path} has {width} × {height} pixels; at most {MAX_PIXELS} are read")
    if image.mode not in _EIGHT_BIT_MODES:
        raise ImageError(f"{path} has pixels of the kind {image.mode!r}; 8-bit images are needed")
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise ImageError(f"{path} holds {pages} pages; a file of one image is needed")
    # Pillow opens 16-bit colour as RGB and drops the lower byte without a word.
    if any(";16" in str(tile.args) for tile in image.tile):
        raise ImageError(f"{path} has 16 bits a channel; 8-bit images are needed")


def _to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = PillowImage.new("RGBA", rgba.size, (255, 255, 255, 255))
        return PillowImage.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
