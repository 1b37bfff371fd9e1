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
        f"{what}: mean {name} over {quantity(test.n_each, 'value')} each. Rows with a letter in "
        f"common are not told apart. Critical range {test.tukey:.3f} (Tukey), {duncan} (Duncan); "
        f"error variance {test.mean_square:.2g} on {quantity(test.freedom, 'degree')} of freedom."
    )
    return make_table(caption, ("", f"Mean {name}", "Tukey", "Duncan"), rows, texts=(0, 2, 3))


def _ranges_words(comparison: Comparison) -> list[str]:
    """Describe what the multiple-range tests rest on, and the runs without common repeats."""
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
