"""Each two runs, and multiple ranges: tables and sentences of a comparison."""

from __future__ import annotations

from eosin.artifacts.comparison import (
    ComparedPair,
    Comparison,
    IndependentTest,
    RangeTest,
)
from eosin.reporting.formatting import ABSENT, listing, metric_label, quantity
from eosin.reporting.noise import (
    OUTCOMES,
    difference_text,
    label,
    outcome,
    p_text,
    ranked,
    signed,
    turned,
    unit,
)
from eosin.reporting.tables import Table, text_table

INDEPENDENT = (
    "McNemar's test (mid-p) and DeLong's take every image as independent of every other. Where a "
    "patient has several images they claim too much: they stand here for comparison with other "
    "work, and the words above follow the intervals and tests of whole groups. All p-values are "
    "corrected by Holm's method for the number of pairs, each test by itself."
)


def matrix(comparison: Comparison) -> Table:
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
    return text_table(caption, ("", *runs), rows, texts=range(len(runs) + 1))


def pair_table(comparison: Comparison) -> Table:
    """Build the table of all tests, a row a pair."""
    rows = [_pair_row(comparison, pair) for pair in comparison.pairs]
    name = metric_label(comparison.metric, short=True)
    heads = (
        "Pair",
        f"{name}, first − second",
        "In words",
        "Accuracy, first − second",
        "Accuracy p",
        "Only one right",
        "McNemar p",
        "DeLong p",
    )
    caption = (
        "Each pair: intervals and p by whole groups, and, as if images were independent, "
        "McNemar's and DeLong's tests. All p-values corrected for the number of pairs."
    )
    return text_table(caption, heads, rows, texts=(0, 2))


def _pair_row(comparison: Comparison, pair: ComparedPair) -> list[str]:
    entry, accuracy = pair.metrics[comparison.metric], pair.metrics["accuracy"]
    return [
        f"{pair.one} − {pair.other}",
        difference_text(entry.difference),
        OUTCOMES[outcome(entry)],
        difference_text(accuracy.difference),
        p_text(accuracy.p_holm),
        f"{pair.mcnemar.only_one} / {pair.mcnemar.only_other}",
        _corrected(pair.mcnemar),
        _corrected(pair.delong),
    ]


def _corrected(test: IndependentTest | None) -> str:
    return ABSENT if test is None else p_text(test.p_holm)


def range_table(test: RangeTest) -> Table:
    """Build the table of one multiple-range test."""
    rows = [[row.name, f"{row.mean:.3f}", row.tukey, row.duncan] for row in test.rows]
    what = {"run": "Runs", "model": "Networks", "preprocessing": "Preprocessing"}[test.factor]
    name = metric_label(test.metric, short=True)
    duncan = f"{test.duncan[0]:.3f}"
    duncan += f" to {test.duncan[-1]:.3f}" if len(test.duncan) > 1 else ""
    caption = (
        f"{what}: mean {name} over {quantity(test.n_each, 'value')} each. Rows with a letter in "
        f"common are not told apart. Critical range {test.tukey:.3f} (Tukey), {duncan} (Duncan); "
        f"error variance {test.mean_square:.2g} on {quantity(test.freedom, 'degree')} of freedom."
    )
    return text_table(caption, ("", f"Mean {name}", "Tukey", "Duncan"), rows, texts=(0, 2, 3))


def ranges_words(comparison: Comparison) -> list[str]:
    """Say what the ranges rest on, and which runs have no replicates in common."""
    if not comparison.ranges:
        return []
    test = comparison.ranges[0]
    left = [run.name for run in comparison.runs if run.name not in {row.name for row in test.rows}]
    words = [
        f"Replicates are the {quantity(len(test.blocks), 'block')} in common "
        f"({listing(test.blocks) if len(test.blocks) <= 6 else test.blocks[0] + ' …'}), on the "
        "same images in each run; what a block makes easy or hard for all is taken away. Tukey's "
        "test errs in all comparisons together in at most 5 %; Duncan's is bolder the fewer means "
        "lie between two. The mean over blocks is not the value of all images together, which also "
        "asks that the networks of different folds give comparable probabilities.",
        "The trainings of a run's folds share most of their images, so their values are less "
        "independent than both tests take them to be: where they and the intervals of whole "
        f"{unit(comparison)}s disagree, follow the intervals.",
    ]
    if left:
        words.append(
            f"Not in the table, for want of the same blocks or of a clean split: {listing(left)}."
        )
    return words
