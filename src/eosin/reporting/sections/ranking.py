"""ROC and precision–recall curves, with a band from resampled groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from eosin.artifacts.layout import OUT_OF_FOLD
from eosin.artifacts.metrics import SplitMetrics
from eosin.core.types import FloatArray
from eosin.metrics import Curve, group_weights, precision_recall_curve, ranking_scores, roc_curve
from eosin.reporting.formatting import metric_text, number
from eosin.reporting.sections.results import Scores
from eosin.reporting.style import (
    COLOURS,
    MUTED,
    RenderedFigure,
    house_style,
    look,
    new_figure,
    render_figure,
    series_label,
)

#: Resamples of groups behind a band: its ends are stable to a percent or two.
RESAMPLES = 200
#: With more classes than this, only the hardest are named.
_MOST_NAMED = 6
_GRID = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class _Kind:
    """Difference between the two kinds of curves."""

    name: str
    curve: Callable[..., Curve]
    metric: str
    short: str
    title: str
    x_label: str
    y_label: str


_ROC = _Kind("roc", roc_curve, "auc", "AUC", "ROC curve", "1 − specificity", "Recall (sensitivity)")
_PR = _Kind(
    "precision_recall",
    precision_recall_curve,
    "average_precision",
    "AP",
    "Precision–recall curve",
    "Recall (sensitivity)",
    "Precision",
)


def roc_figure(scores: Scores, metrics: SplitMetrics) -> RenderedFigure | None:
    """Draw the ROC curve; ``None`` if a class is missing."""
    return _figure(_ROC, scores, metrics)


def precision_recall_figure(scores: Scores, metrics: SplitMetrics) -> RenderedFigure | None:
    """Draw the precision–recall curve; ``None`` if a class is missing."""
    return _figure(_PR, scores, metrics)


def _figure(kind: _Kind, scores: Scores, metrics: SplitMetrics) -> RenderedFigure | None:
    drawable = [index for index in scores.evaluated_classes if scores.is_mixed(index)]
    if not drawable:
        return None
    with house_style():
        figure, axes = new_figure(4.6, 4.6)
        if metrics.positive is not None:
            alt = _draw_binary(axes, kind, scores, metrics, drawable[0])
        else:
            alt = _draw_classes(axes, kind, scores, metrics, drawable)
        _frame(axes, kind)
        caption = f"{kind.title} on the {_split_name(scores.split)}."
        if metrics.positive is not None:
            caption += f" Shaded: pointwise 95 % band from {RESAMPLES} resamples of whole groups."
        return render_figure(figure, kind.name, alt=f"{kind.title}. {alt}", caption=caption)


def _split_name(split: str) -> str:
    names = {OUT_OF_FOLD: "held-out folds", "external": "external data"}
    return names.get(split, f"{split} images")


def _frame(axes: Axes, kind: _Kind) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_title(kind.title)
    axes.set_xlabel(kind.x_label)
    axes.set_ylabel(kind.y_label)
    corner: Any = "lower right" if kind is _ROC else "lower left"
    axes.legend(
        loc=corner, frameon=True, framealpha=0.9, edgecolor="none", borderaxespad=0.4, fontsize=8
    )


def _draw_binary(axes: Axes, kind: _Kind, scores: Scores, metrics: SplitMetrics, index: int) -> str:
    values, positive = ranking_scores(scores.probabilities, index), scores.targets == index
    low, high = _band(kind, scores, index)
    axes.fill_between(
        _GRID, low, high, color=COLOURS[0], alpha=0.18, linewidth=0, label="95 % band"
    )
    text = metric_text(metrics.image.get(kind.metric))
    curve = kind.curve(values, positive)
    axes.plot(*_steps(kind, curve), color=COLOURS[0], label=f"{kind.short} {text}")
    _reference(axes, kind, float(positive.mean()))
    point = _operating_point(axes, kind, metrics)
    return (
        f"{kind.short} {text} for {scores.class_names[index]}, "
        f"{int(positive.sum())} of {len(positive)} images.{point}"
    )


def _reference(axes: Axes, kind: _Kind, prevalence: float) -> None:
    height = (0.0, 1.0) if kind is _ROC else (prevalence, prevalence)
    axes.plot((0, 1), height, color=MUTED, linewidth=1, linestyle=":", label="Chance", zorder=1)


def _operating_point(axes: Axes, kind: _Kind, metrics: SplitMetrics) -> str:
    """Mark the tuned threshold and return its description."""
    wanted = ("specificity", "recall") if kind is _ROC else ("recall", "precision")
    found = [metrics.at_threshold.get(name) for name in wanted]
    values = [metric.value for metric in found if metric is not None and metric.value is not None]
    if len(values) < len(wanted) or metrics.threshold.value is None:
        return ""
    x, y = (1 - values[0], values[1]) if kind is _ROC else (values[0], values[1])
    label = f"Tuned threshold {number(metrics.threshold.value)}"
    axes.plot(
        x, y, "D", color=COLOURS[1], markeredgecolor="white", markersize=8, label=label, zorder=5
    )
    first, second = (f"{name} {number(v)}" for name, v in zip(wanted, values, strict=True))
    return f" At the {label.lower()}: {first}, {second}."


def _draw_classes(
    axes: Axes, kind: _Kind, scores: Scores, metrics: SplitMetrics, drawable: list[int]
) -> str:
    """Draw one one-versus-rest curve per class; of many classes, name the hardest."""
    named = drawable
    if len(drawable) > _MOST_NAMED:
        named = sorted(drawable, key=lambda index: _class_value(metrics, scores, index))[:4]
    words = []
    for index in drawable:
        curve = kind.curve(ranking_scores(scores.probabilities, index), scores.targets == index)
        x, y = _steps(kind, curve)
        if index not in named:
            axes.plot(x, y, color="#b9b6c0", linewidth=0.9, zorder=1)
            continue
        name = scores.class_names[index]
        metric = metrics.by_class.get(name, {}).get(kind.metric)
        text = f" {metric_text(metric)}" if metric and metric.value is not None else ""
        style = {**look(named.index(index)), "marker": ""}
        axes.plot(x, y, label=f"{series_label(name, 18)}{text}", **style)
        words.append(f"{name}{text}")
    if len(named) < len(drawable):
        n_others = len(drawable) - len(named)
        axes.plot([], [], color="#b9b6c0", linewidth=0.9, label=f"{n_others} easier classes")
    if kind is _ROC:
        _reference(axes, kind, 0.5)
    macro = metric_text(metrics.image.get(kind.metric))
    return f"Macro {kind.short} {macro}. One class against the rest: {'; '.join(words)}."


def _class_value(metrics: SplitMetrics, scores: Scores, index: int) -> float:
    metric = metrics.by_class.get(scores.class_names[index], {}).get("auc")
    return metric.value if metric is not None and metric.value is not None else 1.0


def _steps(kind: _Kind, curve: Curve) -> tuple[FloatArray, FloatArray]:
    """Return the points to draw: ROC points are joined, precision holds until the next recall."""
    if kind is _ROC:
        return curve.x, curve.y
    x = np.append(0.0, np.repeat(curve.x, 2)[:-1])
    y = np.repeat(curve.y, 2)
    return x, y


def _at_grid(kind: _Kind, curve: Curve) -> FloatArray:
    if kind is _ROC:
        # Of the points on a vertical step the highest counts.
        last = np.append(np.diff(curve.x) > 0, True)
        return np.asarray(np.interp(_GRID, curve.x[last], curve.y[last]))
    position = np.searchsorted(curve.x, _GRID, side="left").clip(max=len(curve.x) - 1)
    return np.asarray(curve.y[position])


def _band(kind: _Kind, scores: Scores, index: int) -> tuple[FloatArray, FloatArray]:
    values, positive = ranking_scores(scores.probabilities, index), scores.targets == index
    drawn = []
    for table in group_weights(scores.n_groups, RESAMPLES, at_once=10):
        for weights in table:
            rows = weights[scores.group_codes]
            if 0 < rows @ positive < rows.sum():
                drawn.append(_at_grid(kind, kind.curve(values, positive, rows)))
    if not drawn:
        return np.full_like(_GRID, np.nan), np.full_like(_GRID, np.nan)
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return low, high


def overlaid_roc(named: list[tuple[str, Scores, SplitMetrics]]) -> RenderedFigure | None:
    """Draw the ROC curves of several runs (name, scores, metrics) over each other."""
    drawable = [
        (name, scores, metrics, scores.evaluated_classes[0])
        for name, scores, metrics in named
        if metrics.positive is not None and scores.is_mixed(scores.evaluated_classes[0])
    ]
    if not drawable:
        return None
    with house_style():
        figure, axes = new_figure(4.6, 4.6)
        words = []
        for order, (name, scores, metrics, index) in enumerate(drawable):
            low, high = _band(_ROC, scores, index)
            style = {**look(order), "marker": ""}
            axes.fill_between(_GRID, low, high, color=COLOURS[order], alpha=0.15, linewidth=0)
            curve = roc_curve(ranking_scores(scores.probabilities, index), scores.targets == index)
            text = metric_text(metrics.image.get("auc"))
            axes.plot(curve.x, curve.y, label=f"{name}\nAUC {text}", **style)
            words.append(f"{name}: AUC {text}")
        _reference(axes, _ROC, 0.5)
        _frame(axes, _ROC)
        return render_figure(
            figure,
            "protocols_roc",
            alt=f"ROC curves of both splits. {'; '.join(words)}.",
            caption=f"ROC curves under both splits. Shaded: pointwise 95 % bands from {RESAMPLES} "
            "resamples of whole groups.",
        )
