"""How the engine's pictures are drawn and kept: panels, tables of numbers, frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from eosin.core.files import write_bytes
from eosin.core.types import FloatArray
from eosin.reporting.style import COLOURS, render_figure

IMAGES = Path(__file__).parents[1] / "docs" / "images"
#: Below zero blue, above orange, as everywhere on the page.
SIGNS = LinearSegmentedColormap.from_list("signs", [COLOURS[0], "#ffffff", COLOURS[1]])


def keep_figure(figure: Figure, name: str) -> None:
    """Write a picture into ``docs/images``."""
    if not isinstance(figure.canvas, FigureCanvasAgg):
        FigureCanvasAgg(figure)
    write_bytes(IMAGES / f"{name}.png", render_figure(figure, name, alt="", caption="").png)


def new_panels(
    count: int, *, width_in: float, height_in: float, ratios: list[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels side by side."""
    figure = Figure(figsize=(width_in, height_in))
    axes = figure.subplots(1, count, squeeze=False, gridspec_kw={"width_ratios": ratios})
    return figure, list(axes[0])


def show_numbers(
    axis: Axes, values: FloatArray, title: str, *, top: float | None = None, size: float = 8.5
) -> None:
    """Draw a table of numbers (rows, columns), coloured by sign and size.

    Args:
        axis: Where.
        values: The numbers.
        title: Above them.
        top: Size that has the full colour; without it, the largest of the numbers'.
        size: Of the writing, in points.
    """
    top = top or float(np.abs(values).max()) or 1.0
    axis.imshow(values, cmap=SIGNS, vmin=-1.6 * top, vmax=1.6 * top)
    for (row, column), value in np.ndenumerate(values):
        shown = f"{value:.2g}".replace("-", "−")
        axis.text(column, row, "0" if shown == "−0" else shown, ha="center", va="center", size=size)
    axis.set_title(title, loc="center", pad=6)
    axis.set_xticks(np.arange(-0.5, values.shape[1]), labels=[])
    axis.set_yticks(np.arange(-0.5, values.shape[0]), labels=[])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(True)


def frame(axis: Axes, row: float, column: float, height: float, width: float, colour: str) -> None:
    """Draw a frame around some cells of a table."""
    corner = (column - 0.5, row - 0.5)
    axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, lw=2.4, zorder=5))
