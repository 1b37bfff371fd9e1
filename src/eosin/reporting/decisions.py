"""The locked threshold, and what deciding by it means for those who act upon it."""

from __future__ import annotations

from dataclasses import replace

from eosin.artifacts.metrics import Metric
from eosin.reporting.exposure import split_name
from eosin.reporting.formatting import ABSENT, metric_text, share, source_words
from eosin.reporting.tables import Cell, Footnotes, Table
from eosin.runs.finished import Run


def threshold_words(run: Run) -> list[str]:
    """Say where the threshold was locked, for what, and what it reaches; empty without one."""
    threshold, positive = run.judged.threshold, run.judged.positive
    if positive is None or (threshold.value is None and threshold.target_recall is None):
        return [_sentence(threshold.reason)] if positive is not None and threshold.reason else []
    source = source_words(threshold.source)
    source = source if source == threshold.source else f"chosen on {source}"
    first = f"The threshold is {source}."
    if threshold.value is not None:
        first = f"An image is called {positive} from {threshold.value:.3f} on ({source})."
    missed = (
        [f"Not as the recipe wishes: {threshold.reason.rstrip('.')}."] if threshold.reason else []
    )
    return [first, *_aim(run), *missed, *_reached(run)]


def _aim(run: Run) -> list[str]:
    threshold = run.judged.threshold
    if threshold.target_recall is None:
        return []
    of = "the lower end of the recall's 95 % interval" if threshold.bound == "lower" else "recall"
    text = f"It was to bring {of} to {threshold.target_recall:.2f} there"
    if threshold.recall is not None and threshold.recall.value is not None:
        text += f", where it reached {metric_text(threshold.recall)}"
        text += f" ({threshold.recall.reason})" if threshold.recall.reason else ""
    return [f"{text}."]


def _reached(run: Run) -> list[str]:
    """Say what recall the threshold reaches on images that had no say in it."""
    recall, target = run.judged.at_threshold.get("recall"), run.judged.threshold.target_recall
    if recall is None or recall.value is None or run.split == run.judged.threshold.source:
        return []
    text = f"On the {split_name(run)}, which had no say in it, it reaches {metric_text(recall)}"
    if target is not None and recall.value < target:
        text += f", less than the {target:.2f} that was aimed at"
    return [f"{text}."]


def _sentence(reason: str | None) -> str:
    text = (reason or "").rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def decisions_table(run: Run) -> Table | None:
    """Build the table of what happens to 100 images; ``None`` where it was not measured."""
    judged = run.judged
    if judged.decisions is None or judged.positive is None:
        return None
    positive, negative, notes = judged.positive, negative_class(run), Footnotes()
    decisions = judged.decisions
    told = (
        (
            f"{negative}: called {positive} (false positives)",
            decisions.false_positives,
            of_hundred(decisions.false_positives, 1),
        ),
        (
            f"{positive}: called {positive} (recall)",
            recall := judged.at_threshold.get("recall"),
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
        for words, metric, text in told
    )
    caption = "What deciding at the locked threshold means, with 95 % intervals."
    return Table(caption, ("", "Images"), rows, notes.notes)


def prevalence_words(run: Run) -> str:
    """Say for which share of positive images the predictive values hold."""
    decisions, positive = run.judged.decisions, run.judged.positive
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


def negative_class(run: Run) -> str:
    """Return the class of a binary task that is not the positive one."""
    return next(name for name in run.class_names if name != run.judged.positive)


def of_hundred(metric: Metric | None, scale: float = 100.0) -> str:
    """Write a share as a number of 100, e.g. ``"46 (20–67)"``."""
    if metric is None or metric.value is None:
        return ABSENT
    digits = 0 if 1 <= scale * metric.value <= 99 else 1
    value, low, high = (
        "" if v is None else f"{scale * v:.{digits}f}"
        for v in (metric.value, metric.low, metric.high)
    )
    return f"{value} ({low}–{high})" if low and high else value
