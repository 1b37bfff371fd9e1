"""Pixel samples for stain estimation, and reasons to leave an image unchanged.

An image stays unchanged, with one of :data:`REASONS`, where a fitted stain would be meaningless.

Pen ink is found by colour. Blue ink absorbs red light and transmits green, where haematoxylin
absorbs both; green ink transmits green alone, which no tissue does; red ink absorbs nearly as much
blue as green, where eosin absorbs little blue; black ink absorbs all. The limits are Eosin's own,
set so that real tiles without ink almost never exceed them (``docs/stain.md`` gives the shares):
pale ink is missed. Colours are classified in steps of eight grey levels, from a table.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from eosin.core.types import BoolArray, Image

NO_TISSUE = "no tissue"
TOO_LITTLE = "too little tissue"
ONE_COLOUR = "one colour"
ONE_STAIN = "no two stains"
SATURATED = "saturated"
MARKS = "pen marks"

#: All reasons to leave an image unchanged.
REASONS = (NO_TISSUE, TOO_LITTLE, ONE_COLOUR, ONE_STAIN, SATURATED, MARKS)

#: Most pixels kept of a unit while others are read.
UNIT_PIXELS = 1 << 17
#: Most pixels in which faults of an image are searched for.
_LOOKED_AT = 1 << 12
#: Largest shares of an image's pixels in ink, and in clipped colours.
_MARKED_SHARE = 0.02
_CLIPPED_SHARE = 0.5
#: Least share of tissue: a 99th percentile over all pixels must lie in the tissue.
_TISSUE_SHARE = 0.02
_TISSUE_PIXELS = 32
#: Brightest level of tissue in its darkest channel: an optical density of 0.15 below 240.
_TISSUE_GREY = 205
#: Least level of the darkest channel in near-white colours.
_PALE_GREY = 192
#: Range of grey levels that counts as one colour: a camera's noise is wider.
_FLAT_RANGE = 2


class Pool:
    """A bounded, regular sample of one unit's pixels."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[Image] = []
        self._count = 0
        self._thinning = 1
        self._reason = ""

    def add(self, image: Image) -> None:
        """Add pixels of an image, shape (H, W, 3), unless it has a fault."""
        reason = find_fault(image)
        if reason:
            self._reason = self._reason or reason
            return
        sample = _sample(image, self._limit)[:: self._thinning]
        # Channel by channel: sums, extremes and products are several times as fast.
        self._kept.append(np.ascontiguousarray(sample.T))
        self._count += len(sample)
        while self._count > self._limit:
            self._thinning *= 2
            # Copies: a view would keep the dropped pixels in memory.
            self._kept = [colours[:, ::2].copy() for colours in self._kept]
            self._count = sum(colours.shape[1] for colours in self._kept)

    def colours(self) -> Image:
        """Return the kept pixels, shape (3, N)."""
        return self._kept[0] if len(self._kept) == 1 else np.concatenate(self._kept, axis=1)

    def find_reason(self) -> str:
        """Return why the pixels allow no estimate of a stain; empty where they do."""
        if self._count == 0:
            return self._reason or NO_TISSUE
        colours = self.colours()
        n_tissue = int(np.count_nonzero(colours.min(axis=0) <= _TISSUE_GREY))
        if n_tissue < _TISSUE_SHARE * colours.shape[1]:
            return NO_TISSUE
        return TOO_LITTLE if n_tissue < _TISSUE_PIXELS else ""


def _sample(image: Image, limit: int) -> Image:
    """Return regularly spaced pixels, at most about ``limit``, shape (N, 3)."""
    pixels = image.reshape(-1, 3)
    step = -(-len(pixels) // limit)
    # A step that shares no factor with the width visits every column.
    while step > 1 and math.gcd(step, image.shape[1]) > 1:
        step += 1
    return pixels[step // 2 :: step] if step > 1 else pixels


def find_fault(image: Image) -> str:
    """Return why an image, shape (H, W, 3), should stay unchanged; empty if it may be normalised.

    The reasons are no tissue, one colour, clipping and pen ink.
    """
    colours = np.ascontiguousarray(_sample(image, _LOOKED_AT).T)
    if colours.size == 0:
        return NO_TISSUE
    if np.ptp(colours, axis=1).max() <= _FLAT_RANGE:
        return NO_TISSUE if colours.min() > _TISSUE_GREY else ONE_COLOUR
    darkest, brightest = colours.min(axis=0), colours.max(axis=0)
    # Colours with a clipped channel, other than white and black.
    clipped = ((darkest == 0) & (brightest > 0)) | ((brightest == 255) & (darkest < _PALE_GREY))
    if np.count_nonzero(clipped) > _CLIPPED_SHARE * len(clipped):
        return SATURATED
    marks = np.count_nonzero(find_ink(colours.T))
    return MARKS if marks > _MARKED_SHARE * len(clipped) else ""


#: Bits of a byte that are ignored: the table has 32 × 32 × 32 colours.
_PASSED_OVER = 3
_SIDE = 256 >> _PASSED_OVER
_I0 = 240.0


def find_ink(images: Image) -> BoolArray:
    """Return a mask (...) of pixels in the colours of pens, of images (..., 3), uint8."""
    place = np.zeros(images.shape[:-1], dtype=np.uint16)
    for colour in np.moveaxis(images, -1, 0):
        place *= _SIDE
        place += colour >> _PASSED_OVER
    marks: BoolArray = _table().take(place)
    return marks


@cache
def _table() -> BoolArray:
    """Return the table of pen colours by coarse red, green and blue: (32³,)."""
    middle = (np.arange(_SIDE) + 0.5) * (1 << _PASSED_OVER)
    grey = np.stack(np.meshgrid(middle, middle, middle, indexing="ij")).reshape(3, -1)
    red, green, blue = -np.log((grey + 1.0) / _I0)
    is_blue = (red > 0.6) & (red > 1.4 * green) & (red > 1.4 * blue)
    is_green = (red > green + 0.25) & (blue > green + 0.05)
    is_red = (green > 1.6) & (blue > 0.6 * green) & (red < 0.15 * blue)
    is_black = (grey.max(axis=0) < 44.0) & (np.ptp(grey, axis=0) < 20.0)
    table: BoolArray = is_blue | is_green | is_red | is_black
    table.flags.writeable = False
    return table
