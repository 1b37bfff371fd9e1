"""Outline of a page: sections of text, facts, tables, figures and thumbnails."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias, Union

from eosin.artifacts.metrics import Metric, MetricBlock
from eosin.core.text import count
from eosin.metrics.catalogue import METRIC_NAMES
from eosin.reporting.formatting import ABSENT, metric_label, metric_text

#: Name and value of a fact.
Pair: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Cell:
    """Cell of a table: text, letter of its footnote and link target, empty without one."""

    text: str
    mark: str = ""
    href: str = ""


@dataclass(frozen=True)
class Table:
    """Table; the first column names the rows.

    ``texts`` holds the indices of columns of text, aligned left; all others are numbers. ``look``
    is ``"many"`` for small print, ``"paths"`` for file names.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[tuple[str, str], ...] = ()
    texts: frozenset[int] = frozenset({0})
    look: str = ""
    kind: ClassVar[str] = "table"

    @property
    def has_gaps(self) -> bool:
        """Return True if a cell is empty."""
        return any(cell.text == ABSENT for row in self.rows for cell in row)


@dataclass(frozen=True)
class RenderedFigure:
    """Rendered figure: PNG, text alternative with its numbers, and caption.

    Width and height are those on the page; the PNG has twice as many pixels per side.
    """

    name: str
    png: bytes
    alt: str
    caption: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Tile:
    """Thumbnail as a ``data:`` URI, with its text alternative, title and further lines."""

    src: str
    width: int
    height: int
    alt: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """Paragraph, optionally after a bold ``head`` and a coloured ``tag``.

    ``look`` is ``"small"``, ``"caution"``, ``"lead"``, ``"about"`` or ``"names"``.
    """

    text: str
    look: str = ""
    head: str = ""
    tag: str = ""
    kind: ClassVar[str] = "text"

    def __bool__(self) -> bool:
        return bool(self.text or self.head)


@dataclass(frozen=True)
class _Several:
    """Block of several entries of one kind; false without any."""

    items: Sequence[object]

    def __bool__(self) -> bool:
        return bool(self.items)


@dataclass(frozen=True)
class Facts(_Several):
    """Pairs of name and value; ``look`` is ``"cards"`` for a grid of large figures."""

    items: Sequence[Pair]
    look: str = "facts"
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Points(_Several):
    """Bulleted list."""

    items: Sequence[Cell]
    kind: ClassVar[str] = "points"


@dataclass(frozen=True)
class Figures(_Several):
    """Figures, side by side where there is room; those that could not be drawn are left out."""

    items: Sequence[RenderedFigure]
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Tiles(_Several):
    """Gallery of thumbnails."""

    items: Sequence[Tile]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Pairs(_Several):
    """Thumbnails two by two, with the description of their match."""

    items: Sequence[tuple[Tile, Tile, str]]
    kind: ClassVar[str] = "pairs"


@dataclass(frozen=True)
class Code:
    """Text in a fixed-width font, line by line."""

    text: str
    kind: ClassVar[str] = "code"

    def __bool__(self) -> bool:
        return bool(self.text)


#: What a section holds; a string is a paragraph, a section a sub-section.
Block: TypeAlias = Union[str, Text, Facts, Points, Table, Figures, Tiles, Pairs, Code, "Section"]
Fold: TypeAlias = Literal["", "closed", "open"]


class Section:
    """Section: a title, empty for none, and content in order; empty content is left out.

    Attributes:
        title: Heading.
        content: Blocks.
        nav: Name in the list of contents.
        fold: Whether a reader can fold it away, and its state at first.
        look: CSS classes of a sub-section without a title.
    """

    kind: ClassVar[str] = "section"

    def __init__(
        self, title: str, *content: Block | None, nav: str = "", fold: Fold = "", look: str = ""
    ) -> None:
        self.title = title
        self.content = tuple(block for block in content if block)
        self.nav = nav or title
        self.fold = fold
        self.look = look

    def __bool__(self) -> bool:
        return bool(self.content)

    def figures(self) -> Iterator[RenderedFigure]:
        """Yield the figures, those of sub-sections included."""
        for block in self.content:
            if isinstance(block, Section):
                yield from block.figures()
            elif isinstance(block, Figures):
                yield from block.items


@dataclass(frozen=True)
class Page:
    """Page: masthead, sections and footer.

    Attributes:
        kind: Line above the name.
        name: Title of the page.
        tab: Title of the browser's tab.
        sections: Sections; empty ones are not shown.
        footer: Source of the page.
        verdict: Result in a sentence.
        masthead: Blocks below the verdict.
        simulated: Whether the images are simulated.
        look: CSS classes of the main part.
    """

    kind: str
    name: str
    tab: str
    sections: Sequence[Section]
    footer: str
    verdict: str = ""
    masthead: Sequence[Block] = ()
    simulated: bool = False
    look: str = ""

    def entries(self) -> list[tuple[str, Section]]:
        """Return the sections that are not empty, each with a link target of its own."""
        found: dict[str, Section] = {}
        for section in filter(None, self.sections):
            anchor = re.sub(r"[\W_]+", "-", section.nav.lower()).strip("-")
            found[f"{anchor}-{len(found)}" if anchor in found else anchor] = section
        return list(found.items())


def select(facts: Iterable[Pair], *names: str) -> list[Pair]:
    """Select facts by name, in the order of the names."""
    shown = dict(facts)
    return [(name, shown[name]) for name in names if name in shown]


def joined(facts: Sequence[Pair]) -> str:
    """Return facts as one text, with their names if there are several."""
    return "; ".join(f"{name}: {value}" if len(facts) > 1 else value for name, value in facts)


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
    look: str = "",
) -> Table | None:
    """Build a table of plain cells, whole numbers with thousands separators; ``None`` if empty."""
    cells = tuple(
        tuple(Cell(count(cell) if isinstance(cell, int) else cell) for cell in row) for row in rows
    )
    return Table(caption, tuple(columns), cells, (), frozenset(texts), look) if cells else None


def headline_table(caption: str, blocks: Mapping[str, MetricBlock]) -> Table:
    """Build the table of all metrics, one column per block, by heading."""
    notes = Footnotes()
    known = dict.fromkeys(name for block in blocks.values() for name in block)
    names = [name for name in dict.fromkeys((*METRIC_NAMES, *known)) if name in known]
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
    heads = ["Images"] if sizes else []
    columns = (first, *heads, *(metric_label(name, short=True) for name in names))
    return Table(caption, columns, tuple(rows), notes.notes, look="many")
