"""The page that puts several runs side by side, made from ``comparison.json`` alone."""

from __future__ import annotations

from pathlib import Path

from eosin.artifacts.comparison import Comparison
from eosin.artifacts.layout import ComparisonFolder
from eosin.artifacts.versioned import read_document
from eosin.reporting.costs import cost_table, fronts_words, light_words, questions_table
from eosin.reporting.figures.pareto import pareto_figures
from eosin.reporting.formatting import count, listing, metric_label, quantity
from eosin.reporting.noise import (
    cautions,
    headline,
    meaning,
    networks_note,
    ranked,
    unit,
    units,
)
from eosin.reporting.pairs import INDEPENDENT, matrix, pair_table, range_table, ranges_words
from eosin.reporting.rendering import render, write_page
from eosin.reporting.tables import Cell, Footnotes, Table

#: What the table of runs shows, beside the metric that ranks them.
_SHOWN = ("auc", "accuracy", "recall", "specificity", "f1")
#: More pairs than this are folded away.
_MOST_PAIRS = 10


def write_comparison_page(folder: Path) -> Path:
    """Write ``comparison.html`` from ``comparison.json``.

    Args:
        folder: What ``compare`` made.

    Raises:
        ArtifactError: It holds no comparison.
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
    """Build the table of what the runs reach on the images in common."""
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
    """Return the circumstances."""
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
