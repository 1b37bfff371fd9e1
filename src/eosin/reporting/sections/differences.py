"""Differences between two runs each, and what "within noise" means."""

from __future__ import annotations

from typing import Literal

from eosin.artifacts.comparison import (
    ComparedPair,
    ComparedRun,
    Comparison,
    PairedMetric,
)
from eosin.artifacts.metrics import Metric
from eosin.core.text import count, listing, quantity
from eosin.reporting.formatting import ABSENT, metric_label, metric_text, p_text, signed
from eosin.reporting.outline import Section, Table, Text, make_table
from eosin.reporting.sections.compared import cautions, honest, label, ranked, unit, units

#: Significance level of the corrected p-values.
ALPHA = 0.05
Outcome = Literal["apart", "unsettled", "noise", "unknown"]
#: Names of the outcomes in a table.
OUTCOMES: dict[Outcome, str] = {
    "apart": "told apart",
    "unsettled": "not settled",
    "noise": "within noise",
    "unknown": "no interval",
}
#: Number of pairs above which the table is folded away.
_MOST_PAIRS = 10
_INDEPENDENT = (
    "McNemar's test (mid-p) and DeLong's take every image as independent of every other. Where a "
    "patient has several images they claim too much: they stand here for comparison with other "
    "work, and the words above follow the intervals and tests of whole groups. All p-values are "
    "corrected by Holm's method for the number of pairs, each test by itself."
)


def preface(comparison: Comparison) -> Section:
    """Return the section that explains the outcomes, after the cautions."""
    warnings = (Text(text, look="caution", head=head) for head, text in cautions(comparison))
    title = "What “within noise” means"
    return Section(title, *warnings, *_meaning(comparison), nav="Within noise")


def section(comparison: Comparison) -> Section:
    """Return the section of all pairs."""
    pairs: Table | Section | None = _pair_table(comparison)
    if len(comparison.pairs) > _MOST_PAIRS:
        pairs = Section("All pairs, test by test", pairs, fold="closed")
    note = Text(_INDEPENDENT, look="small")
    return Section("Each two runs", _matrix(comparison), pairs, note, nav="Pairs")


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
        f"{best.name} reaches the highest {name}, "
        f"{metric_text(best.image[comparison.metric])}, {where}."
    ]
    for kind, words in (
        ("noise", "{} can't be told apart from it: the {} within noise."),
        ("apart", "It is better than {}."),
        ("unsettled", "Whether it is better than {} is not settled."),
        ("unknown", "There is no interval of its difference from {}."),
    ):
        names = [run for run, each in found.items() if each == kind]
        if names:
            many = "differences lie" if len(names) > 1 else "difference lies"
            parts.append(words.format(listing(names), many))
    return " ".join(parts)


def _of_two(
    comparison: Comparison, best: ComparedRun, other: ComparedRun, name: str, where: str
) -> str:
    entry = _between(comparison, best, other)
    gap = difference_text(entry.difference)
    words = {
        "noise": f"{best.name} and {other.name} can't be told apart by {name} {where}: "
        f"the difference, {gap}, lies within noise.",
        "apart": f"{best.name} has more {name} than {other.name} {where}: {gap}.",
        "unsettled": f"Whether {best.name} has more {name} than {other.name} {where} is not "
        f"settled: the interval of the difference, {gap}, leaves 0 out, but exchanging whole "
        f"{unit(comparison)}s gives p = {p_text(entry.p_holm)}.",
        "unknown": f"No interval can be given for the difference in {name} {where}: {gap}.",
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


def _meaning(comparison: Comparison) -> list[str]:
    """Explain "within noise" and the assumptions of the tests."""
    each, pairs = unit(comparison), len(comparison.pairs)
    words = [
        f"Within noise means that the 95 % interval of the paired difference holds 0: with other "
        f"{each}s of the same kind the order could have been the other way round. It does not mean "
        f"that the two are equally good; it means that {units(comparison)} do not tell which is "
        f"better. Both runs of a pair are measured on the same resamples of whole {each}s, so that "
        f"what makes an image hard for both cancels out.",
        f"Told apart means more: the interval leaves 0 out, and so does a test that exchanges what "
        f"both runs said of whole {each}s ({count(comparison.flips)} random exchanges), after "
        f"Holm's correction for all {quantity(pairs, 'pair')} at p < {ALPHA:g}. Where only the "
        f"interval leaves 0 out, the matter is not settled.",
    ]
    if comparison.n_repeated:
        words.append(
            f"{quantity(comparison.n_repeated, 'run')} evaluated every image in several repeats: "
            "here their probabilities are averaged an image, so that each has one decision. The "
            "average is a little better than a single repeat."
        )
    return words


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
        f"Difference in {label(comparison)}, row minus column; p by exchange of whole "
        f"{unit(comparison)}s, corrected for {quantity(len(comparison.pairs), 'pair')}. "
        "Told apart: *. Intervals stand in the next table."
    )
    return make_table(caption, ("", *runs), rows, texts=range(len(runs) + 1), look="many")


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
    gaps = ("Pair", f"{name}, first − second", "In words", "Accuracy, first − second")
    heads = (*gaps, "Accuracy p", "Only one right", "McNemar p", "DeLong p")
    caption = (
        "Each pair: intervals and p by whole groups, and, as if images were independent, "
        "McNemar's and DeLong's tests. All p-values corrected for the number of pairs."
    )
    return make_table(caption, heads, rows, texts=(0, 2), look="many")
