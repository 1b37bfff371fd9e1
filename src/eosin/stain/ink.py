"""Detection of pen ink on slides by colour.

Blue ink absorbs red light and transmits green, where haematoxylin absorbs both; green ink
transmits green alone, which no tissue does; red ink absorbs nearly as much blue as green, where
eosin absorbs little blue; black ink absorbs all. The limits are Eosin's own, set so that real tiles
without ink almost never exceed them (``docs/stain.md`` gives the shares): pale ink is missed.
Colours are classified in steps of eight grey levels, from a table.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from eosin.core.types import BoolArray, Image

#: Bits of a byte that are ignored: the table has 32 × 32 × 32 colours.
_PASSED_OVER = 3
_SIDE = 256 >> _PASSED_OVER
_I0 = 240.0


def find_ink(images: Image) -> BoolArray:
    """Return a mask (...) of pixels in the colours of pens, of images (..., 3), uint8."""
    red, green, blue = np.moveaxis(images >> _PASSED_OVER, -1, 0).astype(np.int32)
    marks: BoolArray = _table().take((red * _SIDE + green) * _SIDE + blue)
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
