"""Outline of a page: sections of text, facts, tables, figures and thumbnails."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias, Union

from eosin.artifacts.metrics import Metric, MetricBlock
from eosin.core.text import count
from eosin.metrics.catalogue import MAIN_METRICS, METRIC_NAMES, PATIENT_METRICS
from eosin.reporting.formatting import ABSENT, exception, metric_label, metric_text

#: With more columns than this, a table is wider than a phone.
_PHONE_COLUMNS = 3
#: Name and value of a fact.
Pair: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Cell:
    """Cell of a table.

    Attributes:
        text: Text as shown.
        mark: Letter of its footnote; empty without one.
        href: Link target; empty without one.
        value: The metric or whole number that the text is made of.
    """

    text: str
    mark: str = ""
    href: str = ""
    value: Metric | int | None = None


@dataclass(frozen=True)
class Table:
    """Table; the first column names the rows.

    ``texts`` holds the indices of columns of text, aligned left; all others are numbers. ``look``
    is ``"many"`` for small print, ``"paths"`` for file names. ``name`` is that of its CSV file: no
    other table of a page that is written to a folder has it.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[tuple[str, str], ...] = ()
    texts: frozenset[int] = frozenset({0})
    look: str = ""
    name: str = ""
    kind: ClassVar[str] = "table"

    @property
    def is_wide(self) -> bool:
        """Return True if a phone shows only some of the columns."""
        return len(self.columns) > _PHONE_COLUMNS

    def marked(self, marks: dict[str, str]) -> Table:
        """Return the table with its footnotes moved to ``marks``, letters by text."""
        own = {mark: _mark(text, marks) for mark, text in self.notes}
        rows = tuple(
            tuple(replace(cell, mark=own.get(cell.mark, "")) for cell in row) for row in self.rows
        )
        return replace(self, rows=rows, notes=())


@dataclass(frozen=True)
class RenderedFigure:
    """Rendered figure: PNG, text alternative with its numbers, caption, and SVG.

    Width and height are those on the page; the PNG has twice as many pixels per side.
    """

    name: str
    png: bytes
    alt: str
    caption: str
    width_px: int
    height_px: int
    svg: bytes = b""


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
    """Paragraph, optionally after a bold ``head`` and a coloured ``tag``, before a ``link``.

    ``look`` is ``"small"``, ``"caution"``, ``"lead"``, ``"about"`` or ``"names"``.
    """

    text: str
    look: str = ""
    head: str = ""
    tag: str = ""
    link: Cell | None = None
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Facts:
    """Pairs of name and value; ``look`` is ``"cards"`` for a grid of large figures."""

    items: Sequence[Pair]
    look: str = "facts"
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Points:
    """Bulleted list."""

    items: Sequence[Cell]
    kind: ClassVar[str] = "points"


class Figures:
    """Figures, side by side where there is room; ``None`` is left out."""

    kind: ClassVar[str] = "figures"

    def __init__(self, *figures: RenderedFigure | None) -> None:
        self.items = [figure for figure in figures if figure is not None]


@dataclass(frozen=True)
class Tiles:
    """Gallery of thumbnails; ``look`` is ``"double"`` for two side by side, ``"wide"`` for more."""

    items: Sequence[Tile]
    look: str = ""
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Pairs:
    """Thumbnails two by two, with the description of their match."""

    items: Sequence[tuple[Tile, Tile, str]]
    kind: ClassVar[str] = "pairs"


@dataclass(frozen=True)
class Notes:
    """Footnotes of all tables of a page: letter and text, the targets of their marks."""

    items: Sequence[Pair]
    kind: ClassVar[str] = "notes"


@dataclass(frozen=True)
class Code:
    """Text in a fixed-width font, line by line."""

    text: str
    kind: ClassVar[str] = "code"


#: What a section holds; a string is a paragraph, a section a sub-section.
Block: TypeAlias = Union[
    str, Text, Facts, Points, Table, Figures, Tiles, Pairs, Notes, Code, "Section"
]
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
        self.content = tuple(
            block for block in content if block is not None and _has_content(block)
        )
        self.nav = nav or title
        self.fold = fold
        self.look = look

    def __bool__(self) -> bool:
        return bool(self.content)

    def folded(self) -> Section:
        """Return the section, folded away at first."""
        return self._with(self.content, fold="closed")

    def _with(self, content: Iterable[Block], fold: Fold | None = None) -> Section:
        fold = self.fold if fold is None else fold
        return Section(self.title, *content, nav=self.nav, fold=fold, look=self.look)

    def marked(self, marks: dict[str, str]) -> Section:
        """Return the section with the footnotes of its tables moved to ``marks``, by text."""
        return self._with(
            block.marked(marks) if isinstance(block, Section | Table) else block
            for block in self.content
        )

    def prefixed(self, prefix: str) -> Section:
        """Return the section with ``prefix`` before the file names of its tables and figures."""
        return self._with(prefixed(block, prefix) for block in self.content)

    def blocks(self) -> Iterator[Block]:
        """Yield the content, that of sub-sections included."""
        for block in self.content:
            yield block
            if isinstance(block, Section):
                yield from block.blocks()

    def figures(self) -> Iterator[RenderedFigure]:
        """Yield the figures, those of sub-sections included."""
        for block in self.blocks():
            if isinstance(block, Figures):
                yield from block.items

    def tables(self) -> Iterator[Table]:
        """Yield the tables, those of sub-sections included."""
        for block in self.blocks():
            if isinstance(block, Table):
                yield block


def prefixed(block: Block, prefix: str) -> Block:
    """Return a block with ``prefix`` before the file names of its tables and figures."""
    if isinstance(block, Section):
        return block.prefixed(prefix)
    if isinstance(block, Table):
        return replace(block, name=f"{prefix}{block.name}")
    if isinstance(block, Figures):
        return Figures(*(replace(one, name=f"{prefix}{one.name}") for one in block.items))
    return block


def _has_content(block: Block) -> bool:
    if isinstance(block, Facts | Points | Figures | Tiles | Pairs | Notes):
        return bool(block.items)
    if isinstance(block, Text):
        return bool(block.text or block.head)
    return bool(block.text if isinstance(block, Code) else block)


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
        masthead: Content below the verdict.
        simulated: Whether the images are simulated.
        look: CSS classes of the main part.
    """

    kind: str
    name: str
    tab: str
    sections: Sequence[Section]
    footer: str
    verdict: str = ""
    masthead: Section = Section("")  # noqa: RUF009 - never changed
    simulated: bool = False
    look: str = ""

    def entries(self) -> list[tuple[str, Section]]:
        """Return the sections that are not empty, each with a link target of its own."""
        found: dict[str, Section] = {}
        for section in filter(None, self.sections):
            anchor = re.sub(r"[\W_]+", "-", section.nav.lower()).strip("-")
            while anchor in found:
                anchor += f"-{len(found)}"
            found[anchor] = section
        return list(found.items())


def gather_notes(sections: Iterable[Section]) -> list[Section]:
    """Return sections whose tables share one list of footnotes, the last section."""
    marks: dict[str, str] = {}
    shown = [section.marked(marks) for section in sections]
    return [*shown, Section("", Notes([(mark, text) for text, mark in marks.items()]))]


def select(facts: Iterable[Pair], *names: str) -> list[Pair]:
    """Select facts by name, in the order of the names."""
    shown = dict(facts)
    return [(name, shown[name]) for name in names if name in shown]


def joined(facts: Sequence[Pair]) -> str:
    """Return facts as one text, with their names if there are several."""
    return "; ".join(f"{name}: {value}" if len(facts) > 1 else value for name, value in facts)


def make_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | int | Metric | Cell | None]],
    *,
    texts: Iterable[int] = (0,),
    look: str = "",
    name: str = "",
) -> Table | None:
    """Build a table; ``None`` without rows.

    Whole numbers get thousands separators, metrics their interval and a letter for each distinct
    exception, what is ``None`` a dash.
    """
    marks: dict[str, str] = {}
    cells = tuple(tuple(_cell(value, marks) for value in row) for row in rows)
    notes = tuple((mark, reason) for reason, mark in marks.items())
    if not cells:
        return None
    return Table(caption, tuple(columns), cells, notes, frozenset(texts), look, name)


def _cell(value: str | int | Metric | Cell | None, marks: dict[str, str]) -> Cell:
    if isinstance(value, Cell):
        # The text of a metric in another form: its mark is the reason.
        note = exception(value.mark)
        return replace(value, mark=_mark(note, marks) if note else "")
    if isinstance(value, Metric):
        note = exception(value.reason)
        return Cell(metric_text(value), _mark(note, marks) if note else "", value=value)
    if isinstance(value, int):
        return Cell(count(value), value=value)
    return Cell(ABSENT if value is None else value)


def _mark(reason: str, marks: dict[str, str]) -> str:
    letters, n = string.ascii_lowercase, len(marks)
    next_mark = (letters[n // len(letters) - 1] if n >= len(letters) else "") + letters[n % 26]
    return marks.setdefault(reason, next_mark)


def own_names(blocks: Iterable[MetricBlock]) -> list[str]:
    """Return the names of users' own metrics in some blocks, each once."""
    names = dict.fromkeys(name for block in blocks for name in block)
    return [name for name in names if name not in METRIC_NAMES and name not in PATIENT_METRICS]


def headline_table(
    caption: str, blocks: Mapping[str, MetricBlock], *, name: str = ""
) -> Table | None:
    """Build the table of all metrics but averages over classes, one column per block."""
    known = {name for block in blocks.values() for name in block}
    names = [*(name for name in MAIN_METRICS if name in known), *own_names(blocks.values())]
    rows = [(metric_label(n), *(block.get(n) for block in blocks.values())) for n in names]
    return make_table(caption, ("Metric", *blocks), rows, name=name)


def block_table(
    caption: str,
    first: str,
    blocks: Mapping[str, MetricBlock],
    wanted: Sequence[str],
    sizes: Mapping[str, int] | None = None,
    *,
    name: str = "",
) -> Table | None:
    """Build a table with one row per block, e.g. per magnification; ``None`` without blocks.

    ``first`` is the heading of the first column. Of the ``wanted`` metrics only those of some block
    are shown; ``sizes`` are the images of each row, if known.
    """
    names = [name for name in wanted if any(name in block for block in blocks.values())]
    rows = [
        (key, *([sizes.get(key)] if sizes else []), *(block.get(name) for name in names))
        for key, block in blocks.items()
    ]
    heads = [*(["Images"] if sizes else []), *(metric_label(name, short=True) for name in names)]
    return make_table(caption, (first, *heads), rows, look="many", name=name)
