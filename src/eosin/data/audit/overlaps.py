"""Finding rows of different parts that share a key, and one pair of rows to show for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

#: A pair of parts; equal for what is shared inside one.
PartPair = tuple[str | None, str | None]


@dataclass(frozen=True)
class Overlap:
    """One key that two parts share, or that one part holds twice.

    Attributes:
        key: What is shared.
        a: Row of the example in the one part.
        b: Row of the example in the other.
        rows: All rows of the other part with this key.
        score: Similarity of the example, 1 where it is the very same.
        how: What distinguishes the two of the example, in words.
    """

    key: str
    a: int
    b: int
    rows: tuple[int, ...]
    score: float = 1.0
    how: str = ""


def find_overlaps(
    entries: Iterable[tuple[int, str]],
    parts: Sequence[str | None],
    order: Sequence[str | None],
    *,
    apart: Sequence[Hashable] | None = None,
    inside: bool,
) -> dict[PartPair, list[Overlap]]:
    """Collect keys that stand in two parts, or twice in one.

    Args:
        entries: Rows and their keys; a row may come with several keys, or with none.
        parts: The part of every row, shape (N,); nothing where a row has none.
        order: All parts in the order in which they are told.
        apart: Only rows that differ in this count as a pair: it keeps what an earlier check has
            told from being told again. By default each row differs from all others.
        inside: Whether pairs inside one part count, too.

    Returns:
        The overlaps of each pair of parts, sorted by key.
    """
    by_key: dict[str, dict[str | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, key in entries:
        by_key[key][parts[row]].append(row)
    shared = (key for key, rows_of in by_key.items() if sum(map(len, rows_of.values())) > 1)
    differ: Sequence[Hashable] = range(len(parts)) if apart is None else apart
    found: dict[PartPair, list[Overlap]] = defaultdict(list)
    for key in sorted(shared):
        rows_of = by_key[key]
        present = [part for part in order if part in rows_of]
        for pair in pair_parts(present, inside=inside):
            example = _example(rows_of[pair[0]], rows_of[pair[1]], differ)
            if example is not None:
                found[pair].append(Overlap(key, *example, tuple(rows_of[pair[1]])))
    return dict(found)


def pair_parts(present: Sequence[str | None], *, inside: bool) -> Iterable[PartPair]:
    """Yield each pair of parts; with ``inside`` also each part with itself."""
    for position, part in enumerate(present):
        if inside:
            yield part, part
        # Rows without a part are on neither side of anything.
        yield from ((part, other) for other in present[position + 1 :] if None not in (part, other))


def _example(
    rows_a: list[int], rows_b: list[int], differ: Sequence[Hashable]
) -> tuple[int, int] | None:
    """Return the first two rows, one of each part, that are apart."""
    first_a, first_b = rows_a[0], rows_b[0]
    for row in rows_b:
        if differ[row] != differ[first_a]:
            return first_a, row
    for row in rows_a:
        if differ[row] != differ[first_b]:
            return row, first_b
    return None
