"""Number of square crops that cover a field, and its bounds."""

from __future__ import annotations

import math

#: Most crops of a field: a hostile file could demand millions.
MOST_CROPS = 256


def count_crops(input_px: tuple[int, int], crop_px: int) -> int:
    """Return the fewest squares of ``crop_px`` that cover a field of a height and a width."""
    return math.prod(-(-side // crop_px) for side in input_px)


def check_crop_px(input_px: tuple[int, int], crop_px: int | None) -> None:
    """Check the side of the crops of a field, if it is seen in crops.

    Raises ValueError if they are larger than the field, or more than :data:`MOST_CROPS`.
    """
    if crop_px is not None and crop_px > min(input_px):
        raise ValueError(f"crop_px should be at most {min(input_px)}, got {crop_px}")
    if crop_px is not None and count_crops(input_px, crop_px) > MOST_CROPS:
        raise ValueError(f"crop_px should give at most {MOST_CROPS} crops, got {crop_px}")
