"""Threshold, decision curve and abstention.

Net benefit is that of Vickers and Elkin, Medical Decision Making 26(6), 2006.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from eosin.artifacts.metrics import Abstention, AbstentionMetrics, NetBenefit, SplitMetrics
from eosin.core.text import count, listing, quantity
from eosin.metrics.catalogue import HEADLINE, OF_DECISIONS
from eosin.reporting.formatting import ABSENT, metric_text, number, of_hundred, share, source_words
from eosin.reporting.rendering import Cell, Footnotes, Table, headline_table
from eosin.reporting.style import (
    COLOURS,
    INK,
    MUTED,
    RenderedFigure,
    house_style,
    new_figure,
    render_figure,
)
from eosin.reporting.train_test_overlap import split_name
from eosin.runs.finished import FinishedRun

#: Thresholds whose net benefits are in the text alternative.
_SHOWN = (0.1, 0.25, 0.5, 0.75)
#: Most ranges of thresholds that are named.
_MOST_STRETCHES = 3
#: Tolerance for a benefit above "act on all".
_ROUNDING = 1e-12
#: Metrics of all images and of those that are decided on.
_COMPARED = tuple(name for name in HEADLINE if name in OF_DECISIONS)


def decision_curve_figure(metrics: SplitMetrics) -> RenderedFigure | None:
    """Draw net benefit by threshold; ``None`` if not measured."""
    curve = metrics.decisions.curve if metrics.decisions else []
    if not curve or metrics.positive is None:
        return None
    x = [point.threshold for point in curve]
    model = [point.model for point in curve]
    top = max(*model, *(point.everyone for point in curve), 0.05)
    with house_style():
        figure, axes = new_figure(4.6, 4.9)
        axes.plot(x, model, color=COLOURS[0], label="Act as the model says")
        everyone = [point.everyone for point in curve]
        axes.plot(x, everyone, color=COLOURS[1], linestyle="--", label="Act on every image")
        axes.axhline(0, color=MUTED, linestyle=":", linewidth=1.4, label="Act on none")
        if (locked := metrics.threshold.value) is not None:
            label = f"Tuned threshold {number(locked)}"
            axes.axvline(locked, label=label, color=INK, linewidth=1.2, linestyle="-.")
        axes.set(xlim=(0, 1), ylim=(-0.3 * top, 1.08 * top))
        axes.set_title("Decision curve", pad=46)
        axes.set_xlabel("Probability from which one would act")
        axes.set_ylabel("Net benefit")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderpad=0)
        return render_figure(
            figure,
            "decision_curve",
            alt=f"Decision curve. {_in_words(curve)}",
            caption="Net benefit: right calls for action an image, less the false ones, weighed by"
            " how many false ones a right one is worth at that threshold. The model helps where"
            f" its line is the highest. {_where_best(curve)}",
        )


def _where_best(curve: list[NetBenefit]) -> str:
    """Return the ranges of thresholds in which the model is best, the longest first."""
    stretches = [list(points) for is_best, points in groupby(curve, key=_is_best) if is_best]
    stretches.sort(key=lambda points: -len(points))
    if not stretches:
        return "Here it nowhere is."
    shown = [
        f"between {share(points[0].threshold)} and {share(points[-1].threshold)}"
        if len(points) > 1
        else f"at {share(points[0].threshold)}"
        for points in stretches[:_MOST_STRETCHES]
    ]
    rest = sum(len(points) for points in stretches[_MOST_STRETCHES:])
    shown += [f"at {quantity(rest, 'more threshold')}"] if rest else []
    return f"Here that is {listing(shown)}."


def _is_best(point: NetBenefit) -> bool:
    return point.model > max(point.everyone, 0.0) + _ROUNDING


def _in_words(curve: list[NetBenefit]) -> str:
    near = [min(curve, key=lambda point: abs(point.threshold - wanted)) for wanted in _SHOWN]
    return " ".join(
        f"At {point.threshold:.2f}: model {point.model:.3f}, everyone {point.everyone:.3f}, none 0."
        for point in near
    )


def threshold_words(run: FinishedRun) -> list[str]:
    """Describe the tuned threshold, its target and its performance; empty without one."""
    threshold, positive = run.evaluated.threshold, run.evaluated.positive
    if positive is None or (threshold.value is None and threshold.target_recall is None):
        return [_sentence(threshold.reason)] if positive is not None and threshold.reason else []
    source = source_words(threshold.source)
    source = source if source == threshold.source else f"chosen on {source}"
    first = f"The threshold is {source}."
    if threshold.value is not None:
        first = f"An image is called {positive} from {number(threshold.value)} on ({source})."
    missed = (
        [f"Not as the recipe wishes: {threshold.reason.rstrip('.')}."] if threshold.reason else []
    )
    return [first, *_aim(run), *missed, *_reached(run)]


def _aim(run: FinishedRun) -> list[str]:
    threshold = run.evaluated.threshold
    if threshold.target_recall is None:
        return []
    of = "the lower end of the recall's 95 % interval" if threshold.bound == "lower" else "recall"
    text = f"It was to bring {of} to {threshold.target_recall:.2f} there"
    if threshold.recall is not None and threshold.recall.value is not None:
        text += f", where it reached {metric_text(threshold.recall)}"
        text += f" ({threshold.recall.reason})" if threshold.recall.reason else ""
    return [f"{text}."]


def _reached(run: FinishedRun) -> list[str]:
    """Return the recall at the threshold on images that it was not tuned on."""
    recall, target = run.evaluated.at_threshold.get("recall"), run.evaluated.threshold.target_recall
    if recall is None or recall.value is None or run.split == run.evaluated.threshold.source:
        return []
    text = f"On the {split_name(run)}, which had no say in it, it reaches {metric_text(recall)}"
    if target is not None and recall.value < target:
        text += f", less than the {target:.2f} that was aimed at"
    return [f"{text}."]


def _sentence(reason: str | None) -> str:
    text = (reason or "").rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def decisions_table(run: FinishedRun) -> Table | None:
    """Build the table of outcomes in 100 images; ``None`` if not measured."""
    evaluated = run.evaluated
    if evaluated.decisions is None or evaluated.positive is None:
        return None
    positive, negative, notes = evaluated.positive, negative_class(run), Footnotes()
    decisions = evaluated.decisions
    shown = (
        (
            f"{negative}: called {positive} (false positives)",
            decisions.false_positives,
            of_hundred(decisions.false_positives, 1),
        ),
        (
            f"{positive}: called {positive} (recall)",
            recall := evaluated.at_threshold.get("recall"),
            of_hundred(recall),
        ),
        (
            f"called {positive}: truly {positive} (positive predictive value)",
            decisions.ppv,
            of_hundred(decisions.ppv),
        ),
        (
            f"called {negative}: truly {negative} (negative predictive value)",
            decisions.npv,
            of_hundred(decisions.npv),
        ),
    )
    rows = tuple(
        (Cell(f"Of 100 images {words}"), replace(notes.cell(metric), text=text))
        for words, metric, text in shown
    )
    caption = "What deciding at the tuned threshold means, with 95 % intervals."
    return Table(caption, ("", "Images"), rows, notes.notes)


def prevalence_words(run: FinishedRun) -> str:
    """Return the prevalence for which the predictive values hold."""
    decisions, positive = run.evaluated.decisions, run.evaluated.positive
    if decisions is None or positive is None:
        return ""
    text = f"Predictive values hold where {share(decisions.prevalence)} of images are {positive},"
    if decisions.is_stated:
        return f"{text} as stated."
    return (
        f"{text} as among these. Where {positive} is rarer, more of the images called {positive}"
        " are false: state the prevalence of your practice, in the recipe as evaluate.prevalence or"
        " with eosin evaluate RUN --prevalence SHARE."
    )


def negative_class(run: FinishedRun) -> str:
    """Return the negative class of a binary task."""
    return next(name for name in run.class_names if name != run.evaluated.positive)


def rule_of(run: FinishedRun) -> Abstention | None:
    """Return the abstention rule; ``None`` if the run does not record it.

    Measurements on folds belong to each fold's own rule.
    """
    own, measured = run.model.abstention if run.model else None, run.evaluated.abstention
    return measured.rule if own is None and measured is not None else own


def abstention_words(run: FinishedRun) -> list[str]:
    """Describe the abstention rule, or why the model never abstains; empty if unknown."""
    own, measured = rule_of(run), run.evaluated.abstention
    if own is None:
        return []
    rule = own if measured is None else measured.rule
    if rule.source == own.source:
        return _words(run, rule, "The model never abstains")
    words = _words(run, rule, "In the folds nothing was abstained")
    if own.reason is not None:
        return [*words, f"The model itself never abstains: {own.reason.rstrip('.')}."]
    return [*words, f"The model's own rule was calibrated on {own.source}."]


def _words(run: FinishedRun, rule: Abstention, never: str) -> list[str]:
    """Describe a rule and its effect, or, after ``never``, why there is none."""
    measured = run.evaluated.abstention
    if rule.reason is not None:
        return [f"{never}: {rule.reason.rstrip('.')}."]
    words = [
        "The model abstains unless the class that it decides for is plausible, and no other. What"
        f" is plausible was calibrated on {source_words(rule.source)}, so that at least"
        f" {share(1 - rule.alpha)} of the images of each class keep their own among the plausible"
        " ones (conformal prediction)."
    ]
    return [*words, _measured(run, measured)] if measured is not None else words


def _measured(run: FinishedRun, measured: AbstentionMetrics) -> str:
    rate = measured.abstention_rate
    value = ABSENT if rate.value is None else share(rate.value)
    why = [
        f"{count(n)} with {text}"
        for n, text in (
            (measured.n_several, "several plausible classes"),
            (measured.n_empty, "none"),
            (measured.n_contradicted, "one, against the decision at the threshold"),
        )
        if n
    ]
    text = f"Of the {split_name(run)} it abstains on {value}"
    if rate.low is not None and rate.high is not None:
        text += f" ({share(rate.low)} to {share(rate.high)})"
    n_images = measured.n_several + measured.n_empty + measured.n_contradicted
    return f"{text}: {quantity(n_images, 'image')}, {listing(why)}." if why else f"{text}."


def coverage_table(run: FinishedRun) -> Table | None:
    """Build the table of nominal and measured coverage by class."""
    measured = run.evaluated.abstention
    if measured is None or measured.rule.reason is not None:
        return None
    notes, wanted = Footnotes(), Cell(f"{1 - measured.rule.alpha:.2f}")
    rows = tuple(
        (
            Cell(name),
            Cell(count(measured.rule.n_groups.get(name, 0))),
            wanted,
            notes.cell(metric),
        )
        for name, metric in measured.coverage_by_class.items()
    )
    caption = "How often an image's own class is among the plausible ones."
    return Table(
        caption, ("Class", "Groups that calibrated", "Promised", "Measured"), rows, notes.notes
    )


def kept_table(run: FinishedRun) -> Table | None:
    """Build the table of metrics with and without abstained images."""
    measured = run.evaluated.abstention
    if measured is None or measured.rule.reason is not None:
        return None
    decided = run.evaluated.at_threshold or run.evaluated.image
    kept = {name: measured.kept[name] for name in _COMPARED if name in measured.kept}
    blocks = {
        "All images": {name: decided[name] for name in kept if name in decided},
        "Those that it decides on": kept,
    }
    return headline_table("Decisions with and without abstaining.", blocks)
