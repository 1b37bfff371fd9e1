"""Pairwise differences between runs, and the verdict of a comparison."""

from __future__ import annotations

from typing import Literal

from eosin.artifacts.comparison import (
    ComparedPair,
    ComparedRun,
    Comparison,
    PairedMetric,
)
from eosin.artifacts.metrics import Metric
from eosin.core.text import listing, quantity
from eosin.reporting.formatting import ABSENT, metric_label, metric_text, p_text, signed
from eosin.reporting.outline import Section, Table, Text, make_table
from eosin.reporting.sections.compared import (
    ALPHA,
    cautions,
    honest,
    label,
    metric_table,
    ranked,
    unit,
    units,
)

Outcome = Literal["apart", "unsettled", "noise", "unknown"]
#: Names of the outcomes in a table.
OUTCOMES: dict[Outcome, str] = {
    "apart": "significantly different",
    "unsettled": "inconclusive",
    "noise": "within noise",
    "unknown": "no interval",
}
#: Number of pairs above which the table is folded away.
_MOST_PAIRS = 10
_INDEPENDENT = (
    "McNemar's test (mid-p) and DeLong's test assume independent images. With several images per "
    "patient their p-values are too small; they are given for comparison with other work. All "
    "p-values are corrected by Holm's method for the number of pairs, separately for each test."
)


def result(comparison: Comparison) -> Section:
    """Return the first section of the page: the runs' metrics, then the cautions."""
    warnings = (Text(text, look="caution", head=head) for head, text in cautions(comparison))
    return Section("Result", metric_table(comparison), *warnings)


def section(comparison: Comparison) -> Section:
    """Return the section of all pairs."""
    pairs: Table | Section | None = _pair_table(comparison)
    if len(comparison.pairs) > _MOST_PAIRS:
        pairs = Section("All pairs and tests", pairs, fold="closed")
    # The matrix of two runs is the one row of the other table.
    matrix = _matrix(comparison) if len(comparison.pairs) > 1 else None
    note = Text(_INDEPENDENT, look="small")
    return Section("Pairwise comparison", matrix, pairs, note, nav="Pairs")


def outcome(entry: PairedMetric) -> Outcome:
    """Return the outcome of a pair from its interval and corrected test."""
    low, high = entry.difference.low, entry.difference.high
    if low is None or high is None:
        return "unknown"
    if low <= 0 <= high:
        return "noise"
    return "apart" if entry.p_holm is not None and entry.p_holm < ALPHA else "unsettled"


def difference_text(metric: Metric | None) -> str:
    """Format a difference with its sign, e.g. ``"+0.031 (−0.012 to +0.074)"``."""
    if metric is None or metric.value is None:
        return ABSENT
    if metric.low is None or metric.high is None:
        return signed(metric.value)
    return f"{signed(metric.value)} ({signed(metric.low)} to {signed(metric.high)})"


def headline(comparison: Comparison) -> str:
    """Return the headline: which runs differ significantly, in a sentence or two."""
    best, *others = honest(comparison)
    name, where = label(comparison), f"on these {units(comparison)}"
    if len(others) == 1:
        return _of_two(comparison, best, others[0], name, where)
    found = {run.name: outcome(_between(comparison, best, run)) for run in others}
    parts = [
        f"{best.name} has the highest {name}, "
        f"{metric_text(best.image[comparison.metric])}, {where}."
    ]
    for kind, words in (
        ("noise", "{} is not significantly different: the {} within noise."),
        ("apart", "It is significantly better than {}."),
        ("unsettled", "Whether it is better than {} is inconclusive."),
        ("unknown", "The difference from {} has no interval."),
    ):
        names = [run for run, each in found.items() if each == kind]
        if names:
            many = "differences are" if len(names) > 1 else "difference is"
            text = words.format(listing(names), many)
            parts.append(text.replace(" is not sig", " are not sig") if len(names) > 1 else text)
    return " ".join(parts)


def _of_two(
    comparison: Comparison, best: ComparedRun, other: ComparedRun, name: str, where: str
) -> str:
    entry = _between(comparison, best, other)
    gap = difference_text(entry.difference)
    words = {
        "noise": f"{best.name} and {other.name} do not differ significantly in {name} {where}: "
        f"the difference, {gap}, is within noise.",
        "apart": f"{best.name} has a significantly higher {name} than {other.name} {where}: {gap}.",
        "unsettled": f"Whether {best.name} has a higher {name} than {other.name} {where} is "
        f"inconclusive: the interval of the difference, {gap}, excludes 0, but a permutation test "
        f"by {unit(comparison)} gives p = {p_text(entry.p_holm)}.",
        "unknown": f"The difference in {name} between {best.name} and {other.name} {where} is "
        f"{gap}, without an interval.",
    }
    return words[outcome(entry)]


def _between(comparison: Comparison, one: ComparedRun, other: ComparedRun) -> PairedMetric:
    """Return the difference of the ranking metric, ``one`` minus ``other``."""
    names = {one.name, other.name}
    pair = next(pair for pair in comparison.pairs if {pair.one, pair.other} == names)
    return turned(pair, comparison.metric, one.name)


def turned(pair: ComparedPair, metric: str, first: str) -> PairedMetric:
    """Return the difference of a pair as ``first`` minus the other run."""
    entry = pair.metrics[metric]
    gap = entry.difference
    if pair.one == first or gap.value is None:
        return entry
    low, high = (None if end is None else -end for end in (gap.high, gap.low))
    flipped = {"value": -gap.value, "low": low, "high": high}
    return entry.model_copy(update={"difference": gap.model_copy(update=flipped)})


def _matrix(comparison: Comparison) -> Table | None:
    """Build the matrix of paired differences, row minus column, with corrected p-values."""
    runs = [run.name for run in ranked(comparison)]
    pairs = {frozenset((pair.one, pair.other)): pair for pair in comparison.pairs}
    rows = []
    for row in runs:
        cells = [row]
        for column in runs:
            if row == column:
                cells.append("·")
                continue
            entry = turned(pairs[frozenset((row, column))], comparison.metric, row)
            gap = entry.difference.value
            apart = " *" if outcome(entry) == "apart" else ""
            cells.append(
                ABSENT if gap is None else f"{signed(gap)}, p {p_text(entry.p_holm)}{apart}"
            )
        rows.append(cells)
    caption = (
        f"Difference in {label(comparison)}, row minus column; p of the permutation test by "
        f"{unit(comparison)}, corrected for {quantity(len(comparison.pairs), 'pair')}. "
        "*: significantly different. For intervals see the next table."
    )
    columns = ("", *runs)
    return make_table(
        caption, columns, rows, texts=range(len(columns)), look="many", name="differences"
    )


def _pair_table(comparison: Comparison) -> Table | None:
    rows = []
    for pair in comparison.pairs:
        entry, accuracy = pair.metrics[comparison.metric], pair.metrics["accuracy"]
        independent = (test.p_holm if test else None for test in (pair.mcnemar, pair.delong))
        rows.append(
            (
                f"{pair.one} − {pair.other}",
                difference_text(entry.difference),
                OUTCOMES[outcome(entry)],
                difference_text(accuracy.difference),
                p_text(accuracy.p_holm),
                f"{pair.mcnemar.only_one} / {pair.mcnemar.only_other}",
                *map(p_text, independent),
            )
        )
    name = metric_label(comparison.metric, short=True)
    gaps = ("Pair", f"{name}, first − second", "Outcome", "Accuracy, first − second")
    heads = (*gaps, "Accuracy p", "Only one correct", "McNemar p", "DeLong p")
    caption = (
        f"Pairs of runs: differences with intervals and p by {unit(comparison)}; McNemar's and "
        "DeLong's tests, which assume independent images. All p-values corrected for the number "
        "of pairs."
    )
    return make_table(caption, heads, rows, texts=(0, 2), look="many", name="pairs")
