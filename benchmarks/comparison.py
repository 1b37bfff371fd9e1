"""Makes ``docs/comparison.md`` and its figures from kept comparisons; no figure in it is typed.

``python -m benchmarks.comparison collect BASE`` compares the runs that
``docs/results/comparisons.toml`` names, folders of ``BASE``, and keeps each ``comparison.json`` in
``docs/results/comparisons`` (``--only NAME`` one of them; latencies are this machine's).
``python -m benchmarks.comparison render`` writes the page and the figures from there; a test
renders the page once more and compares.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

import eosin
from eosin.artifacts.comparison import Comparison
from eosin.artifacts.layout import ComparisonFolder
from eosin.artifacts.versioned import read_document
from eosin.core.files import write_bytes, write_text
from eosin.reporting.comparison import (
    INDEPENDENT,
    facts,
    matrix,
    metric_table,
    pair_table,
    range_table,
    ranges_words,
)
from eosin.reporting.rendering import Table
from eosin.reporting.sections.costs import (
    cost_table,
    fronts_words,
    light_words,
    pareto_figures,
    questions_table,
)
from eosin.reporting.significance import cautions, headline, meaning, networks_note
from eosin.reporting.style import RenderedFigure

DOCS = Path(__file__).parents[1] / "docs"
STORE = DOCS / "results" / "comparisons"
#: Enough for a plot with antialiased lines.
_COLOURS = 64


def read_pages() -> dict[str, Any]:
    """Read what is compared, and the prose around it."""
    text = (DOCS / "results" / "comparisons.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def collect(entry: dict[str, Any], base: Path) -> None:
    """Compare the runs of one entry and keep the document."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / entry["name"]
        eosin.compare([base / run for run in entry["runs"]], output=output)
        STORE.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ComparisonFolder(output).document, STORE / f"{entry['name']}.json")


def render() -> str:
    """Return the page as Markdown."""
    pages = read_pages()
    parts = [f"# {pages['title']}", pages["text"].strip()]
    for entry in pages["comparison"]:
        parts += [f"## {entry['title']}", entry["text"].strip(), *_section(entry)]
    return "\n\n".join(part for part in parts if part) + "\n"


def draw() -> dict[Path, bytes]:
    """Return the Pareto plots by where they belong."""
    figures = {}
    for entry in read_pages()["comparison"]:
        for thumbnail in pareto_figures(_read(entry["name"])):
            figures[DOCS / _figure(entry["name"], thumbnail)] = _small(thumbnail.png)
    return figures


def _small(png: bytes) -> bytes:
    """Return the figure in few colours, which is a third of the size."""
    stream = io.BytesIO()
    figure = PillowImage.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS)
    figure.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _read(name: str) -> Comparison:
    return read_document(STORE / f"{name}.json", Comparison)


def _figure(name: str, thumbnail: RenderedFigure) -> str:
    return f"images/comparison-{name}-{thumbnail.name}.png"


def _section(entry: dict[str, Any]) -> list[str]:
    found = _read(entry["name"])
    figures = [
        [f"![{thumbnail.alt}]({_figure(entry['name'], thumbnail)})", thumbnail.caption]
        for thumbnail in pareto_figures(found)
    ]
    ranges = [_markdown(range_table(test)) for test in found.ranges]
    questions = questions_table(found)
    return [
        f"**{headline(found)}**",
        *(f"> **{head}** {words}" for head, words in cautions(found)),
        *meaning(found),
        _markdown(metric_table(found)),
        _markdown(cost_table(found)),
        networks_note(found.runs),
        *chain.from_iterable(figures),
        fronts_words(found),
        "### Each two runs",
        _markdown(matrix(found)),
        _markdown(pair_table(found)),
        INDEPENDENT,
        *(["### Multiple-range tests", *ranges_words(found), *ranges] if ranges else []),
        *(
            ["### Light against large", light_words(found), _markdown(questions)]
            if questions
            else []
        ),
        "### How it was measured",
        "\n".join(f"- {key}: {value}" for key, value in facts(found)),
        entry["after"].strip(),
    ]


def _markdown(table: Table) -> str:
    """Return a table with its caption and its footnotes."""
    rows = [
        [cell.text + (f" ({cell.mark})" if cell.mark else "") for cell in r] for r in table.rows
    ]
    rule = ["---" if place in table.texts else "---:" for place in range(len(table.columns))]
    lines = [f"| {' | '.join(cells)} |" for cells in (list(table.columns), rule, *rows)]
    notes = [f"({mark}) {text}." for mark, text in table.notes]
    return "\n".join([table.caption, "", *lines, *(["", " ".join(notes)] if notes else [])])


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("collect")
    one.add_argument("base", type=Path)
    one.add_argument("--only")
    verbs.add_parser("render")
    given = parser.parse_args()
    if given.verb == "collect":
        for entry in read_pages()["comparison"]:
            if given.only in {None, entry["name"]}:
                collect(entry, given.base)
        return
    write_text(DOCS / "comparison.md", render())
    for path, png in draw().items():
        write_bytes(path, png)


if __name__ == "__main__":
    main()
