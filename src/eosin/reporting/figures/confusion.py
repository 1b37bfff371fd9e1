"""The confusion matrix."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from eosin.artifacts.metrics import Confusion
from eosin.core.types import FloatArray, IntArray
from eosin.reporting.figures.style import (
    COLOURS,
    INK,
    Picture,
    house_style,
    new_figure,
    series_label,
    to_picture,
)
from eosin.reporting.formatting import count, number, quantity

#: More classes than this and the cells carry no numbers.
_MOST_NUMBERED = 12
#: More classes than this and only some are named at the axes.
_MOST_NAMED = 40


def confusion_figure(confusion: Confusion) -> Picture:
    """Draw counts of images, shaded by the share of their true class."""
    matrix = np.array(confusion.matrix, dtype=np.int64)
    n = len(matrix)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    with house_style():
        side = min(9.2, max(4.6, 2.4 + 0.34 * n))
        figure, axes = new_figure(side, side)
        shades = LinearSegmentedColormap.from_list("eosin", ["#ffffff", COLOURS[0]])
        axes.imshow(shares, cmap=shades, vmin=0, vmax=1)
        if n <= _MOST_NUMBERED:
            _number_cells(axes, matrix, shares)
        _name_axes(axes, confusion.labels)
        return to_picture(
            figure,
            "confusion",
            alt=_alt(confusion.labels, matrix, shares),
            caption="Images by true and predicted class (the most probable one)."
            " Shading: share of the true class.",
        )


def _number_cells(axes: Axes, matrix: IntArray, shares: FloatArray) -> None:
    n = len(matrix)
    for row, column in np.ndindex(*matrix.shape):
        colour = "white" if shares[row, column] > 0.55 else INK
        text = count(int(matrix[row, column]))
        if n <= 4:
            text += f"\n{100 * shares[row, column]:.0f} %"
        size = 12 if n <= 4 else 9.5 if n <= 8 else 8
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


def _name_axes(axes: Axes, labels: list[str]) -> None:
    n = len(labels)
    every = -(-n // _MOST_NAMED)
    ticks = list(range(0, n, every))
    names = [series_label(labels[tick], 20 if n <= 4 else 16) for tick in ticks]
    size = 9 if n <= 16 else 7
    longest = max(len(name) for name in names)
    slanted = longest > 12 or (n > 3 and longest > 3)
    axes.set_xticks(ticks, names, fontsize=size, rotation=45 if slanted else 0)
    if slanted:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names, fontsize=size)
    axes.grid(visible=False)
    axes.set_xticks(np.arange(n - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(n - 1) + 0.5, minor=True)
    axes.grid(visible=True, which="minor", color="white", linewidth=2 if n <= 8 else 0.6)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(True)
    axes.set_title("Confusion matrix")
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class")


def _alt(labels: list[str], matrix: IntArray, shares: FloatArray) -> str:
    rows = [
        f"of {quantity(int(matrix[row].sum()), 'image')} of {name}, {count(int(matrix[row, row]))} "
        f"({number(float(shares[row, row]))}) were recognised"
        for row, name in enumerate(labels[:12])
    ]
    return f"Confusion matrix: {'; '.join(rows)}."
