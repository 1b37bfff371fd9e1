"""Encoding of an image file: its format, size and JPEG quantisation, without its pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path

from eosin.core.errors import ImageError
from eosin.images.decode import opened_image
from eosin.images.limits import read_limits


def describe_encoding(path: Path, index: int | None = None) -> str:
    """Return format, size in pixels and JPEG quantisation tables: ``JPEG 96x96 1f0c``.

    Only the header is read. Empty for an image inside a container, whose images are all encoded
    alike, and for a file that Pillow does not open.
    """
    if index is not None:
        return ""
    try:
        with opened_image(path, read_limits()) as image:
            tables = getattr(image, "quantization", None)
            text = f"{image.format} {image.width}x{image.height}"
    except ImageError:
        return ""
    if not tables:
        return text
    shown = repr(sorted((number, list(table)) for number, table in tables.items()))
    return f"{text} {hashlib.sha256(shown.encode()).hexdigest()[:8]}"
