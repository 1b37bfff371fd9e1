"""Pixel samples for stain estimation, and reasons to leave an image unchanged.

An image stays unchanged, with one of :data:`REASONS`, where a fitted stain would be meaningless.
"""

from __future__ import annotations

import math

import numpy as np

from eosin.core.types import Image
from eosin.stain.ink import find_ink

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
