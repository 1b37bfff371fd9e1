"""Multiple-range tests of runs, networks and preprocessing."""

from __future__ import annotations

from eosin.artifacts.comparison import Comparison, RangeTest
from eosin.core.text import listing, quantity
from eosin.reporting.formatting import metric_label
from eosin.reporting.outline import Section, Table, make_table
from eosin.reporting.sections.compared import unit


def section(comparison: Comparison) -> Section:
    """Return the section of the page; empty without common repeats."""
    tables = map(_range_table, comparison.ranges)
    return Section(
        "Multiple-range tests", *_ranges_words(comparison), *tables, nav="Multiple ranges"
    )


def _range_table(test: RangeTest) -> Table | None:
    rows = [[row.name, f"{row.mean:.3f}", row.tukey, row.duncan] for row in test.rows]
    what = {"run": "Runs", "model": "Networks", "preprocessing": "Preprocessing"}[test.factor]
    name = metric_label(test.metric, short=True)
    duncan = f"{test.duncan[0]:.3f}"
    duncan += f" to {test.duncan[-1]:.3f}" if len(test.duncan) > 1 else ""
    caption = (
        f"{what}: mean {name} over {quantity(test.n_each, 'value')} each. Rows with a common letter"
        f" do not differ significantly. Critical range {test.tukey:.3f} (Tukey), {duncan} (Duncan);"
        f" error variance {test.mean_square:.2g} on {quantity(test.freedom, 'degree')} of freedom."
    )
    heads = ("", f"Mean {name}", "Tukey", "Duncan")
    file = f"ranges_{test.factor}"
    return make_table(caption, heads, rows, texts=(0, 2, 3), name=file)


def _ranges_words(comparison: Comparison) -> list[str]:
    """Describe the multiple-range tests, and name the runs without common repeats."""
    if not comparison.ranges:
        return []
    test = comparison.ranges[0]
    left = [run.name for run in comparison.runs if run.name not in {row.name for row in test.rows}]
    words = [
        f"Replicates: the {quantity(len(test.blocks), 'common block')} "
        f"({listing(test.blocks) if len(test.blocks) <= 6 else test.blocks[0] + ' …'}), with the "
        "same images in each run; differences between blocks are removed. Tukey's test controls "
        "the family-wise error rate at 5 %; Duncan's test is more liberal for neighbouring means. "
        "The mean over blocks differs from the value on all images together, which also requires "
        "comparable probabilities of the folds' networks.",
        "The training sets of folds overlap, so their values are less independent than both tests "
        f"assume: where tests and intervals by {unit(comparison)} disagree, follow the intervals.",
    ]
    if left:
        words.append(f"Not in the table (other blocks, or train-test overlap): {listing(left)}.")
    return words
