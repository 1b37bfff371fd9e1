"""Structure of the model card, the source of both its page and its Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from eosin.artifacts.model import RESEARCH_USE_ONLY
from eosin.reporting.rendering import SIMULATED, Cell, Table


@dataclass(frozen=True)
class Section:
    """Section of the card: paragraphs, facts, sentences and tables, in this order if not empty."""

    title: str
    words: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()

    @property
    def anchor(self) -> str:
        """Return the link target of the section."""
        return self.title.lower().replace(" ", "-")

    @property
    def is_empty(self) -> bool:
        """Return True if the section has no content."""
        return not (self.words or self.facts or self.points or self.tables)


@dataclass(frozen=True)
class Card:
    """Model card.

    ``cautions`` are shown before any number; ``verdict`` is one sentence; no section is empty.
    """

    name: str
    description: str
    simulated: bool
    cautions: tuple[str, ...]
    verdict: str
    sections: tuple[Section, ...]


def to_markdown(card: Card) -> str:
    """Return the card as Markdown, with the same content as the page."""
    lines = [f"# {_plain(card.name)}: model card", f"> **{RESEARCH_USE_ONLY}**"]
    lines += [f"> **{SIMULATED}**"] if card.simulated else []
    lines += [f"**{_plain(text)}**" for text in card.cautions]
    lines += [_plain(text) for text in (card.description, card.verdict) if text]
    for section in card.sections:
        lines += _section(section)
    return "\n\n".join(lines) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield f"## {_plain(section.title)}"
    yield from map(_plain, section.words)
    if section.facts:
        yield "\n".join(f"- **{_plain(key)}**: {_plain(value)}" for key, value in section.facts)
    if section.points:
        yield "\n".join(f"- {_plain(text)}" for text in section.points)
    for table in section.tables:
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield f"{_plain(table.caption)}"
    rules = [":--" if index in table.texts else "--:" for index in range(len(table.columns))]
    rows = [[_plain(name) for name in table.columns], rules]
    rows += [[_cell(cell) for cell in row] for row in table.rows]
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    if table.notes:
        yield "\n".join(f"- \\[{mark}\\] {_plain(reason)}" for mark, reason in table.notes)


def _cell(cell: Cell) -> str:
    return f"{_plain(cell.text)} \\[{cell.mark}\\]" if cell.mark else _plain(cell.text)


def _plain(text: str) -> str:
    """Escape text for Markdown: class names are data."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
