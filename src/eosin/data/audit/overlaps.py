"""Overlaps between subsets: shared keys, near-duplicates, names in several spellings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from scipy.cluster.hierarchy import DisjointSet

from eosin.core.text import quantity, spelling_key
from eosin.data.audit.near_duplicates import Link

#: A pair of subsets; equal for what is shared inside one.
PartPair = tuple[str | None, str | None]
_INDIRECT = "through other images"
#: Rows of one spelling that are listed.
_LISTED = 5


@dataclass(frozen=True)
class Overlap:
    """One key that two subsets share, or that one subset holds twice."""

    key: str  # what is shared
    a: int  # example row in the first subset
    b: int  # example row in the second
    rows: tuple[int, ...]  # all rows of the second subset with this key
    score: float = 1.0  # similarity of the example, 1 if identical
    how: str = ""  # how the two rows of the example differ, in words


def find_overlaps(
    entries: Iterable[tuple[int, str]],
    parts: Sequence[str | None],
    order: Sequence[str | None],
    *,
    apart: Sequence[Hashable] | None = None,
    inside: bool,
) -> dict[PartPair, list[Overlap]]:
    """Find keys that are in two subsets or, with ``inside``, twice in one.

    A row comes with several keys, or with none; ``parts`` is the subset of every row, shape (N,),
    None where a row has none. Only rows that differ in ``apart`` count as a pair, so that nothing
    is reported twice; by default each row differs from all others. Returns the overlaps of each
    pair of subsets in the given order, sorted by key.
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
    """Yield each pair of subsets; with ``inside`` also each subset with itself."""
    for position, part in enumerate(present):
        if inside:
            yield part, part
        # Rows without a subset take no part.
        yield from ((part, other) for other in present[position + 1 :] if None not in (part, other))


def _example(
    rows_a: list[int], rows_b: list[int], differ: Sequence[Hashable]
) -> tuple[int, int] | None:
    """Return the first two rows, one of each subset, that are apart."""
    first_a, first_b = rows_a[0], rows_b[0]
    for row in rows_b:
        if differ[row] != differ[first_a]:
            return first_a, row
    for row in rows_a:
        if differ[row] != differ[first_b]:
            return row, first_b
    return None


def group_near_duplicates(
    links: Iterable[Link],
    parts: Sequence[str | None],
    order: Sequence[str | None],
    *,
    differ: Callable[[int, int], bool],
) -> dict[PartPair, list[Overlap]]:
    """Find near-duplicates between two subsets, or within one.

    ``parts`` is the subset of every row, shape (N,), None where a row has none; ``differ`` is
    True for a pair of rows to report. Returns the overlaps of each pair of subsets, most similar
    first. Rows that are linked make one overlap, with the most similar pair as its example.
    """
    found: dict[PartPair, list[Overlap]] = defaultdict(list)
    for rows, own in _group(sorted(links, key=lambda link: -link.score)):
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


def _group(links: Sequence[Link]) -> Iterator[tuple[list[int], list[Link]]]:
    """Yield connected rows and the links among them, in the order of the links."""
    together = DisjointSet(row for link in links for row in (link.a, link.b))
    for link in links:
        together.merge(link.a, link.b)
    own: dict[int, list[Link]] = defaultdict(list)
    for link in links:
        own[together[link.a]].append(link)
    for among in own.values():
        yield sorted({row for link in among for row in (link.a, link.b)}), among


def _best(
    rows_a: list[int], rows_b: list[int], links: list[Link], differ: Callable[[int, int], bool]
) -> Link | None:
    """Return the best link between two subsets; if a third image links them, the first pair."""
    in_a, in_b = set(rows_a), set(rows_b)
    for link in links:
        for a, b in ((link.a, link.b), (link.b, link.a)):
            if a in in_a and b in in_b and differ(a, b):
                return link._replace(a=a, b=b)
    indirect = ((a, b) for a, b in product(rows_a, rows_b) if a != b and differ(a, b))
    pair = next(indirect, None)
    return None if pair is None else Link(*pair, links[-1].score, _INDIRECT)


def find_spellings(
    names: Sequence[str], groups: Sequence[str]
) -> tuple[list[tuple[int, str]], list[str]]:
    """Find names that differ only in spelling; ``names`` (N,) are empty where unknown.

    Returns ``(row, key)``, where all spellings of one name share the key; and a text for each row,
    equal where two spellings need no joining.
    """
    keys = {name: spelling_key(name) for name in dict.fromkeys(names) if name}
    spelled: dict[str, set[str]] = defaultdict(set)
    for name, key in keys.items():
        spelled[key].add(name)
    rows = [row for row, name in enumerate(names) if name and len(spelled[keys[name]]) > 1]
    apart = list(names)
    by_key: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        by_key[keys[names[row]]].append(row)
    for own in by_key.values():
        for row, unit in zip(own, _connect_spellings(own, names, groups), strict=True):
            apart[row] = unit
    return [(row, keys[names[row]]) for row in rows], apart


def _connect_spellings(rows: list[int], names: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return one text per row: equal for rows that a common name or group connects."""
    units = [(("name", names[row]), ("group", groups[row])) for row in rows]
    connected = DisjointSet(unit for both in units for unit in both)
    for name, group in units:
        connected.merge(name, group)
    return [str(connected[name]) for name, _ in units]


def describe_spellings(
    overlaps: Iterable[Overlap],
    names: Sequence[str],
    entries: Iterable[tuple[int, str]],
    numbers: Sequence[int] | None,
) -> list[Overlap]:
    """Return overlaps with both spellings as their key and their rows in words.

    ``overlaps`` are by spelling key; ``names`` has one a row, ``entries`` are all rows of the
    search; without ``numbers``, those of rows in the user's file, images are counted.
    """
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, _ in entries:
        rows_of[names[row]].append(row)
    shown = []
    for one in overlaps:
        both = (names[one.a], names[one.b])
        how = "; ".join(f"{name!r} {_list_rows(rows_of[name], numbers)}" for name in both)
        shown.append(Overlap(" and ".join(map(repr, both)), one.a, one.b, one.rows, how=how))
    return shown


def _list_rows(rows: list[int], numbers: Sequence[int] | None) -> str:
    if numbers is None:
        return f"in {quantity(len(rows), 'image')}"
    found = list(dict.fromkeys(numbers[row] for row in rows))
    listed = [str(number) for number in found[:_LISTED]]
    if len(found) > _LISTED:
        listed.append(f"… ({len(found):,} in all)")
    return f"in row{'' if len(found) == 1 else 's'} {', '.join(listed)}"
