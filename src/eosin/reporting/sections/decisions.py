"""Threshold and decision curve.

Net benefit is that of Vickers and Elkin, Medical Decision Making 26(6), 2006.
"""

from __future__ import annotations

from itertools import groupby

from eosin.artifacts.metrics import NetBenefit, SplitMetrics
from eosin.core.text import listing, percent
from eosin.reporting.formatting import (
    exception,
    metric_text,
    number,
    of_hundred,
    sentence,
    share,
    source_words,
)
from eosin.reporting.outline import (
    Cell,
    Facts,
    Figures,
    Pair,
    RenderedFigure,
    Section,
    Table,
    make_table,
    select,
)
from eosin.reporting.sections.calibration import histogram_figure
from eosin.reporting.sections.curves import precision_recall_figure, scores_of
from eosin.reporting.sections.model import model_facts
from eosin.reporting.style import COLOURS, INK, MUTED, drawing, render_figure
from eosin.reporting.train_test_overlap import split_name
from eosin.runs.finished import FinishedRun

#: Thresholds whose net benefits are in the text alternative.
_SHOWN = (0.1, 0.25, 0.5, 0.75)
#: Most ranges of thresholds that are named, and the fewest points of one: narrower ones are noise.
_MOST_STRETCHES, _FEWEST_POINTS = 3, 3
#: Tolerance for a benefit above "act on all".
_ROUNDING = 1e-12


def section(run: FinishedRun) -> Section:
    """Return the section of the page, with scores and curves; empty without a threshold."""
    words, title = _threshold_words(run), "Threshold and decisions"
    if not words:
        return Section(title)
    scores = scores_of(run)
    figures = Figures(
        histogram_figure(scores, run.evaluated) if scores else None,
        precision_recall_figure(run),
        decision_curve_figure(run.evaluated),
    )
    text, table = " ".join(words), _decisions_table(run)
    return Section(title, text, table, _prevalence_words(run), figures, nav="Decisions")


def brief(run: FinishedRun) -> Section:
    """Return the section of the card."""
    words = [*_threshold_words(run), _prevalence_words(run)]
    own = select(model_facts(run), "Threshold")
    if run.model and any(words) and run.model.threshold.value == run.evaluated.threshold.value:
        own = []
    facts = Facts([("Threshold of the model", value) for _, value in own])
    return Section("Threshold", " ".join(filter(None, words)), facts, _decisions_table(run))


def terminal_facts(split: SplitMetrics) -> list[Pair]:
    """Return the threshold and its consequences for the terminal."""
    found = split.threshold
    if found.target_recall is None:
        return []
    at = (
        "each fold's tuned threshold"
        if found.value is None
        else (f"the tuned threshold {number(found.value)}")
    )
    facts = [("decisions", f"at {at}")]
    wrong = split.decisions.false_positives if split.decisions else None
    if wrong is not None and wrong.value is not None:
        negative = next(name for name in split.confusion.labels if name != split.positive)
        facts.append(("", f"{of_hundred(wrong, 1)} false positives per 100 {negative}"))
    return [*facts, ("", found.reason)] if found.reason else facts


def decision_curve_figure(metrics: SplitMetrics) -> RenderedFigure | None:
    """Draw net benefit by threshold; ``None`` if not measured."""
    curve = metrics.decisions.curve if metrics.decisions else []
    if not curve or metrics.positive is None:
        return None
    x = [point.threshold for point in curve]
    model = [point.model for point in curve]
    top = max(*model, *(point.everyone for point in curve), 0.05)
    with drawing(3.05, 3.05) as (figure, axes):
        axes.plot(x, model, color=COLOURS[0], label="Model")
        everyone = [point.everyone for point in curve]
        axes.plot(x, everyone, color=COLOURS[1], linestyle="--", label="Treat all")
        axes.axhline(0, color=MUTED, linestyle=":", linewidth=1.4, label="Treat none")
        if (locked := metrics.threshold.value) is not None:
            label = f"Tuned: {number(locked)}"
            axes.axvline(locked, label=label, color=INK, linewidth=1.2, linestyle="-.")
        axes.set(xlim=(0, 1), ylim=(-0.3 * top, 1.08 * top))
        axes.set(xlabel="Threshold probability", ylabel="Net benefit")
        axes.set_title("Decision curve", pad=34)
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderpad=0, columnspacing=1
        )
        return render_figure(
            figure,
            "decision_curve",
            alt=f"Decision curve. {_in_words(curve)}",
            caption="Net benefit: true positives minus weighted false positives, per image."
            f" {_where_best(curve)}",
        )


def _where_best(curve: list[NetBenefit]) -> str:
    """Return the ranges of thresholds in which the model is best, the longest first."""
    stretches = [list(points) for is_best, points in groupby(curve, key=_is_best) if is_best]
    stretches = [points for points in stretches if len(points) >= _FEWEST_POINTS]
    stretches.sort(key=lambda points: -len(points))
    if not stretches:
        return "The model has the highest net benefit in no range of thresholds."
    shown = [
        f"between {percent(points[0].threshold, 0)} and {percent(points[-1].threshold, 0)}"
        for points in stretches[:_MOST_STRETCHES]
    ]
    return f"The model has the highest net benefit {listing(shown)}."


def _is_best(point: NetBenefit) -> bool:
    return point.model > max(point.everyone, 0.0) + _ROUNDING


def _in_words(curve: list[NetBenefit]) -> str:
    near = [min(curve, key=lambda point: abs(point.threshold - wanted)) for wanted in _SHOWN]
    return " ".join(
        f"At {point.threshold:.2f}: model {point.model:.3f}, everyone {point.everyone:.3f}, none 0."
        for point in near
    )


def _threshold_words(run: FinishedRun) -> list[str]:
    """Describe the tuned threshold, its target and its performance; empty without one."""
    threshold, positive = run.evaluated.threshold, run.evaluated.positive
    if positive is None or (threshold.value is None and threshold.target_recall is None):
        return [sentence(threshold.reason)] if positive is not None and threshold.reason else []
    source = source_words(threshold.source)
    source = source if source == threshold.source else f"chosen on {source}"
    first = f"Threshold: {source}."
    if threshold.value is not None:
        first = (
            f"An image is decided as {positive} if its probability is at least "
            f"{number(threshold.value)} ({source})."
        )
    why = (threshold.reason or "").rstrip(".")
    missed = f"This differs from the recipe: {why}." if why else ""
    return [text for text in (first, _aim(run), missed, _reached(run)) if text]


def _aim(run: FinishedRun) -> str:
    threshold = run.evaluated.threshold
    if threshold.target_recall is None:
        return ""
    of = "recall"
    if threshold.bound == "lower":
        of = "the lower end of the 95 % interval of recall to be"
    text = f"It was set for {of} {threshold.target_recall:.2f} there"
    if threshold.recall is not None and threshold.recall.value is not None:
        note = exception(threshold.recall.reason)
        text += f", where recall is {metric_text(threshold.recall)}"
        text += f" ({note})" if note else ""
    return f"{text}."


def _reached(run: FinishedRun) -> str:
    """Return the recall at the threshold on images that it was not tuned on."""
    recall, target = run.evaluated.at_threshold.get("recall"), run.evaluated.threshold.target_recall
    if recall is None or recall.value is None or run.split == run.evaluated.threshold.source:
        return ""
    text = f"On the {split_name(run)}, recall is {metric_text(recall)}"
    if target is not None and recall.value < target:
        text += f", below the target of {target:.2f}"
    return f"{text}."


def _decisions_table(run: FinishedRun) -> Table | None:
    """Build the table of outcomes in 100 images; ``None`` if not measured."""
    evaluated = run.evaluated
    if evaluated.decisions is None or evaluated.positive is None:
        return None
    positive, negative, decisions = evaluated.positive, negative_class(run), evaluated.decisions
    recall = evaluated.at_threshold.get("recall")
    shown = (
        (f"Per 100 {negative} images: false positives", decisions.false_positives, 1),
        (f"Per 100 {positive} images: true positives (recall)", recall, 100),
        (f"Per 100 images decided as {positive}: correct (PPV)", decisions.ppv, 100),
        (f"Per 100 images decided as {negative}: correct (NPV)", decisions.npv, 100),
    )
    rows = [
        (words, Cell(of_hundred(metric, scale), (metric and metric.reason) or ""))
        for words, metric, scale in shown
    ]
    caption = "Decisions at the tuned threshold."
    return make_table(caption, ("", "Images"), rows, name="decisions")


def _prevalence_words(run: FinishedRun) -> str:
    """Return the prevalence for which the predictive values hold."""
    decisions, positive = run.evaluated.decisions, run.evaluated.positive
    if decisions is None or positive is None:
        return ""
    text = f"PPV and NPV are for a prevalence of {share(decisions.prevalence)} {positive}"
    if decisions.is_stated:
        return f"{text}, as stated."
    return (
        f"{text}, that of these images. At a lower prevalence the PPV is lower: set your own with"
        " evaluate.prevalence in the recipe or eosin evaluate RUN --prevalence SHARE."
    )


def negative_class(run: FinishedRun) -> str:
    """Return the negative class of a binary task."""
    return next(name for name in run.class_names if name != run.evaluated.positive)
