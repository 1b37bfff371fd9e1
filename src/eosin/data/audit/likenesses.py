"""Rows of different parts that show the same, by way of each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from eosin.data.audit.components import Components
from eosin.data.audit.overlaps import Overlap, PartPair, pair_parts

_INDIRECT = "by way of other images"


class Link(NamedTuple):
    """Two rows that show the same; see :class:`~eosin.data.audit.album.Match`."""

    a: int
    b: int
    score: float
    how: str


def find_likenesses(
    links: Iterable[Link],
    parts: Sequence[str | None],
    order: Sequence[str | None],
    *,
    differ: Callable[[int, int], bool],
) -> dict[PartPair, list[Overlap]]:
    """Collect what shows the same in two parts, or twice in one.

    Args:
        links: Between rows.
        parts: The part of every row, shape (N,); nothing where a row has none.
        order: All parts in the order in which they are told.
        differ: Whether two rows are to be told of.

    Returns:
        The overlaps of each pair of parts, the most alike first. What three rows show is one of
        them, with the pair that is most alike.
    """
    found: dict[PartPair, list[Overlap]] = defaultdict(list)
    for rows, own in _group(sorted(links, key=lambda link: -link.score), len(parts)):
        rows_of: dict[str | None, list[int]] = defaultdict(list)
        for row in rows:
            rows_of[parts[row]].append(row)
        present = [part for part in order if part in rows_of]
        for pair in pair_parts(present, inside=True):
            best = _best(rows_of[pair[0]], rows_of[pair[1]], own, differ)
            if best is not None:
                rows_b = tuple(rows_of[pair[1]])
                found[pair].append(Overlap("", best.a, best.b, rows_b, best.score, best.how))
    return {pair: sorted(own, key=lambda o: (-o.score, o.a, o.b)) for pair, own in found.items()}


def _group(links: Sequence[Link], size: int) -> Iterator[tuple[list[int], list[Link]]]:
    """Yield rows that belong together, and the links among them, in the order of the links."""
    together = Components(size)
    for link in links:
        together.join(link.a, link.b)
    own: dict[int, list[Link]] = defaultdict(list)
    for link in links:
        own[together.root(link.a)].append(link)
    for among in own.values():
        yield sorted({row for link in among for row in (link.a, link.b)}), among


def _best(
    rows_a: list[int], rows_b: list[int], links: list[Link], differ: Callable[[int, int], bool]
) -> Link | None:
    """Return the best link between two parts; where a third image links them, the first pair."""
    in_a, in_b = set(rows_a), set(rows_b)
    for link in links:
        for a, b in ((link.a, link.b), (link.b, link.a)):
            if a in in_a and b in in_b and differ(a, b):
                return link._replace(a=a, b=b)
    indirect = ((a, b) for a, b in product(rows_a, rows_b) if a != b and differ(a, b))
    pair = next(indirect, None)
    return None if pair is None else Link(*pair, links[-1].score, _INDIRECT)
