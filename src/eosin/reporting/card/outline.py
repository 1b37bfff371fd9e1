"""The one structure that the card's page and its Markdown are both made from."""

from __future__ import annotations

from dataclasses import dataclass

from eosin.reporting.tables import Table


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
