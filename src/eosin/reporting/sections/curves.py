"""Confusion matrix, and ROC and precision-recall curves with a band from resampled groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from eosin.artifacts.layout import OUT_OF_FOLD
from eosin.artifacts.metrics import Confusion, SplitMetrics
from eosin.artifacts.predictions import PREFIX
from eosin.core.text import count, percent, quantity
from eosin.core.types import BoolArray, FloatArray, IntArray
from eosin.metrics import Curve, group_weights, precision_recall_curve, ranking_scores, roc_curve
from eosin.metrics.predictions import encode
from eosin.reporting.formatting import metric_text, number
from eosin.reporting.outline import Figures, RenderedFigure, Section
from eosin.reporting.style import COLOURS, INK, MUTED, drawing, look, render_figure, series_label
from eosin.reporting.train_test_overlap import split_name, units
from eosin.runs.finished import FinishedRun

#: Resamples of groups behind a band: its ends are stable to a percent or two.
_RESAMPLES = 200
#: With more classes than this, only the hardest are named.
_MOST_NAMED = 6
_GRID = np.linspace(0.0, 1.0, 101)
#: With more classes than this, the matrix carries no numbers.
_MOST_NUMBERED = 12
#: With more classes than this, the axes name only some.
_MOST_TICKS = 40


def section(run: FinishedRun) -> Section:
    """Return the section of the page."""
    evaluated, scores = run.evaluated, scores_of(run)
    confusion = evaluated.confusion
    figures = Figures(
        _confusion_figure(confusion) if confusion.labels else None,
        _figure(_ROC, scores, evaluated) if scores else None,
        _figure(_PR, scores, evaluated) if scores else None,
    )
    words = f"From here on all speaks of the {split_name(run)}: {units(run)}."
    return Section("Confusion and curves", words, figures, nav="Curves")


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


def _confusion_figure(confusion: Confusion) -> RenderedFigure:
    side = min(9.2, max(4.6, 2.4 + 0.34 * len(confusion.labels)))
    with drawing(side, side) as (figure, axes):
        draw_confusion(axes, confusion)
        axes.set_title("Confusion matrix")
        return render_figure(
            figure,
            "confusion",
            alt=f"Confusion matrix: {confusion_words(confusion)}.",
            caption="Images by true and predicted class (the most probable one)."
            " Shading: share of the true class.",
        )


def draw_confusion(axes: Axes, confusion: Confusion) -> None:
    """Draw a confusion matrix: counts, shaded by the share of their true class."""
    matrix, shares = _counts_and_shares(confusion)
    shades = LinearSegmentedColormap.from_list("eosin", ["#ffffff", COLOURS[0]])
    axes.imshow(shares, cmap=shades, vmin=0, vmax=1)
    if len(matrix) <= _MOST_NUMBERED:
        _number_cells(axes, matrix, shares)
    _name_axes(axes, confusion.labels)


def _counts_and_shares(confusion: Confusion) -> tuple[IntArray, FloatArray]:
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


def _name_axes(axes: Axes, labels: list[str]) -> None:
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
    axes.set(xlabel="Predicted class", ylabel="True class")


def confusion_words(confusion: Confusion) -> str:
    """Return the share of each class that was recognised, for readers who do not see."""
    matrix, shares = _counts_and_shares(confusion)
    rows = [
        f"of {quantity(int(matrix[row].sum()), 'image')} of {name}, {count(int(matrix[row, row]))} "
        f"({number(float(shares[row, row]))}) were recognised"
        for row, name in enumerate(confusion.labels[:12])
    ]
    return "; ".join(rows)


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


def _figure(kind: _Kind, scores: Scores, metrics: SplitMetrics) -> RenderedFigure | None:
    drawable = [index for index in scores.evaluated_classes if scores.is_mixed(index)]
    if not drawable:
        return None
    with drawing(4.6, 4.6) as (figure, axes):
        if metrics.positive is not None:
            alt = _draw_binary(axes, kind, scores, metrics, drawable[0])
        else:
            alt = _draw_classes(axes, kind, scores, metrics, drawable)
        _frame(axes, kind)
        caption = f"{kind.title} on the {_split_name(scores.split)}."
        if metrics.positive is not None:
            caption += f" Shaded: pointwise 95 % band from {_RESAMPLES} resamples of whole groups."
        return render_figure(figure, kind.name, alt=f"{kind.title}. {alt}", caption=caption)


def _split_name(split: str) -> str:
    names = {OUT_OF_FOLD: "held-out folds", "external": "external data"}
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
    """Draw what a random score reaches: by default the diagonal of a ROC curve."""
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
        draw_chance(axes)
    macro = metric_text(metrics.image.get(kind.metric))
    return f"Macro {kind.short} {macro}. One class against the rest: {'; '.join(words)}."


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


def overlaid_roc(named: list[tuple[str, Scores, SplitMetrics]]) -> RenderedFigure | None:
    """Draw the ROC curves of several runs (name, scores, metrics) over each other."""
    drawable = [
        (name, scores, scores.positive, metric_text(metrics.image.get("auc")))
        for name, scores, metrics in named
        if scores.positive is not None and scores.is_mixed(scores.positive)
    ]
    if not drawable:
        return None
    with drawing(4.6, 4.6) as (figure, axes):
        for order, (name, scores, index, text) in enumerate(drawable):
            band = _band(_ROC, scores, index)
            axes.fill_between(_GRID, *band, color=COLOURS[order], alpha=0.15, linewidth=0)
            curve = roc_curve(*scores.ranking(index))
            style = {**look(order), "marker": ""}
            axes.plot(curve.x, curve.y, label=f"{name}\nAUC {text}", **style)
        draw_chance(axes)
        _frame(axes, _ROC)
        return render_figure(
            figure,
            "protocols_roc",
            alt="ROC curves of both splits. "
            + "; ".join(f"{name}: AUC {text}" for name, *_, text in drawable)
            + ".",
            caption=f"ROC curves under both splits. Shaded: pointwise 95 % bands from {_RESAMPLES} "
            "resamples of whole groups.",
        )
