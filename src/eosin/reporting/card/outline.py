"""The one structure that the card's page and its Markdown are both made from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from eosin.artifacts.model import RESEARCH_USE_ONLY
from eosin.reporting.rendering import SIMULATED, Cell, Table


@dataclass(frozen=True)
class Section:
    """A part of the card; told in the order of its attributes, empty ones left out.

    Attributes:
        title: Its heading.
        words: Paragraphs.
        facts: Pairs of a name and a value.
        points: A list of sentences.
        tables: Tables.
    """

    title: str
    words: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()

    @property
    def anchor(self) -> str:
        """What links to the section call it."""
        return self.title.lower().replace(" ", "-")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.words or self.facts or self.points or self.tables)


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        name: What the model is called.
        description: What was trained on what, in sentences; empty if unknown.
        simulated: Whether it learned from simulated images.
        cautions: What must be known before any number is read, in sentences.
        verdict: How good it is, in one sentence.
        sections: Its parts, none of them empty.
    """

    name: str
    description: str
    simulated: bool
    cautions: tuple[str, ...]
    verdict: str
    sections: tuple[Section, ...]


def to_markdown(card: Card) -> str:
    """Return the card as Markdown, which reads as the page does."""
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
    """Write text so that Markdown shows it as it is: class names are data."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
