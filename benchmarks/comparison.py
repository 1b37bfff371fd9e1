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
from eosin.reporting.outline import RenderedFigure
from eosin.reporting.pages import comparison_page
from eosin.reporting.rendering import section_to_markdown

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
    """Return the figures by where they belong."""
    figures = {}
    for entry in read_pages()["comparison"]:
        page = comparison_page(_read(entry["name"]), entry["name"], STORE)
        for figure in chain.from_iterable(section.figures() for section in page.sections):
            figures[DOCS / _figure(entry["name"], figure)] = _small(figure.png)
    return figures


def _small(png: bytes) -> bytes:
    """Return the figure in few colours, which is a third of the size."""
    stream = io.BytesIO()
    figure = PillowImage.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS)
    figure.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _read(name: str) -> Comparison:
    return read_document(STORE / f"{name}.json", Comparison)


def _figure(name: str, figure: RenderedFigure) -> str:
    return f"images/comparison-{name}-{figure.name}.png"


def _section(entry: dict[str, Any]) -> list[str]:
    name = entry["name"]
    page = comparison_page(_read(name), name, STORE)
    sections = (
        section_to_markdown(section, lambda figure: _figure(name, figure), depth=3)
        for section in page.sections
        if section
    )
    return [f"**{page.verdict}**", *chain.from_iterable(sections), entry["after"].strip()]


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
