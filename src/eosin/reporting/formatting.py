"""Text of numbers and names, the same on every page and in every figure."""

from __future__ import annotations

from markupsafe import Markup, escape

from eosin.artifacts.metrics import Metric
from eosin.core.text import count as count
from eosin.core.text import duration as duration
from eosin.core.text import listing as listing
from eosin.core.text import percent
from eosin.core.text import quantity as quantity
from eosin.core.types import TOGETHER

#: Placeholder of a missing value.
ABSENT = "—"

#: Full names of metrics, for tables.
METRIC_LABELS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auc": "Area under the ROC curve (AUC)",
    "average_precision": "Average precision",
    "recall": "Recall (sensitivity)",
    "specificity": "Specificity",
    "precision": "Precision (positive predictive value)",
    "f1": "F1 score",
    "brier": "Brier score (lower is better)",
    "ece": "Expected calibration error (lower is better)",
    "recognition_rate": "Recognition rate (mean share of a patient's images that are right)",
    "majority_vote_accuracy": "Accuracy of the majority vote",
    "mean_probability_accuracy": "Accuracy of the mean probability",
    "mean_probability_auc": "AUC of the mean probability",
}

#: Short names of metrics.
SHORT_LABELS = {
    **METRIC_LABELS,
    "auc": "AUC",
    "recall": "Recall",
    "precision": "Precision",
    "f1": "F1",
    "brier": "Brier score",
    "ece": "Calibration error",
    "recognition_rate": "Recognition rate",
}

#: Metrics of which smaller is better.
LOWER_IS_BETTER = frozenset({"brier", "ece"})

#: Fewest decimals of a metric, and the most, used only where fewer would mislead.
_LEAST_DIGITS, _MOST_DIGITS = 2, 4


def metric_label(name: str, *, short: bool = False) -> str:
    """Return the display name of a metric."""
    known = SHORT_LABELS if short else METRIC_LABELS
    return known.get(name, name.replace("_", " ").capitalize())


def number(value: float) -> str:
    """Format a metric: two decimals, more only where rounding would claim a perfect 0 or 1."""
    digits = _digits(value)
    text = f"{value:.{digits}f}"
    if float(text) in (0.0, 1.0) and float(text) != value:
        return "<0.001" if abs(value) < 0.5 else ">0.999" if value < 1 else text
    return text


def _digits(value: float) -> int:
    return 3 if _claims_perfection(value, 2) else 2


def _claims_perfection(value: float, digits: int) -> bool:
    """Return True if rounding makes a 0 or a 1 of another value."""
    return round(value, digits) in (0.0, 1.0) and value not in (0.0, 1.0)


def _interval_digits(value: float, low: float, high: float) -> int:
    """Count the decimals at which an interval has a width and claims no perfect 0 or 1."""
    for digits in range(_LEAST_DIGITS, _MOST_DIGITS):
        is_narrower = low != high and round(low, digits) == round(high, digits)
        if not is_narrower and not _claims_perfection(value, digits):
            return digits
    return _MOST_DIGITS


def metric_text(metric: Metric | None) -> str:
    """Format a metric with its 95 % interval, e.g. ``"0.83 (0.70–0.94)"``."""
    if metric is None or metric.value is None:
        return ABSENT
    if metric.low is None or metric.high is None:
        return number(metric.value)
    digits = _interval_digits(metric.value, metric.low, metric.high)
    value, low, high = (f"{v:.{digits}f}" for v in (metric.value, metric.low, metric.high))
    if float(value) in (0.0, 1.0):
        value = number(metric.value)
    return f"{value} ({low}–{high})"


def share(value: float | None) -> str:
    """Format a share in per cent, e.g. ``"70.4 %"`` (a no-break space before the sign)."""
    return ABSENT if value is None else percent(value, 1).replace(" ", "\u00a0")


def amount(value: float, digits: int) -> str:
    """Format a size with ``digits`` decimals, ``"1,919.6"``, more if it is small: ``"0.0012"``."""
    return f"{value:.2g}" if 0 < value < 10.0**-digits else f"{value:,.{digits}f}"


def source_words(source: str) -> str:
    """Return the name of the data that something was fitted on, for running text."""
    return "the validation part" if source == "val" else source


def shorten(text: str, width: int) -> str:
    """Cut ``text`` in the middle to at most ``width`` characters: names differ at both ends."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 3
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def breakable(text: str) -> Markup:
    """Let a browser break a name such as ``protein_synthesis_inhibitor`` at its underscores."""
    return escape(text).replace("_", Markup("_<wbr>"))


def times(magnification: str) -> str:
    """Format a magnification, e.g. ``"200×"``, or those of a stack; other text stays."""
    parts = magnification.split(TOGETHER)
    if not all(part.replace(".", "", 1).isdecimal() for part in parts):
        return magnification
    return " + ".join(f"{part}×" for part in parts)
