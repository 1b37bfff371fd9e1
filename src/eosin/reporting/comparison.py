"""HTML page of a comparison of runs, made from ``comparison.json`` alone."""

from __future__ import annotations

from pathlib import Path

from eosin.artifacts.comparison import ComparedPair, Comparison, IndependentTest, RangeTest
from eosin.artifacts.layout import ComparisonFolder
from eosin.artifacts.versioned import read_document
from eosin.core.text import count, listing, quantity
from eosin.reporting.formatting import ABSENT, metric_label, signed
from eosin.reporting.rendering import Cell, Footnotes, Table, render, text_table, write_page
from eosin.reporting.sections.costs import (
    cost_table,
    fronts_words,
    light_words,
    pareto_figures,
    questions_table,
)
from eosin.reporting.significance import (
    OUTCOMES,
    cautions,
    difference_text,
    headline,
    label,
    meaning,
    networks_note,
    outcome,
    p_text,
    ranked,
    turned,
    unit,
    units,
)

#: Metrics in the table of runs, beside the ranking metric.
_SHOWN = ("auc", "accuracy", "recall", "specificity", "f1")
#: Number of pairs above which the table is folded away.
_MOST_PAIRS = 10


INDEPENDENT = (
    "McNemar's test (mid-p) and DeLong's take every image as independent of every other. Where a "
    "patient has several images they claim too much: they stand here for comparison with other "
    "work, and the words above follow the intervals and tests of whole groups. All p-values are "
    "corrected by Holm's method for the number of pairs, each test by itself."
)


def write_comparison_page(folder: Path) -> Path:
    """Write ``comparison.html`` from ``comparison.json`` in an output folder of ``compare``.

    Raises:
        ArtifactError: The folder holds no comparison.
        OutputError: The page cannot be written.
    """
    place = ComparisonFolder(Path(folder))
    comparison = read_document(place.document, Comparison)
    html = render(
        "comparison.html.j2",
        name=place.root.resolve().name,
        n_runs=len(comparison.runs),
        simulated=any(run.simulated for run in comparison.runs),
        headline=headline(comparison),
        cautions=cautions(comparison),
        meaning=meaning(comparison),
        metric_table=metric_table(comparison),
        cost_table=cost_table(comparison),
        networks_note=networks_note(comparison.runs),
        fronts=fronts_words(comparison),
        figures=pareto_figures(comparison),
        matrix=matrix(comparison),
        pair_table=pair_table(comparison),
        is_long=len(comparison.pairs) > _MOST_PAIRS,
        independent=INDEPENDENT,
        ranges=[range_table(test) for test in comparison.ranges],
        ranges_words=ranges_words(comparison),
        questions=questions_table(comparison),
        light_words=light_words(comparison),
        facts=facts(comparison),
    )
    return write_page(place.page, html)


def metric_table(comparison: Comparison) -> Table:
    """Build the table of metrics on the common images, one row per run."""
    notes = Footnotes()
    names = list(dict.fromkeys([comparison.metric, *_SHOWN]))
    rows = [
        (
            Cell(run.name),
            Cell(run.protocol),
            *(notes.cell(run.image.get(name)) for name in names),
        )
        for run in ranked(comparison)
    ]
    caption = (
        f"Metrics of the most probable class on the {units(comparison)} in common, "
        "with 95 % intervals."
    )
    heads = [metric_label(name, short=True) for name in names]
    return Table(caption, ("Run", "Split", *heads), tuple(rows), notes.notes, frozenset({0, 1}))


def facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the facts of the comparison as pairs of name and value."""
    each = unit(comparison)
    found = [
        ("Images in common", units(comparison)),
        ("Ranked by", metric_label(comparison.metric)),
        (
            "Intervals",
            f"95 %, from {count(comparison.resamples)} resamples of whole {each}s, the same for "
            f"all runs; seed {comparison.seed}",
        ),
        ("Time for an image", _timing(comparison)),
        ("Trained on", listing(dict.fromkeys(r.device for r in comparison.runs if r.device))),
        ("Made", f"Eosin {comparison.eosin}, {comparison.created}"),
    ]
    if comparison.matched_by_content:
        moved = f"{quantity(comparison.matched_by_content, 'image')} at another path in some run"
        found.insert(1, ("Matched by content", moved))
    found += [(f"Preprocessing of {run.name}", run.preprocessing) for run in comparison.runs]
    return found


def _timing(comparison: Comparison) -> str:
    timed = [run.deployed.latency for run in comparison.runs if run.deployed.latency]
    if not timed:
        return "not measured: no run has its model"
    images = " and ".join(sorted({f"{one.images} images" for one in timed}))
    return (
        f"{comparison.platform}, {quantity(comparison.threads, 'thread')}; "
        f"{len(timed[0].rounds)} rounds, the runs in turn; {images}"
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
    """Build the table of all tests, one row per pair."""
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
