"""Renderers of an outline: HTML page and Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from eosin.artifacts.metrics import Metric
from eosin.artifacts.model import RESEARCH_USE_ONLY
from eosin.core.files import write_bytes, write_text
from eosin.reporting.formatting import ABSENT, breakable, data_uri
from eosin.reporting.outline import (
    Block,
    Cell,
    Code,
    Facts,
    Figures,
    Notes,
    Page,
    Points,
    RenderedFigure,
    Section,
    Table,
    Text,
)

#: Caution above every number that was measured on simulated images.
SIMULATED = (
    "Simulated data. These images were computed, not taken from patients: the figures show that the"
    " software works and have no clinical meaning."
)
#: Where Markdown finds a figure's file.
Link = Callable[[RenderedFigure], str]


def to_html(page: Page, *, with_files: bool = False) -> str:
    """Render a page; every value is escaped, since class names and paths are user input.

    ``with_files`` adds links to the files that :func:`write_page` writes.
    """
    environment = Environment(
        loader=PackageLoader("eosin.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    environment.filters["figure_uri"] = lambda figure: data_uri(figure.png, "png")
    has_notes = any(isinstance(b, Notes) for section in page.sections for b in section.blocks())
    environment.globals |= {"has_files": with_files, "has_notes": has_notes}
    css = resources.files("eosin.reporting").joinpath("templates/style.css")
    banners = {"": RESEARCH_USE_ONLY, **({"simulated": SIMULATED} if page.simulated else {})}
    text = environment.get_template("page.html.j2").render(
        page=page,
        # The style sheet is this package's own text and must not be escaped.
        style=Markup(css.read_text(encoding="utf-8")),  # noqa: S704
        banners={look: text.partition(".") for look, text in banners.items()},
        research_use_only=RESEARCH_USE_ONLY,
    )
    # A line never ends between a number and its per cent sign.
    return re.sub(r"(?<=\d) %", "\u00a0%", text)


def write_page(path: Path, page: Page) -> Path:
    """Write a page as self-contained HTML, and its figures and tables as files beside it.

    Every figure is ``figures/<name>.png`` and ``.svg``, every table ``tables/<name>.csv``; each
    file is written atomically.

    Raises:
        OutputError: The page cannot be written.
    """
    for section in page.sections:
        for figure in section.figures():
            for suffix, picture in (("png", figure.png), ("svg", figure.svg)):
                file = path.parent / "figures" / f"{figure.name}.{suffix}"
                write_bytes(file, picture, durable=False)
        for table in section.tables():
            stream = io.StringIO()
            csv.writer(stream, lineterminator="\n").writerows(_plain_rows(table))
            file = path.parent / "tables" / f"{table.name}.csv"
            write_bytes(file, stream.getvalue().encode(), durable=False)
    write_text(path, to_html(page, with_files=True))
    return path


def _plain_rows(table: Table) -> list[list[str]]:
    """Return heading and rows for a file: a metric as value, low and high, a gap as nothing."""
    places = range(len(table.columns))
    ends = [any(isinstance(row[n].value, Metric) for row in table.rows) for n in places]
    head = [
        name
        for column, has_ends in zip(table.columns, ends, strict=True)
        for name in ((column, f"{column} low", f"{column} high") if has_ends else (column,))
    ]
    rows = ([text for n in places for text in _plain_cell(row[n], ends[n])] for row in table.rows)
    return [head, *rows]


def _plain_cell(cell: Cell, has_ends: bool) -> list[str]:
    value = cell.value
    if isinstance(value, Metric):
        ends = (value.value, value.low, value.high)
        return ["" if end is None else f"{end:.6g}" for end in ends]
    text = str(value) if value is not None else "" if cell.text == ABSENT else cell.text
    return [text, "", ""] if has_ends else [text]


def to_markdown(page: Page) -> str:
    """Render a page without figures as Markdown, with the same text as the HTML page."""
    lines = [f"# {_plain(page.name)}: {page.kind.partition(' · ')[0].lower()}"]
    lines += [f"> **{RESEARCH_USE_ONLY}**", *([f"> **{SIMULATED}**"] if page.simulated else [])]
    for _, section in page.entries():
        lines += section_to_markdown(section)
    return "\n\n".join(lines) + "\n"


def section_to_markdown(section: Section, link: Link | None = None, depth: int = 2) -> list[str]:
    """Render a section as paragraphs of Markdown; figures only with a ``link``, no thumbnails."""
    lines = [f"{'#' * depth} {_plain(section.title)}"] if section.title else []
    for block in section.content:
        if isinstance(block, Section):
            lines += section_to_markdown(block, link, depth + 1)
        elif isinstance(block, Table):
            lines += _table(block)
        elif isinstance(block, Figures) and link is not None:
            for figure in block.items:
                lines += [f"![{figure.alt}]({link(figure)})", _plain(figure.caption)]
        else:
            lines += _block(block)
    return lines


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Facts):
        yield "\n".join(f"- **{_plain(key)}**: {_plain(value)}" for key, value in block.items)
    elif isinstance(block, Points):
        yield "\n".join(f"- {_cell(cell)}" for cell in block.items)
    elif isinstance(block, Notes):
        yield "\n".join(f"- \\[{mark}\\] {_plain(text)}" for mark, text in block.items)
    elif isinstance(block, Code):
        yield f"```\n{block.text}\n```"
    elif isinstance(block, Text):
        head = f"**{_plain(block.head)}**" if block.head else ""
        link = _cell(block.link) if block.link else ""
        yield " ".join(filter(None, (head, _plain(block.text), link)))
    elif isinstance(block, str):
        yield _plain(block)


def _table(table: Table) -> Iterator[str]:
    yield _plain(table.caption)
    rules = [":--" if index in table.texts else "--:" for index in range(len(table.columns))]
    rows = [[_plain(name) for name in table.columns], rules]
    rows += [[_cell(cell) for cell in row] for row in table.rows]
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    if table.notes:
        yield "\n".join(f"- \\[{mark}\\] {_plain(reason)}" for mark, reason in table.notes)


def _cell(cell: Cell) -> str:
    text = f"[{_plain(cell.text)}]({cell.href})" if cell.href else _plain(cell.text)
    return f"{text} \\[{cell.mark}\\]" if cell.mark else text


def _plain(text: str) -> str:
    """Escape text for Markdown: class names are data."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
