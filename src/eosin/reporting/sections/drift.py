"""Drift of external images: small histograms beside training images, one per quantity."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from eosin.artifacts.profile import Distribution, Drift, Shift, explain_quantity
from eosin.core.text import listing, quantity
from eosin.core.types import FloatArray
from eosin.reporting.formatting import capitalised, p_text, share
from eosin.reporting.outline import Figures, RenderedFigure, Section, Table, Text, make_table
from eosin.reporting.style import (
    COLOURS,
    HATCHES,
    house_style,
    make_figure,
    render_figure,
    series_label,
)
from eosin.runs.finished import FinishedRun

_COLUMNS, _BINS = 4, 24
_GRID = np.linspace(0.0, 1.0, 101)
#: Per cent cut off at each end of a panel: outliers would squeeze all other images.
_CUT = 1
_VERDICTS = {
    "as in training": "No drift detected: the external images look like the training images.",
    "shifted": "Drift detected: the external images differ from the training images.",
    "far off": "Strong drift: the external images differ strongly from the training images, so "
    "performance here may not carry over to images like those of training.",
    "not judged": "No verdict on drift: the training has too few groups to estimate their spread.",
}
#: Names of the verdicts on a quantity, and on the terminal.
_OUTCOMES = {
    "as in training": "none detected",
    "shifted": "shifted",
    "far off": "strong",
    "not judged": "no verdict",
}
#: Difference in the class mix that by itself shifts colours and predictions.
_NOTABLE_MIX = 0.1


def section(run: FinishedRun) -> Section:
    """Return the section of the page; empty for a run's own images."""
    drift = run.drift
    figure = _drift_figure(drift) if drift is not None and drift.shifts else None
    return Section(
        "Drift between training and external images",
        " ".join(_drift_words(run)),
        Figures(figure),
        drift_table(run),
        nav="Drift",
    )


def warning(run: FinishedRun) -> Text | None:
    """Return the caution of detected drift for the first screen."""
    if run.drift is None or run.drift.verdict not in {"shifted", "far off"}:
        return None
    return Text(_VERDICTS[run.drift.verdict], look="caution")


def format_drift(drift: Drift) -> list[str]:
    """Return the drift of external from training images, one line per drifted quantity."""
    if drift.verdict == "unknown":
        return [f"drift: unknown: {drift.reason}"]
    off = {name: one for name, one in drift.shifts.items() if one.verdict in {"shifted", "far off"}}
    lines = [f"drift: {_OUTCOMES.get(drift.verdict, drift.verdict)}"]
    if off:
        lines = [
            f"{lines[0]} in {len(off)} of {len(drift.shifts)} quantities (distance in training "
            "standard deviations; images outside the 1st to 99th training percentile)"
        ]
    for name, one in sorted(off.items(), key=lambda pair: -pair[1].distance):
        shown = f"{_OUTCOMES[one.verdict]:<8} {one.distance:>4.1f} {one.beyond:>5.0%}"
        lines.append(f"  {explain_quantity(name, drift.predicted):<24} {shown}")
    return lines


def _drift_figure(drift: Drift) -> RenderedFigure:
    n_rows = -(-len(drift.shifts) // _COLUMNS)
    with house_style():
        figure = make_figure(9.2, 0.5 + 1.75 * n_rows)
        panels = figure.subplots(n_rows, _COLUMNS, squeeze=False).ravel()
        for axes, (name, shift) in zip(panels, drift.shifts.items(), strict=False):
            _draw(axes, shift)
            title = capitalised(explain_quantity(name, drift.predicted))
            axes.set_title(series_label(title), fontsize=9, pad=4)
        for axes in panels[len(drift.shifts) :]:
            axes.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2)
        return render_figure(
            figure,
            "drift",
            alt=f"Histograms of training and external images. {_in_words(drift)}",
            caption="Distributions in training and external images as the network sees them (after"
            " resizing and stain normalisation), each group with equal weight. Focus is a"
            " logarithm. The outermost 1 % at each end is not drawn.",
        )


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
    named = (("Training", shift.training), ("External", shift.outside))
    for (label, part), style in zip(named, looks, strict=True):
        axes.stairs(_shares(part, edges), edges, fill=True, label=label, **style)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(labelsize=8)


def _shares(part: Distribution, edges: FloatArray) -> FloatArray:
    """Return the share of images in each bin, interpolated from the quantiles."""
    values = np.array(part.quantiles)
    # Equal quantiles are a step: the last one gives the share at or below it.
    last = np.append(values[1:] > values[:-1], True)
    reached = np.interp(edges, values[last], _GRID[last], left=0.0, right=1.0)
    return np.diff(np.where(edges < values[0], 0.0, reached))


def _in_words(drift: Drift) -> str:
    return "; ".join(
        f"{explain_quantity(name, drift.predicted)}: mean {one.training.mean:.3g} in training, "
        f"{one.outside.mean:.3g} in external images, {_OUTCOMES[one.verdict]}"
        for name, one in drift.shifts.items()
    )


def _drift_words(run: FinishedRun) -> list[str]:
    """Describe the drift, one sentence each; empty for a run's own images."""
    drift = run.drift
    if drift is None:
        return []
    if drift.verdict == "unknown":
        return [f"Drift is unknown: {drift.reason}."]
    off = [name for name, one in drift.shifts.items() if one.verdict in {"shifted", "far off"}]
    words = [_VERDICTS[drift.verdict]]
    if off:
        named = listing(explain_quantity(name, drift.predicted) for name in off)
        words.append(f"They differ in {len(off)} of {len(drift.shifts)} quantities: {named}.")
    if "side_px" in off:
        words.append(
            "Images of another size may show tissue at another scale; µm per pixel of both would "
            "settle it."
        )
    return [*words, *_mix_words(drift)]


def _mix_words(drift: Drift) -> list[str]:
    """Describe a difference in the class mix, if any."""
    mine, theirs = drift.training_classes, drift.outside_classes
    gaps = {name: abs(theirs.get(name, 0.0) - mine[name]) for name in mine}
    name = max(gaps, key=gaps.__getitem__, default="")
    if not name or gaps[name] <= _NOTABLE_MIX:
        return []
    return [
        f"Class “{name}” is {share(theirs.get(name, 0.0))} of the external images and "
        f"{share(mine[name])} of the training images; a different class mix by itself shifts "
        "colours and predictions."
    ]


def drift_table(run: FinishedRun) -> Table | None:
    """Build the table of quantities; ``None`` if there are none."""
    if run.drift is None or not run.drift.shifts:
        return None
    shifts = run.drift.shifts
    rows = [
        (
            capitalised(explain_quantity(name, run.drift.predicted)),
            _spread(one.training),
            _spread(one.outside),
            f"{one.distance:.2f}",
            share(one.beyond),
            p_text(one.chance),
            _OUTCOMES[one.verdict],
        )
        for name, one in shifts.items()
    ]
    first = next(iter(shifts.values()))
    columns = ("Quantity", "Training", "External", "Distance", "Beyond", "p", "Drift")
    caption = (
        f"Training ({_size(first.training)} measured) and external ({_size(first.outside)}): mean "
        "± standard deviation, each group with equal weight. Distance: between quantiles, in "
        "training standard deviations or, if larger, in the smallest spread that matters (image "
        "size: 10 %); a change of size counts as shifted at most. Beyond: external images outside "
        "the 1st to 99th training percentile (2 % in training). p: probability of a difference as "
        "large among equally many further groups of the training's source."
    )
    return make_table(caption, columns, rows, texts=(0, 6), look="many", name="drift")


def _spread(part: Distribution) -> str:
    return f"{part.mean:.3g} ± {part.spread:.2g}"


def _size(part: Distribution) -> str:
    return f"{quantity(part.n_images, 'image')} of {quantity(part.n_groups, 'group')}"
