"""How many images of each class each part holds."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from eosin.reporting.figures.style import (
    COLOURS,
    HATCHES,
    INK,
    Picture,
    house_style,
    new_figure,
    series_label,
    to_picture,
)
from eosin.reporting.formatting import count, listing

#: More bars than this carry no numbers.
_MOST_NUMBERED = 40


def distribution_figure(counts: dict[str, dict[str, int]], classes: tuple[str, ...]) -> Picture:
    """Draw horizontal bars of the images of each class, a bar a part.

    Args:
        counts: Images by part, then class.
        classes: The classes in order.
    """
    parts = list(counts)
    n_bars = len(parts) * len(classes)
    with house_style():
        figure, axes = new_figure(5.6, min(20.0, max(1.9, 0.26 * n_bars + 0.14 * len(classes) + 1)))
        height = 0.82 / len(parts)
        for index, part in enumerate(parts):
            values = [counts[part].get(name, 0) for name in classes]
            bars = axes.barh(
                np.arange(len(classes)) + (index - (len(parts) - 1) / 2) * height,
                values,
                height=0.92 * height,
                color=COLOURS[index % len(COLOURS)],
                hatch=HATCHES[index % len(HATCHES)],
                edgecolor="white",
                linewidth=0,
                label=series_label(part.capitalize()),
            )
            if n_bars <= _MOST_NUMBERED:
                axes.bar_label(bars, [count(v) for v in values], padding=4, fontsize=8.5, color=INK)
        _finish(axes, classes, len(parts))
        return to_picture(
            figure,
            "distribution",
            alt=f"Bar chart of images by class and part. {_in_words(counts, classes)}",
            caption="Images of each class in each part of the data.",
        )


def _finish(axes: Axes, classes: tuple[str, ...], n_parts: int) -> None:
    axes.set_yticks(np.arange(len(classes)), [series_label(name, 28) for name in classes])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Images")
    if n_parts > 1:
        # Above the bars: inside, no corner is free for every distribution.
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(n_parts, 4), borderpad=0)


def _in_words(counts: dict[str, dict[str, int]], classes: tuple[str, ...]) -> str:
    return "; ".join(
        f"{part}: {listing(f'{count(row.get(name, 0))} {name}' for name in classes[:12])}"
        for part, row in counts.items()
    )
