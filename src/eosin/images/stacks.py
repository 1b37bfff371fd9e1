"""Reading a bundle: one image of a slide at each magnification, behind each other as channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eosin.artifacts.model import Preprocessing
from eosin.core.types import Image, parts_of


def bundle_preprocessing(one: Preprocessing, magnifications: Sequence[str]) -> Preprocessing:
    """Repeat an image's preprocessing for every image of a bundle.

    Args:
        one: Of a brightfield image.
        magnifications: Of the bundle's images, in order; none leaves it as it is.
    """
    if not magnifications:
        return one
    repeated = {key: getattr(one, key) * len(magnifications) for key in ("channels", "mean", "std")}
    return one.model_copy(update={**repeated, "magnifications": tuple(magnifications)})


def read_bundle(cell: str, preprocessing: Preprocessing, read_one: Callable[[str], Image]) -> Image:
    """Read the images of a ``path`` cell.

    Args:
        cell: Of a bundle, a place for each of the model's magnifications; or of a single image.
        preprocessing: Of the model.
        read_one: From the cell of one image to its pixels, uint8, shape (H, W, 3).

    Returns:
        uint8, shape (H, W, 3 · M); black where an image is missing.

    Raises:
        ImageError: One of them cannot be read.
    """
    if not preprocessing.magnifications:
        return read_one(cell)
    missing = np.zeros((*preprocessing.input_px, 3), dtype=np.uint8)
    parts = [read_one(part) if part else missing for part in parts_of(cell)]
    return np.concatenate(parts, axis=2)
