"""Confusion matrices: one, or those of several runs side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from eosin.artifacts.metrics import Confusion
from eosin.core.text import count, percent, quantity
from eosin.core.types import FloatArray, IntArray
from eosin.reporting.formatting import number
from eosin.reporting.outline import RenderedFigure
from eosin.reporting.style import (
    COLOURS,
    INK,
    house_style,
    make_figure,
    render_figure,
    series_label,
)

#: Width of a row of matrices.
_PAGE_IN = 9.8
#: With more classes than this, the matrix carries no numbers.
_MOST_NUMBERED = 12
#: With more classes than this, the axes name only some.
_MOST_TICKS = 40


def confusion_figure(
    matrices: Mapping[str, Confusion], name: str = "confusion", decided_at: str = ""
) -> RenderedFigure:
    """Draw confusion matrices by title: counts, shaded by the proportion of their true class.

    They are of decisions where a threshold is given as :func:`.decided_at` describes it, otherwise
    of the most probable class.
    """
    columns = f"decision {decided_at}" if decided_at else "predicted (most probable) class"
    n_classes = max(len(one.labels) for one in matrices.values())
    side = min(9.2, max(3.5 if len(matrices) == 1 else 3.0, 2.3 + 0.34 * n_classes))
    n_rows = -(-len(matrices) // max(1, int(_PAGE_IN // side)))
    n_columns = -(-len(matrices) // n_rows)
    with house_style():
        figure = make_figure(side * n_columns, side * n_rows)
        for place, (title, confusion) in enumerate(matrices.items(), start=1):
            axes = figure.add_subplot(n_rows, n_columns, place)
            _draw_confusion(axes, confusion, "Decision" if decided_at else "Predicted class")
            # A long title would run over the edge of the figure.
            axes.set_title(textwrap.fill(title, 20))
        return render_figure(
            figure,
            name,
            alt=" ".join(f"{title}: {_confusion_alt(one)}" for title, one in matrices.items()),
            caption=f"Images by true class and {columns}; percentages and shading are of the true"
            " class.",
        )


def _draw_confusion(axes: Axes, confusion: Confusion, columns: str) -> None:
    matrix, shares = _shares(confusion)
    shades = LinearSegmentedColormap.from_list("eosin", ["#ffffff", COLOURS[0]])
    axes.imshow(shares, cmap=shades, vmin=0, vmax=1)
    if len(matrix) <= _MOST_NUMBERED:
        _number_cells(axes, matrix, shares)
    _name_axes(axes, confusion.labels, columns)


def _shares(confusion: Confusion) -> tuple[IntArray, FloatArray]:
    """Return the counts and their shares of the true class, both (C, C)."""
    matrix = np.array(confusion.matrix, dtype=np.int64)
    totals = matrix.sum(axis=1, keepdims=True)
    return matrix, np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)


def _number_cells(axes: Axes, matrix: IntArray, shares: FloatArray) -> None:
    n = len(matrix)
    for row, column in np.ndindex(*matrix.shape):
        colour = "white" if shares[row, column] > 0.55 else INK
        text = count(int(matrix[row, column]))
        if n <= 4:
            text += "\n" + percent(float(shares[row, column]), 0)
        size = 12 if n <= 4 else 9.5 if n <= 8 else 8
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


def _name_axes(axes: Axes, labels: list[str], columns: str) -> None:
    n = len(labels)
    ticks = list(range(0, n, -(-n // _MOST_TICKS)))
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
    axes.set(xlabel=columns, ylabel="True class")


def _confusion_alt(confusion: Confusion) -> str:
    matrix, shares = _shares(confusion)
    rows = [
        f"of {quantity(int(matrix[row].sum()), 'image')} of {name}, {count(int(matrix[row, row]))} "
        f"({number(float(shares[row, row]))}) were classified correctly"
        for row, name in enumerate(confusion.labels[:12])
    ]
    return f"{'; '.join(rows)}."
