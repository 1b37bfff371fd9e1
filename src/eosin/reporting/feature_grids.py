"""Grids of feature maps, layer by layer, beside the image; each layer on its own scale.

The colours are Matplotlib's inferno, which rises evenly in lightness.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from eosin.core.text import quantity
from eosin.core.types import FloatArray, Image
from eosin.explanation.feature_maps import Layer, most_active
from eosin.reporting.formatting import number, shorten
from eosin.reporting.overlays import INK, MUTED, font

#: White between two maps, as a share of a map's side.
_GAP = 0.08
#: Maps of a layer that are shown, and how many of them stand side by side.
_MOST, _COLUMNS = 64, 16
_WIDTH, _MARGIN, _LINE, _IMAGE = 768, 16, 20, 160
#: Values outside these quantiles of a layer have the colours of the ends.
_ENDS = (0.005, 0.995)
_LONGEST = 96


def lay_out(maps: FloatArray, columns: int) -> FloatArray:
    """Arrange maps (C, H, W) as one image, NaN in between and where there is none."""
    n_maps, height, width = maps.shape
    gap = max(1, round(_GAP * height))
    rows = -(-n_maps // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    laid = np.full(shape, np.nan, np.float32)
    for index in range(n_maps):
        row, column = divmod(index, columns)
        top, left = row * (height + gap), column * (width + gap)
        laid[top : top + height, left : left + width] = maps[index]
    return laid


def draw_feature_maps(
    image: Image, layers: Sequence[Layer], lines: Sequence[str]
) -> PillowImage.Image:
    """Draw an image and the maps of its layers one below the other, under lines of text.

    Args:
        image: As one sees it, uint8 (H, W, 3).
        layers: From input to output.
        lines: The first is bold.
    """
    grids = [_draw_layer(layer) for layer in layers]
    side = round(_IMAGE * image.shape[0] / image.shape[1])
    top = _MARGIN + len(lines) * _LINE + side + _MARGIN
    height = top + sum(2 * _LINE + grid.height + _MARGIN for grid, _ in grids)
    sheet = PillowImage.new("RGB", (_WIDTH + 2 * _MARGIN, height), "white")
    draw = ImageDraw.Draw(sheet)
    for row, line in enumerate(lines):
        place = (_MARGIN, _MARGIN // 2 + row * _LINE)
        draw.text(place, shorten(line, _LONGEST), fill=MUTED if row else INK, font=font(not row))
    small = PillowImage.fromarray(image).resize((_IMAGE, side))
    sheet.paste(small, (_MARGIN, _MARGIN + len(lines) * _LINE))
    for layer, (grid, words) in zip(layers, grids, strict=True):
        draw.text((_MARGIN, top), shorten(layer.name, _LONGEST), fill=INK, font=font(False))
        draw.text((_MARGIN, top + _LINE), words, fill=MUTED, font=font(False))
        sheet.paste(grid, (_MARGIN, top + 2 * _LINE))
        top += 2 * _LINE + grid.height + _MARGIN
    return sheet


def _draw_layer(layer: Layer) -> tuple[PillowImage.Image, str]:
    """Return the grid of a layer, and its maps and scale in words."""
    n_maps, height, width = layer.maps.shape
    chosen = layer.maps[most_active(layer.maps, _MOST)]
    low, high = (float(end) for end in np.quantile(layer.maps, _ENDS))
    low = min(low, 0.0)
    laid = lay_out(chosen, _COLUMNS)
    share = (laid - low) / (high - low if high > low else 1.0)
    colours = mpl.colormaps["inferno"](np.clip(share, 0.0, 1.0), bytes=True)[..., :3]
    colours = np.where(np.isnan(laid)[..., None], 255, colours).astype(np.uint8)
    drawn = PillowImage.fromarray(colours)
    size = (_WIDTH, max(1, round(_WIDTH * laid.shape[0] / laid.shape[1])))
    way = PillowImage.Resampling.NEAREST if laid.shape[1] < _WIDTH else PillowImage.Resampling.BOX
    shown = quantity(n_maps, "map")
    if n_maps > _MOST:
        shown = f"the {_MOST} most active of {shown}"
    dead = int((np.abs(layer.maps).max(axis=(1, 2)) == 0).sum())
    words = f"{shown} of {height} × {width}, from {number(low)} (dark) to {number(high)}"
    return drawn.resize(size, way), words + (f"; {dead} all zero" if dead else "")
