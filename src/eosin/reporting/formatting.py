"""How numbers and names are written, on every page and in every figure alike."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

from eosin.artifacts.metrics import Metric
from eosin.core.types import TOGETHER
from eosin.metrics.catalogue import METRICS, PATIENT_METRICS

#: Stands where there is nothing to say.
ABSENT = "—"

#: Decimals of a metric: more than the least only where fewer would mislead.
_LEAST_DIGITS, _MOST_DIGITS = 2, 4


def metric_label(name: str, *, short: bool = False) -> str:
    """Return the name of a metric as a reader knows it."""
    row = METRICS.get(name) or PATIENT_METRICS.get(name)
    if row is None:
        return name.replace("_", " ").capitalize()
    return row.short or row.label if short else row.label


def number(value: float) -> str:
    """Write a metric: two decimals, more only where rounding would claim a perfect 0 or 1."""
    digits = _digits(value)
    text = f"{value:.{digits}f}"
    if float(text) in (0.0, 1.0) and float(text) != value:
        return "<0.001" if abs(value) < 0.5 else ">0.999" if value < 1 else text
    return text


def _digits(value: float) -> int:
    return 3 if _claims_perfection(value, 2) else 2


def _claims_perfection(value: float, digits: int) -> bool:
    """Whether rounding makes a 0 or a 1 of what is neither."""
    return round(value, digits) in (0.0, 1.0) and value not in (0.0, 1.0)


def _interval_digits(value: float, low: float, high: float) -> int:
    """Count the decimals at which an interval has a width and claims no perfect 0 or 1."""
    for digits in range(_LEAST_DIGITS, _MOST_DIGITS):
        is_narrower = low != high and round(low, digits) == round(high, digits)
        if not is_narrower and not _claims_perfection(value, digits):
            return digits
    return _MOST_DIGITS


def metric_text(metric: Metric | None) -> str:
    """Write a metric with its 95 % interval, e.g. ``"0.83 (0.70–0.94)"``."""
    if metric is None or metric.value is None:
        return ABSENT
    if metric.low is None or metric.high is None:
        return number(metric.value)
    digits = _interval_digits(metric.value, metric.low, metric.high)
    value, low, high = (f"{v:.{digits}f}" for v in (metric.value, metric.low, metric.high))
    if float(value) in (0.0, 1.0):
        value = number(metric.value)
    return f"{value} ({low}–{high})"


def count(value: int) -> str:
    """Write a count with thousands apart, e.g. ``"12,345"``."""
    return f"{value:,}"


def share(value: float | None) -> str:
    """Write a share in per cent, e.g. ``"70.4 %"`` (a no-break space before the sign)."""
    return ABSENT if value is None else f"{100 * value:.1f}\u00a0%"


def amount(value: float, digits: int) -> str:
    """Write a size with so many digits, ``"1,919.6"``, or with those that it has: ``"0.0012"``."""
    return f"{value:.2g}" if 0 < value < 10.0**-digits else f"{value:,.{digits}f}"


def quantity(n: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun, e.g. ``"1 image"``, ``"1,200 images"``."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def source_words(source: str) -> str:
    """Return what something was fitted on as it stands in a sentence."""
    return "the validation part" if source == "val" else source


def listing(items: Iterable[str]) -> str:
    """Join words as a sentence does: ``"a, b and c"``."""
    words = list(items)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def shorten(text: str, width: int) -> str:
    """Cut ``text`` in the middle to at most ``width`` characters: names differ at both ends."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 3
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def breakable(text: str) -> Markup:
    """Let a browser break a name such as ``protein_synthesis_inhibitor`` at its underscores."""
    return escape(text).replace("_", Markup("_<wbr>"))


def duration(seconds: float) -> str:
    """Write a time span, e.g. ``"8.4 s"`` or ``"3 min 20 s"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def times(magnification: str) -> str:
    """Write a magnification, e.g. ``"200×"``, or those of a bundle; words of its own stay."""
    parts = magnification.split(TOGETHER)
    if not all(part.replace(".", "", 1).isdecimal() for part in parts):
        return magnification
    return " + ".join(f"{part}×" for part in parts)
