"""Names of patients and groups that differ only in spelling: case, leading zeros, a final ``.0``.

Two spellings whose rows are in one group already, by whatever name, are no finding: they cannot
come to lie on both sides of a split by group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from eosin.core.text import spelling_key
from eosin.data.audit.components import Components
from eosin.data.audit.overlaps import Overlap

#: So many rows of one spelling are listed.
_LISTED = 5


class Spellings(NamedTuple):
    """Rows whose names have more than one spelling.

    Attributes:
        entries: ``(row, key)``; all spellings of one name share the key.
        apart: Per row of the table, shape (N,): equal where two spellings need no joining.
    """

    entries: list[tuple[int, str]]
    apart: list[str]


def find_spellings(names: Sequence[str], groups: Sequence[str]) -> Spellings:
    """Find names that differ only in spelling.

    Args:
        names: A name per row, shape (N,); empty where it is unknown.
        groups: The group per row, shape (N,).
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
        for row, unit in zip(own, _number_units(own, names, groups), strict=True):
            apart[row] = unit
    return Spellings([(row, keys[names[row]]) for row in rows], apart)


def _number_units(rows: list[int], names: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return one number per row: equal for rows that a common name or group connects."""
    units: dict[tuple[str, str], int] = {}
    for row in rows:
        for unit in (("name", names[row]), ("group", groups[row])):
            units.setdefault(unit, len(units))
    connected = Components(len(units))
    for row in rows:
        connected.join(units["name", names[row]], units["group", groups[row]])
    return [str(connected.root(units["name", names[row]])) for row in rows]


def describe_spellings(
    overlaps: Iterable[Overlap],
    names: Sequence[str],
    entries: Iterable[tuple[int, str]],
    numbers: Sequence[int] | None,
) -> list[Overlap]:
    """Return examples of a finding with both spellings as their key and the rows in words.

    Args:
        overlaps: Of a search by spelling key.
        names: A name per row.
        entries: All rows of the search and their keys.
        numbers: Numbers of the table's rows as its user counts; images are counted where the rows
            are not those of a file.
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
        return f"in {len(rows):,} image{'' if len(rows) == 1 else 's'}"
    found = list(dict.fromkeys(numbers[row] for row in rows))
    listed = [str(number) for number in found[:_LISTED]]
    if len(found) > _LISTED:
        listed.append(f"… ({len(found):,} in all)")
    return f"in row{'' if len(found) == 1 else 's'} {', '.join(listed)}"
