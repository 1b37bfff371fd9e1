"""Calibration: reliability diagram, score histogram and calibration error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from eosin.artifacts.metrics import SplitMetrics
from eosin.core.types import FloatArray
from eosin.metrics.calibration import ReliabilityBins, reliability_bins
from eosin.reporting.formatting import metric_text, number, source_words
from eosin.reporting.outline import (
    Facts,
    Figures,
    Pair,
    RenderedFigure,
    Section,
    Table,
    headline_table,
    make_table,
    select,
)
from eosin.reporting.sections.curves import Scores, precision_recall_figure, scores_of
from eosin.reporting.sections.model import model_facts
from eosin.reporting.style import COLOURS, HATCHES, INK, MUTED, drawing, render_figure, series_label
from eosin.runs.finished import FinishedRun

#: Fewest images of a bin: in a smaller one the accuracy is unreliable.
_FEW_IMAGES = 10
#: Height of the counts, below an accuracy of 0.
_COUNTS = -0.06
#: Counts from here on are written in thousands.
_THOUSANDS = 10_000
_METRICS = ("ece", "brier")
#: Differences of the calibration error below this count as none.
_NOTABLE = 0.005


def section(run: FinishedRun, *, with_scores: bool) -> Section:
    """Return the section of the page.

    ``with_scores`` adds the histogram of scores and the precision-recall curve, if no other section
    has them.
    """
    scores, metrics = scores_of(run), run.evaluated
    figures = Figures(
        _reliability_figure(scores, metrics) if scores else None,
        histogram_figure(scores, metrics) if scores and with_scores else None,
        precision_recall_figure(run) if with_scores else None,
    )
    return Section(
        "Calibration",
        _calibration_words(run),
        Section("", figures, _calibration_table(run), look="beside"),
        Section("Bins of the reliability diagram", _bins_table(run), fold="closed"),
    )


def brief(run: FinishedRun) -> Section:
    """Return the section of the card."""
    words = _calibration_words(run)
    own = [] if words else select(model_facts(run), "Temperature")
    return Section("Calibration", words, Facts(own))


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers to items of reporting guidelines, empty where the run has none."""
    stored = [f"temperature: {value}" for _, value in select(model_facts(run), "Temperature")]
    return {"recalibration": _calibration_words(run) or "".join(stored)}


def terminal_facts(split: SplitMetrics) -> list[Pair]:
    """Return the calibration error for the terminal."""
    if split.calibration is None:
        return []
    shown = f"ECE {metric_text(split.image['ece'])}"
    raw, temperature = split.calibration.uncalibrated.get("ece"), split.calibration.temperature
    if raw is not None and raw.value is not None:
        by = "" if temperature is None else f" (temperature {temperature:.2f})"
        shown += f"; {number(raw.value)} before temperature scaling{by}"
    return [("calibration", shown)]


def _reliability_figure(scores: Scores, metrics: SplitMetrics) -> RenderedFigure:
    bins = reliability_bins(scores.targets, scores.probabilities.clip(0, 1))
    text = metric_text(metrics.image.get("ece"))
    lowest = min(0.5, 1 / len(scores.class_names))
    with drawing(3.5, 3.5) as (figure, axes):
        axes.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle=":", label="Perfect")
        _draw_bins(axes, bins, f"ECE {text}")
        _write_counts(axes, bins)
        axes.set(xlim=(lowest - 0.02, 1.02), ylim=(_COUNTS - 0.06, 1.04))
        ticks = np.linspace(0, 1, 6)
        axes.set_yticks([_COUNTS, *ticks], ["Images", *(f"{tick:.1f}" for tick in ticks)])
        axes.set(title="Reliability diagram", xlabel="Probability of the predicted class")
        axes.set_ylabel("Accuracy")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.1))
        return render_figure(
            figure,
            "reliability",
            alt=f"Reliability diagram. Expected calibration error {text}. {_words(bins)}",
            caption="Accuracy per confidence bin; vertical lines show the gap to the confidence,"
            " point areas and the row below the number of images. Below the dotted line the model"
            " is over-confident." + _caution(bins),
        )


def _draw_bins(axes: Axes, bins: ReliabilityBins, label: str) -> None:
    held, few = bins.weight >= _FEW_IMAGES, (bins.weight > 0) & (bins.weight < _FEW_IMAGES)
    x, y, weight = (of[held] for of in (bins.confidence, bins.accuracy, bins.weight))
    axes.vlines(x, x, y, color=COLOURS[1], linewidth=1.2, alpha=0.7)
    axes.plot(x, y, color=COLOURS[0], linewidth=1.2, marker="o", markersize=4, label=label)
    if len(weight):
        area = 20 + 240 * weight / weight.max()
        axes.scatter(x, y, s=area, color=COLOURS[0], alpha=0.35, zorder=3)
    if few.any():
        style: dict[str, Any] = {"facecolor": "white", "edgecolor": COLOURS[0], "zorder": 3}
        style["label"] = f"Fewer than {_FEW_IMAGES} images"
        axes.scatter(bins.confidence[few], bins.accuracy[few], s=24, **style)


def _write_counts(axes: Axes, bins: ReliabilityBins) -> None:
    """Write the number of images below each bin that has some."""
    middle = (bins.edges[:-1] + bins.edges[1:]) / 2
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": MUTED, "clip_on": True}
    for x, n in zip(middle, bins.weight, strict=True):
        if n:
            shown = f"{n:.0f}" if n < _THOUSANDS else f"{n / 1000:.0f}k"
            axes.text(x, _COUNTS, shown, fontsize=7.5, **style)
    axes.axhline(0, color=MUTED, linewidth=0.8)


def _caution(bins: ReliabilityBins) -> str:
    few = int(((bins.weight > 0) & (bins.weight < _FEW_IMAGES)).sum())
    if not few:
        return ""
    which = "Hollow point" if few == 1 else "Hollow points"
    return f" {which}: fewer than {_FEW_IMAGES} images, unreliable."


def _words(bins: ReliabilityBins) -> str:
    held = np.flatnonzero(bins.weight > 0)
    return "; ".join(
        f"confidence {number(float(bins.confidence[i]))}: accuracy"
        f" {number(float(bins.accuracy[i]))} of {bins.weight[i]:.0f} images"
        for i in held
    )


def histogram_figure(scores: Scores, metrics: SplitMetrics) -> RenderedFigure:
    """Draw the probability of the positive class by truth, or of the prediction if multi-class."""
    if scores.positive is None:
        values = scores.probabilities.max(axis=1)
        series = {"Correct": values[scores.right], "Wrong": values[~scores.right]}
        x_label = "Probability of the predicted class"
        what = f"{x_label}, by correctness"
    else:
        values = scores.probabilities[:, scores.positive]
        name = scores.class_names[scores.positive]
        series = {
            f"True class: {series_label(other)}": values[scores.targets == index]
            for index, other in enumerate(scores.class_names)
        }
        x_label = f"Probability of {series_label(name, 24)}"
        what = f"Probability of {name}, by true class"
    with drawing(3.05, 3.05) as (figure, axes):
        _draw_histogram(axes, series)
        top = axes.get_ylim()[1]
        text = _draw_threshold(axes, metrics, top)
        # Only the legend is above the bars.
        axes.set(xlim=(-0.02, 1.02), ylim=(0, 1.32 * top))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(title="Scores", xlabel=x_label, ylabel="Images")
        axes.legend(loc="upper left", ncols=1)
        middle = "; ".join(
            f"{label}: {len(part)} images, median {number(float(np.median(part)))}"
            for label, part in series.items()
            if len(part)
        )
        alt = f"Histogram. {x_label}. {middle}.{text}"
        return render_figure(figure, "scores", alt=alt, caption=f"{what}.{text}")


def _draw_histogram(axes: Axes, series: Mapping[str, FloatArray]) -> None:
    for index, (label, values) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        style: dict[str, Any] = {"facecolor": (colour, 0.35), "edgecolor": colour, "linewidth": 1.4}
        style |= {"linestyle": "--" if index else "-", "hatch": HATCHES[index % len(HATCHES)]}
        edges = np.linspace(0.0, 1.0, 21).tolist()
        axes.hist(values, bins=edges, label=label, histtype="stepfilled", **style)


def _draw_threshold(axes: Axes, metrics: SplitMetrics, top: float) -> str:
    value = metrics.threshold.value
    if value is None or metrics.positive is None:
        return ""
    style: dict[str, Any] = {"color": INK, "linewidth": 1.4, "linestyle": "-."}
    axes.plot((value, value), (0, top), label=f"Threshold {number(value)}", **style)
    return f" Tuned threshold: {number(value)}."


def _calibration_words(run: FinishedRun) -> str:
    """Describe the temperature and its effect; empty if the run does not record it."""
    calibration = run.evaluated.calibration
    if calibration is None:
        return ""
    error = metric_text(run.evaluated.image.get("ece"))
    shown = f"Temperature: {calibration.source}. "
    if calibration.temperature is not None:
        source = source_words(calibration.source)
        shown = f"Temperature: {calibration.temperature:.2f} (fitted on {source}). "
    shown += f"On average, predicted confidence differs from accuracy by {error} (ECE)."
    before, after = (
        block["ece"].value if "ece" in block else None
        for block in (calibration.uncalibrated, run.evaluated.image)
    )
    if before is None or after is None:
        return shown
    if abs(before - after) < _NOTABLE:
        return f"{shown} Temperature scaling did not change it."
    change = "worsened" if after > before else "improved"
    return f"{shown} Temperature scaling {change} it from {number(before)}."


def _calibration_table(run: FinishedRun) -> Table | None:
    calibration = run.evaluated.calibration
    if calibration is None or not calibration.uncalibrated:
        return None
    scaled = {name: run.evaluated.image[name] for name in _METRICS if name in run.evaluated.image}
    blocks = {"Before": calibration.uncalibrated, "After": scaled}
    caption = "Calibration before and after temperature scaling."
    return headline_table(caption, blocks, name="calibration")


def _bins_table(run: FinishedRun) -> Table | None:
    calibration = run.evaluated.calibration
    rows = [
        (f"{one.low:.2f} – {one.high:.2f}", one.n, number(one.confidence), number(one.accuracy))
        for one in (calibration.bins if calibration else [])
        if one.confidence is not None and one.accuracy is not None
    ]
    columns = ("Probability of the predicted class", "Images", "Mean probability", "Accuracy")
    return make_table("Bins with images.", columns, rows, name="calibration_bins")
