"""Templates, tables and footnotes of the pages, and the files they are written to."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from eosin.artifacts.metrics import Metric, MetricBlock
from eosin.artifacts.model import RESEARCH_USE_ONLY
from eosin.core.files import write_bytes, write_text
from eosin.core.text import count
from eosin.metrics.catalogue import METRIC_NAMES
from eosin.reporting.formatting import ABSENT, breakable, metric_label, metric_text
from eosin.reporting.style import RenderedFigure
from eosin.reporting.thumbnails import data_uri

#: Caution above every number that was measured on simulated images.
SIMULATED = (
    "Simulated data. These images were computed, not taken from patients: the numbers show that"
    " the software works and say nothing about any disease."
)


def render(template: str, **context: Any) -> str:
    """Render a template; every value is escaped, since class names and paths are user input."""
    environment = Environment(
        loader=PackageLoader("eosin.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["research_use_only"] = RESEARCH_USE_ONLY
    environment.globals["simulated_data"] = SIMULATED
    environment.filters["breakable"] = breakable
    environment.filters["figure_uri"] = lambda thumbnail: data_uri(thumbnail.png, "png")
    css = resources.files("eosin.reporting").joinpath("templates/style.css")
    # The style sheet is this package's own text and must not be escaped.
    style = Markup(css.read_text(encoding="utf-8"))  # noqa: S704
    return environment.get_template(template).render(style=style, **context)


def write_page(path: Path, html: str) -> Path:
    """Write a page atomically."""
    write_text(path, html)
    return path


def write_figures(folder: Path, pictures: list[RenderedFigure]) -> None:
    """Write each figure as ``<name>.png``, atomically."""
    for thumbnail in pictures:
        write_bytes(folder / f"{thumbnail.name}.png", thumbnail.png)


@dataclass(frozen=True)
class Cell:
    """Cell of a table: text, letter of its footnote and link target, empty without one."""

    text: str
    mark: str = ""
    href: str = ""


@dataclass(frozen=True)
class Table:
    """Table of a page; the first column names the rows.

    ``texts`` holds the indices of columns of text, aligned left; all others are numbers.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[tuple[str, str], ...] = ()
    texts: frozenset[int] = frozenset({0})

    @property
    def has_gaps(self) -> bool:
        """Return True if a cell is empty."""
        return any(cell.text == ABSENT for row in self.rows for cell in row)


@dataclass
class Footnotes:
    """Footnotes of a table: one letter per distinct reason."""

    marks: dict[str, str] = field(default_factory=dict)

    def cell(self, metric: Metric | None) -> Cell:
        """Return the cell of a metric, with the letter of its footnote."""
        if metric is None or not metric.reason:
            return Cell(metric_text(metric))
        return Cell(metric_text(metric), self.marks.setdefault(metric.reason, self._next()))

    def _next(self) -> str:
        letters, position = string.ascii_lowercase, len(self.marks)
        mark = letters[position % len(letters)]
        return mark if position < len(letters) else letters[position // len(letters) - 1] + mark

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """Return all footnotes in order."""
        return tuple((mark, reason) for reason, mark in self.marks.items())


def text_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | int]],
    *,
    texts: Iterable[int] = (0,),
) -> Table:
    """Build a table of plain cells; whole numbers get a thousands separator."""
    return Table(
        caption,
        tuple(columns),
        tuple(
            tuple(Cell(count(cell) if isinstance(cell, int) else cell) for cell in row)
            for row in rows
        ),
        texts=frozenset(texts),
    )


def headline_table(caption: str, blocks: Mapping[str, MetricBlock]) -> Table:
    """Build the table of all metrics, one column per block, by heading."""
    notes = Footnotes()
    further = [name for block in blocks.values() for name in block if name not in METRIC_NAMES]
    names = [
        name
        for name in (*METRIC_NAMES, *dict.fromkeys(further))
        if any(name in block for block in blocks.values())
    ]
    rows = tuple(
        (Cell(metric_label(name)), *(notes.cell(block.get(name)) for block in blocks.values()))
        for name in names
    )
    return Table(caption, ("Metric", *blocks), rows, notes.notes)


def block_table(
    caption: str,
    first: str,
    blocks: Mapping[str, MetricBlock],
    wanted: Sequence[str],
    sizes: Mapping[str, int] | None = None,
) -> Table | None:
    """Build a table with one row per block, e.g. per magnification; ``None`` without blocks.

    ``first`` is the heading of the first column. Of the ``wanted`` metrics only those of some block
    are shown; ``sizes`` are the images of each row, if known.
    """
    if not blocks:
        return None
    notes = Footnotes()
    names = [name for name in wanted if any(name in block for block in blocks.values())]
    rows = []
    for key, block in blocks.items():
        size = [Cell(count(sizes[key]) if key in sizes else ABSENT)] if sizes else []
        rows.append((Cell(key), *size, *(notes.cell(block.get(name)) for name in names)))
    columns = (
        first,
        *(("Images",) if sizes else ()),
        *(metric_label(name, short=True) for name in names),
    )
    return Table(caption, columns, tuple(rows), notes.notes)
