"""ROC and precision-recall curves with a band from resampled groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from eosin.artifacts.comparison import Comparison
from eosin.artifacts.layout import OUT_OF_FOLD
from eosin.artifacts.metrics import Metric, SplitMetrics
from eosin.artifacts.predictions import PREFIX
from eosin.core.types import BoolArray, FloatArray, IntArray
from eosin.metrics.measurement import group_weights
from eosin.metrics.predictions import encode
from eosin.metrics.ranking import Curve, precision_recall_curve, ranking_scores, roc_curve
from eosin.reporting.formatting import metric_text, number
from eosin.reporting.outline import Figures, RenderedFigure, Section
from eosin.reporting.sections.compared import ranked
from eosin.reporting.sections.compared import units as units_in_common
from eosin.reporting.sections.confusion import confusion_figure
from eosin.reporting.style import (
    COLOURS,
    FAINT,
    MUTED,
    drawing,
    look,
    render_figure,
    series_label,
)
from eosin.runs.finished import FinishedRun

#: Resamples of groups behind a band: its ends are stable to a percent or two.
_RESAMPLES = 200
#: With more classes than this, only the hardest are named.
_MOST_NAMED = 6
_GRID = np.linspace(0.0, 1.0, 101)
#: Side of a panel, without and with a positive class: a legend of many classes needs room.
_SIDES_IN = (4.6, 3.5)
#: Most curves in a panel whose legend fits beside another figure.
_FEW_LINES = 2
#: The same of a precision-recall curve between two other figures.
_PR_SIDE_IN = 3.05


@dataclass(frozen=True, eq=False)
class Scores:
    """Predictions of one split.

    Attributes:
        split: Name of the split.
        class_names: Class names, C.
        positive: Index of the positive class; ``None`` without one.
        targets: Class indices, shape (N,).
        probabilities: Probabilities, shape (N, C).
        group_codes: Group numbers, shape (N,).
    """

    split: str
    class_names: tuple[str, ...]
    positive: int | None
    targets: IntArray
    probabilities: FloatArray
    group_codes: IntArray

    @property
    def evaluated_classes(self) -> tuple[int, ...]:
        """The positive class, or all without one."""
        return tuple(range(len(self.class_names))) if self.positive is None else (self.positive,)

    @property
    def right(self) -> BoolArray:
        """Correctness of the most probable class, shape (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.targets)

    def ranking(self, index: int) -> tuple[FloatArray, BoolArray]:
        """Return the scores that rank images of a class before all others, and the truth."""
        return ranking_scores(self.probabilities, index), self.targets == index

    def is_mixed(self, index: int) -> bool:
        """Return True if there are images of this class and of others."""
        n = int((self.targets == index).sum())
        return 0 < n < len(self.targets)


def scores_of(run: FinishedRun) -> Scores | None:
    """Return the evaluated split's predictions; ``None`` if the run has none."""
    frame = run.predictions
    if frame is None:
        return None
    names = run.class_names
    index = {name: position for position, name in enumerate(names)}
    known = frame[frame["label"].isin(index)]
    if not len(known):
        return None
    positive = run.evaluated.positive
    return Scores(
        split=run.split,
        class_names=names,
        positive=None if positive is None else index[positive],
        targets=np.array([index[label] for label in known["label"]], dtype=np.int64),
        probabilities=known[[PREFIX + name for name in names]].to_numpy(dtype=np.float64),
        group_codes=encode(known["group"]),
    )


@dataclass(frozen=True)
class _Kind:
    name: str
    curve: Callable[..., Curve]
    metric: str
    short: str
    title: str
    x_label: str
    y_label: str


_ROC = _Kind("roc", roc_curve, "auc", "AUC", "ROC curve", "1 − specificity", "Recall (sensitivity)")
_PR_NAMES = (
    "average_precision",
    "AP",
    "Precision–recall curve",
    "Recall (sensitivity)",
    "Precision",
)
_PR = _Kind("precision_recall", precision_recall_curve, *_PR_NAMES)


def roc_figure(run: FinishedRun) -> RenderedFigure | None:
    """Draw the ROC curve of the positive class, or of all; ``None`` without predictions."""
    scores = scores_of(run)
    return _figure(_ROC, scores, run.evaluated) if scores else None


def precision_recall_figure(run: FinishedRun) -> RenderedFigure | None:
    """Draw the precision-recall curve likewise."""
    scores = scores_of(run)
    return _figure(_PR, scores, run.evaluated) if scores else None


def _figure(kind: _Kind, scores: Scores, metrics: SplitMetrics) -> RenderedFigure | None:
    drawable = [index for index in scores.evaluated_classes if scores.is_mixed(index)]
    if not drawable:
        return None
    side = _SIDES_IN[metrics.positive is not None]
    side = _PR_SIDE_IN if kind is _PR and metrics.positive is not None else side
    with drawing(side, side) as (figure, axes):
        if metrics.positive is not None:
            alt = _draw_binary(axes, kind, scores, metrics, drawable[0])
        else:
            alt = _draw_classes(axes, kind, scores, metrics, drawable)
        _frame(axes, kind)
        caption = f"{kind.title} on the {_split_name(scores.split)}."
        if metrics.positive is not None:
            caption += (
                f" Shaded: pointwise 95 % band from {_RESAMPLES} resamples by {metrics.unit}."
            )
        return render_figure(figure, kind.name, alt=f"{kind.title}. {alt}", caption=caption)


def _split_name(split: str) -> str:
    names = {OUT_OF_FOLD: "out-of-fold predictions", "external": "external data"}
    return names.get(split, f"{split} images")


def _frame(axes: Axes, kind: _Kind) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(title=kind.title, xlabel=kind.x_label, ylabel=kind.y_label)
    corner: Any = "lower right" if kind is _ROC else "lower left"
    box: Any = {"frameon": True, "framealpha": 0.9, "edgecolor": "none", "borderaxespad": 0.4}
    axes.legend(loc=corner, fontsize=8, **box)


def _draw_binary(axes: Axes, kind: _Kind, scores: Scores, metrics: SplitMetrics, index: int) -> str:
    values, positive = scores.ranking(index)
    band: Any = {"color": COLOURS[0], "alpha": 0.18, "linewidth": 0, "label": "95 % band"}
    axes.fill_between(_GRID, *_band(kind, scores, index), **band)
    text = metric_text(metrics.image.get(kind.metric))
    curve = kind.curve(values, positive)
    axes.plot(*_steps(kind, curve), color=COLOURS[0], label=f"{kind.short} {text}")
    prevalence = float(positive.mean())
    draw_chance(axes, (0.0, 1.0) if kind is _ROC else (prevalence, prevalence))
    point = _operating_point(axes, kind, metrics)
    share = f"{int(positive.sum())} of {len(positive)} images"
    return f"{kind.short} {text} for {scores.class_names[index]}, {share}.{point}"


def draw_chance(axes: Axes, height: tuple[float, float] = (0.0, 1.0)) -> None:
    """Draw the chance level: by default the diagonal of a ROC curve."""
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
    style: Any = {"color": COLOURS[1], "markeredgecolor": "white", "markersize": 8, "zorder": 5}
    axes.plot(x, y, "D", label=label, **style)
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
        x, y = _steps(kind, kind.curve(*scores.ranking(index)))
        if index not in named:
            axes.plot(x, y, color=FAINT, linewidth=0.9, zorder=1)
            continue
        name = scores.class_names[index]
        metric = metrics.by_class.get(name, {}).get(kind.metric)
        text = f" {metric_text(metric)}" if metric and metric.value is not None else ""
        style = {**look(named.index(index)), "marker": ""}
        axes.plot(x, y, label=f"{series_label(name, 18)}{text}", **style)
        words.append(f"{name}{text}")
    if len(named) < len(drawable):
        n_others = len(drawable) - len(named)
        axes.plot([], [], color=FAINT, linewidth=0.9, label=f"{n_others} easier classes")
    if kind is _ROC:
        draw_chance(axes)
    macro = metric_text(metrics.image.get(kind.metric))
    return f"Macro {kind.short} {macro}. Each class against the rest: {'; '.join(words)}."


def _class_value(metrics: SplitMetrics, scores: Scores, index: int) -> float:
    metric = metrics.by_class.get(scores.class_names[index], {}).get("auc")
    return metric.value if metric is not None and metric.value is not None else 1.0


def _steps(kind: _Kind, curve: Curve) -> tuple[FloatArray, FloatArray]:
    """Return the points to draw: ROC points are joined, precision holds until the next recall."""
    if kind is _ROC:
        return curve.x, curve.y
    return np.append(0.0, np.repeat(curve.x, 2)[:-1]), np.repeat(curve.y, 2)


def _at_grid(kind: _Kind, curve: Curve) -> FloatArray:
    if kind is _ROC:
        # Of the points on a vertical step the highest counts.
        last = np.append(np.diff(curve.x) > 0, True)
        return np.asarray(np.interp(_GRID, curve.x[last], curve.y[last]))
    position = np.searchsorted(curve.x, _GRID, side="left").clip(max=len(curve.x) - 1)
    return np.asarray(curve.y[position])


def _band(kind: _Kind, scores: Scores, index: int) -> tuple[FloatArray, FloatArray]:
    values, positive = scores.ranking(index)
    drawn = []
    for table in group_weights(int(scores.group_codes.max()) + 1, _RESAMPLES, at_once=10):
        for weights in table:
            rows = weights[scores.group_codes]
            if 0 < rows @ positive < rows.sum():
                drawn.append(_at_grid(kind, kind.curve(values, positive, rows)))
    if not drawn:
        return np.full_like(_GRID, np.nan), np.full_like(_GRID, np.nan)
    return tuple(np.quantile(drawn, (0.025, 0.975), axis=0))


@dataclass(frozen=True, eq=False)
class RocLine:
    """ROC curve among others: points, area, and the ends of its band on a grid, if any."""

    name: str
    x: FloatArray
    y: FloatArray
    auc: Metric | None
    band: tuple[FloatArray, FloatArray] | None = None


def banded_roc(name: str, run: FinishedRun) -> RocLine | None:
    """Return a run's ROC curve with its band; ``None`` without two classes to rank."""
    scores = scores_of(run)
    if scores is None or scores.positive is None or not scores.is_mixed(scores.positive):
        return None
    curve = roc_curve(*scores.ranking(scores.positive))
    auc = run.evaluated.image.get("auc")
    return RocLine(name, curve.x, curve.y, auc, _band(_ROC, scores, scores.positive))


def overlaid_roc(lines: Sequence[RocLine], name: str, caption: str) -> RenderedFigure | None:
    """Draw the ROC curves of several runs over each other."""
    if not lines:
        return None
    # Of few runs it fits beside another figure; the legend of many needs room.
    side = 3.6 if len(lines) <= _FEW_LINES else 4.6
    with drawing(side, side) as (figure, axes):
        for order, line in enumerate(lines):
            style = {**look(order), "marker": ""}
            if line.band is not None:
                shade: Any = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
                axes.fill_between(_GRID, *line.band, **shade)
            label = f"{series_label(line.name)}\nAUC {metric_text(line.auc)}"
            axes.plot(line.x, line.y, label=label, **style)
        draw_chance(axes)
        _frame(axes, _ROC)
        areas = "; ".join(f"{line.name}: AUC {metric_text(line.auc)}" for line in lines)
        if any(line.band is not None for line in lines):
            caption += f" Shaded: pointwise 95 % bands from {_RESAMPLES} bootstrap resamples."
        return render_figure(figure, name, alt=f"ROC curves. {areas}.", caption=caption)


def compared_section(comparison: Comparison) -> Section:
    """Return the section of a comparison: matrices side by side, ROC curves in one panel."""
    runs = ranked(comparison)
    matrices = {run.name: run.confusion for run in runs if run.confusion is not None}
    lines = [
        RocLine(run.name, np.array(run.roc.x), np.array(run.roc.y), run.image.get("auc"))
        for run in runs
        if run.roc is not None
    ]
    return Section(
        "Confusion matrices and ROC curves",
        Figures(
            confusion_figure(matrices) if matrices else None,
            overlaid_roc(lines, "roc", f"ROC curves on {units_in_common(comparison)}."),
        ),
        nav="Curves",
    )
