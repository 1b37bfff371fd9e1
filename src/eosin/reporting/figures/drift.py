"""Small histograms of training and outside images, one a quantity."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eosin.artifacts.profile import Distribution, Drift, Shift, explain_quantity
from eosin.core.types import FloatArray
from eosin.reporting.figures.style import (
    COLOURS,
    HATCHES,
    Picture,
    house_style,
    series_label,
    to_picture,
)

_COLUMNS, _BINS = 4, 24
_GRID = np.linspace(0.0, 1.0, 101)
#: Per cent left out of a panel at each end: a few odd images would squeeze all others.
_CUT = 1


def drift_figure(drift: Drift) -> Picture:
    """Draw how each quantity is spread over training and outside images."""
    n_rows = -(-len(drift.shifts) // _COLUMNS)
    with house_style():
        figure = Figure(figsize=(9.2, 0.5 + 1.75 * n_rows))
        FigureCanvasAgg(figure)
        panels = figure.subplots(n_rows, _COLUMNS, squeeze=False).ravel()
        for axes, (name, shift) in zip(panels, drift.shifts.items(), strict=False):
            _draw(axes, shift)
            title = capitalised(explain_quantity(name, drift.predicted))
            axes.set_title(series_label(title), fontsize=9, pad=4)
        for axes in panels[len(drift.shifts) :]:
            axes.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2)
        return to_picture(
            figure,
            "drift",
            alt=f"Histograms of training and outside images. {_in_words(drift)}",
            caption="Share of training and of outside images, each group with the same say, as the"
            " network sees them: after resizing and stain normalisation. Focus is a logarithm."
            " The outermost per cent at each end is not drawn.",
        )


def capitalised(text: str) -> str:
    """Return a heading of what stands in small letters in a sentence."""
    return text[0].upper() + text[1:]


def _draw(axes: Axes, shift: Shift) -> None:
    both = (shift.training.quantiles, shift.outside.quantiles)
    low = min(values[_CUT] for values in both)
    high = max(values[-1 - _CUT] for values in both)
    margin = 0.02 * (high - low) or 1.0
    edges = np.linspace(low - margin, high + margin, _BINS + 1)
    looks: list[dict[str, Any]] = [
        {"facecolor": (COLOURS[0], 0.45), "edgecolor": COLOURS[0], "linewidth": 0.8},
        {"facecolor": (COLOURS[1], 0.15), "edgecolor": COLOURS[1], "linewidth": 1.3,
         "linestyle": "--", "hatch": HATCHES[1]},
    ]  # fmt: skip
    named = (("Training", shift.training), ("Outside", shift.outside))
    for (label, part), style in zip(named, looks, strict=True):
        axes.stairs(_shares(part, edges), edges, fill=True, label=label, **style)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(labelsize=8)


def _shares(part: Distribution, edges: FloatArray) -> FloatArray:
    """Return the share of images in each bin, read off the quantiles."""
    values = np.array(part.quantiles)
    # Equal quantiles are a step: the last of them says how many images lie at or below.
    last = np.append(values[1:] > values[:-1], True)
    reached = np.interp(edges, values[last], _GRID[last], left=0.0, right=1.0)
    return np.diff(np.where(edges < values[0], 0.0, reached))


def _in_words(drift: Drift) -> str:
    return "; ".join(
        f"{explain_quantity(name, drift.predicted)}: mean {one.training.mean:.3g} in training, "
        f"{one.outside.mean:.3g} outside, {one.verdict}"
        for name, one in drift.shifts.items()
    )
