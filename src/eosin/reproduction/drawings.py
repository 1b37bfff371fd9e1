"""Drawings of a paper's figures, from the runs of a reproduction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from eosin.papers import Item
from eosin.reporting.outline import Block, RenderedFigure
from eosin.reproduction.values import Outcome, Outcomes

#: Function from an item and the runs of its experiments to figures and other blocks.
Drawing = Callable[[Item, Sequence[Outcome]], tuple[list[RenderedFigure], list[Block]]]

DRAWINGS: dict[str, Drawing] = {}


def draw(item: Item, outcomes: Outcomes) -> tuple[list[RenderedFigure], list[Block]]:
    """Return the figures and tables that an item asks for."""
    runs = [o for (name, _), o in outcomes.items() if name in item.experiments and not o.failure]
    figures: list[RenderedFigure] = []
    blocks: list[Block] = []
    for name in item.draw:
        if name in DRAWINGS:
            more, other = DRAWINGS[name](item, runs)
            figures += more
            blocks += other
    named = [
        replace(figure, name=f"{item.id.replace('.', '-')}-{number}-{figure.name}")
        for number, figure in enumerate(figures, start=1)
    ]
    return named, blocks
