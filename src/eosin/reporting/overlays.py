"""Overlay: an image beside its evidence, on one colour scale for all images, models and methods.

Colours: Okabe and Ito's vermilion for evidence and blue for evidence against, distinct for readers
with any colour vision, over the image in grey. The scale is symmetric and does not follow the map:
weak evidence stays pale. It is linear around 0 and logarithmic from there (asinh).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from eosin.core.types import FloatArray, Image
from eosin.reporting.formatting import shorten

#: Log-odds at both ends of the scale; half-width of its linear part.
LIMIT, _LINEAR = 16.0, 0.1
_TICKS = (16.0, 4.0, 1.0, 0.25, 0.0, -0.25, -1.0, -4.0, -16.0)
_FOR, _AGAINST = (213, 94, 0), (0, 114, 178)
#: Share of the colour over the image at the ends of the scale.
_OPACITY = 0.85
_SIDE, _GAP, _LINE, _LEGEND = 320, 16, 20, 92
INK, MUTED = (28, 27, 34), (91, 89, 102)
_LONGEST = 88


def draw_overlay(image: Image, evidence: FloatArray, lines: Sequence[str]) -> PillowImage.Image:
    """Draw an image, its evidence and the legend side by side, under lines of text.

    Args:
        image: As one sees it, uint8 (H, W, 3).
        evidence: Log-odds, (H, W).
        lines: The first is bold.
    """
    height = round(_SIDE * image.shape[0] / image.shape[1])
    top = _GAP + len(lines) * _LINE + _GAP // 2
    width = 3 * _GAP + 2 * _SIDE + _LEGEND
    sheet = PillowImage.new("RGB", (width, top + height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        place = (_GAP, _GAP // 2 + number * _LINE)
        fill = MUTED if number else INK
        draw.text(place, shorten(line, _LONGEST), fill=fill, font=font(not number))
    for number, picture in enumerate((image, blend(image, evidence))):
        large = PillowImage.fromarray(picture).resize((_SIDE, height))
        sheet.paste(large, (_GAP + number * (_SIDE + _GAP), top))
    sheet.paste(_legend(height), (2 * (_GAP + _SIDE) + _GAP // 2, top))
    return sheet


def blend(image: Image, evidence: FloatArray) -> Image:
    """Return the image in light grey under the colours of its evidence, uint8 (H, W, 3)."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    # Close to white: colours are compared, not brightness.
    return _colour((153 + 0.4 * grey)[..., None], evidence)


def _colour(below: FloatArray, evidence: FloatArray) -> Image:
    strength = scale(evidence)[..., None]
    colour = np.where(strength > 0, np.array(_FOR), np.array(_AGAINST))
    share = _OPACITY * np.abs(strength)
    return np.rint(below * (1 - share) + colour * share).astype(np.uint8)


def scale(evidence: FloatArray) -> FloatArray:
    """Return the place of log-odds on the colour scale, -1 to 1."""
    found: FloatArray = np.arcsinh(np.asarray(evidence) / _LINEAR) / np.arcsinh(LIMIT / _LINEAR)
    return np.clip(found, -1.0, 1.0)


@lru_cache(maxsize=8)
def _legend(height: int) -> PillowImage.Image:
    sheet = PillowImage.new("RGB", (_LEGEND, height), "white")
    draw = ImageDraw.Draw(sheet)
    small, head = font(False, 11), 18
    rows = height - 2 * head
    steps = np.linspace(1, -1, rows)
    values = _LINEAR * np.sinh(steps * np.arcsinh(LIMIT / _LINEAR))
    bar = _colour(np.full((rows, 14, 1), 235.0), np.repeat(values[:, None], 14, axis=1))
    sheet.paste(PillowImage.fromarray(bar), (0, head))
    draw.text((0, 0), "log-odds for", fill=INK, font=small)
    draw.text((0, height - head + 3), "against", fill=INK, font=small)
    for tick in _TICKS:
        place = head + round((1 - float(scale(np.array(tick)))) / 2 * (rows - 1))
        draw.line((14, place, 18, place), fill=MUTED)
        text = f"{tick:+g}".replace("-", "−") if tick else "0"
        draw.text((22, place - 7), text, fill=MUTED, font=small)
    return sheet


@lru_cache(maxsize=4)
def font(is_bold: bool, size: int = 13) -> ImageFont.FreeTypeFont:
    """Return the font of texts in pictures."""
    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)
