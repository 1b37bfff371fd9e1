"""Text of numbers and names, the same on every page and in every figure."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable

from markupsafe import Markup, escape

from eosin.artifacts.metrics import Abstention, Metric
from eosin.core.text import percent
from eosin.core.types import TOGETHER
from eosin.metrics.catalogue import METRICS, PATIENT_METRICS

#: Placeholder of a missing value.
ABSENT = "—"

#: Decimals of a metric, in the terminal and on a page; more only where fewer would mislead.
_DIGITS, _MOST_DIGITS = 3, 4
#: Coverage of intervals in simulation, in per cent, below which a metric is marked.
_GOOD_COVERAGE = 90
#: Share of undecided calibration images above which a rule of abstention needs an explanation.
_MANY_UNDECIDED = 0.5
#: Display names of the subsets.
_SUBSETS = {"train": "Training", "val": "Validation", "test": "Test"}
_COVERAGE = re.compile(r"([^;]*): nominal 95 % intervals covered (\d+) % in simulation[^;]*")
#: Reasons that differ in a count or a class alone, and the note that stands for all of them.
_ALIKE = (
    (
        re.compile(r"\d+ groups? of .*: (an interval needs at least \d+)"),
        r"no interval: a class has too few patients or groups (\1)",
    ),
    (
        re.compile(r"undefined in .* of the resamples: no interval"),
        "no interval: undefined in too many resamples",
    ),
    (
        re.compile("the same in every resample: no interval from resampling"),
        "no interval: the same in every resample",
    ),
)


def metric_label(name: str, *, short: bool = False) -> str:
    """Return the name of a metric as a reader knows it."""
    row = METRICS.get(name) or PATIENT_METRICS.get(name)
    if row is None:
        return name.replace("_", " ").capitalize()
    return row.short or row.label if short else row.label


def number(value: float) -> str:
    """Format a proportion with three decimals, unless that would claim a perfect 0 or 1."""
    if _claims_perfection(value, _DIGITS):
        return "<0.001" if value < 0.5 else ">0.999"
    return f"{value:.{_DIGITS}f}".replace("-", "−")


def _claims_perfection(value: float, digits: int) -> bool:
    """Return True if rounding makes a 0 or a 1 of another value."""
    return round(value, digits) in (0.0, 1.0) and value not in (0.0, 1.0)


def rate_text(rate: Metric) -> str:
    """Format a rate with its interval in per cent."""
    if rate.low is None or rate.high is None:
        return share(rate.value)
    return f"{share(rate.value)} ({share(rate.low)} to {share(rate.high)})"


def signed(value: float) -> str:
    """Format a number with its sign; what rounds to nothing has none."""
    text = f"{abs(value):.3f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"


def metric_text(metric: Metric | None) -> str:
    """Format a metric with its 95 % interval, e.g. ``"0.834 (0.701–0.942)"``.

    A negative end is written as in ``"−0.112 (−0.479 to 0.289)"``. A fourth decimal is added where
    three would give an interval without a width.
    """
    if metric is None or metric.value is None:
        return ABSENT
    if metric.low is None or metric.high is None:
        return number(metric.value)
    ends = (metric.low, metric.high)
    is_flat = metric.low != metric.high and len({round(end, _DIGITS) for end in ends}) == 1
    digits = _MOST_DIGITS if is_flat else _DIGITS
    value, low, high = (f"{v:.{digits}f}" for v in (metric.value, *ends))
    if _claims_perfection(metric.value, digits):
        value = number(metric.value)
    between = " to " if metric.low < 0 else "–"
    return f"{value} ({low}{between}{high})".replace("-", "−")


def coverage(reason: str | None) -> int | None:
    """Return the coverage in simulation that the reason of a metric gives, in per cent."""
    found = _COVERAGE.match(reason or "")
    return None if found is None else int(found[2])


def plain_reason(reason: str | None, unit: str = "group") -> str:
    """Return the reason of a metric with its coverage in plain words, and groups by their name."""
    text = (reason or "").replace("group", "patient" if unit == "patient" else "group")
    return _COVERAGE.sub(lambda found: f"{found[1]}; {_coverage_words(found[2])}", text)


def _coverage_words(per_cent: str) -> str:
    return f"in simulation, such 95 % intervals contained the true value {per_cent} % of the time"


def exception(reason: str | None) -> str:
    """Return the note that a metric needs in a table; empty if its interval is as good as others'.

    The page describes the usual coverage of intervals once.
    """
    covered, note = coverage(reason), reason or ""
    if covered is not None:
        narrow = f"interval too narrow: {_coverage_words(str(covered))}"
        rest = _COVERAGE.sub("", note).strip("; ")
        note = "; ".join(filter(None, (narrow if covered < _GOOD_COVERAGE else "", rest)))
    for pattern, shown in _ALIKE:
        note = pattern.sub(shown, note)
    return note


def p_text(p: float | None) -> str:
    """Format a p-value."""
    return ABSENT if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def of_hundred(metric: Metric | None, scale: float = 100.0) -> str:
    """Format a proportion as a number per 100, e.g. ``"46 (20–67)"``."""
    if metric is None or metric.value is None:
        return ABSENT
    digits = 0 if 1 <= scale * metric.value <= 99 else 1
    value, low, high = (
        "" if v is None else f"{scale * v:.{digits}f}"
        for v in (metric.value, metric.low, metric.high)
    )
    return f"{value} ({low}–{high})" if low and high else value


def share(value: float | None) -> str:
    """Format a proportion in per cent, e.g. ``"70.4 %"`` (a no-break space before the sign)."""
    return ABSENT if value is None else percent(value, 1).replace(" ", "\u00a0")


def many_undecided(rule: Abstention | None) -> str:
    """Explain a rule that leaves most calibration images undecided; empty for any other."""
    if rule is None or rule.undecided is None or rule.undecided <= _MANY_UNDECIDED:
        return ""
    return (
        f"At alpha {rule.alpha:g}, {share(rule.undecided)} of the calibration images are undecided:"
        f" the model separates the classes too poorly to reach {share(1 - rule.alpha)} coverage of"
        " each class with one class per image. To abstain less, raise evaluate.alpha; to always"
        " decide, set evaluate.abstain = false."
    )


def amount(value: float, digits: int) -> str:
    """Format a size with ``digits`` decimals, ``"1,919.6"``, more if it is small: ``"0.0012"``."""
    return f"{value:.2g}" if 0 < value < 10.0**-digits else f"{value:,.{digits}f}"


def source_words(source: str) -> str:
    """Return the name of the data that something was fitted on, for running text."""
    return "the validation subset" if source == "val" else source


def common_folder(paths: Iterable[str]) -> str:
    """Return the folder of all images, which a page leaves out, unless paths start inside it.

    A page is passed on, and where the images are on this machine is nobody's business.
    """
    folders = {path.rpartition("/")[0] for path in paths}
    is_outside = bool(folders) and all(folder.startswith(("/", "..")) for folder in folders)
    if not is_outside or len({folder.startswith("/") for folder in folders}) > 1:
        return ""
    return os.path.commonpath(folders)


def below(path: str, folder: str) -> str:
    """Return a path as it is below its :func:`common_folder`."""
    return path.removeprefix(folder).lstrip("/") if folder else path


def reason_alone(path: str, reason: str) -> str:
    """Return why an image cannot be read, without its path, which stands beside it."""
    before, found, words = reason.partition(path)
    is_path = found and (not before or before.endswith("/"))
    return words.lstrip(" :") if is_path else reason


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


def capitalised(text: str) -> str:
    """Capitalise the first letter; the others stay as they are."""
    return text[:1].upper() + text[1:]


def sentence(text: str | None) -> str:
    """Make a sentence of a reason: a capital letter first, one full stop last; empty stays."""
    return f"{capitalised(text.rstrip('.'))}." if text else ""


def subset_name(name: str, among: Iterable[str] = ()) -> str:
    """Return the display name of a subset: ``Fold 1``, with its repeat if ``among`` has several."""
    repeat, dash, fold = name.partition("-")
    if not (dash and repeat.isdecimal() and fold.isdecimal()):
        return _SUBSETS.get(name, name.capitalize())
    repeats = {one.partition("-")[0] for one in among if "-" in one} or {"0"}
    shown = f"fold {int(fold) + 1}"
    if {repeat} == repeats:
        return shown.capitalize()
    return f"Repeat {int(repeat) + 1}, {shown}"


def data_uri(data: bytes, kind: str) -> str:
    """Return the ``data:`` URI of an image's bytes."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
