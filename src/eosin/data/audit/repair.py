"""Repair of groups: groups with overlaps are joined.

Groups are joined that share a patient, a file, an accession, a cluster of tiles, exact copies or
near-duplicates, or whose names differ only in spelling, wherever in the table they are. Patients
whose names differ only in spelling get one name, so that they are counted once; so do sites, which
join nothing. Rows keep their subset: a table's own ``split`` column is not changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from eosin.artifacts.audit import GroupLink, JoinedGroups, Kind
from eosin.artifacts.columns import Columns
from eosin.artifacts.manifest import relocated, write_table
from eosin.core.text import clean_name, some, spelling_key
from eosin.core.types import Samples
from eosin.data.audit.image_index import NearDuplicates
from eosin.data.audit.table import AuditTable
from eosin.images.hashes import FileHashes
from eosin.images.stacks import single_images

#: Joined groups, and names of one, that are listed.
_LISTED = 8
#: Columns whose names are reasons to join groups: two patients of one site are still two.
_JOINING = ("patient", "group")
#: The new column if the table uses ``group`` for something else.
_OTHER_NAME = "repaired_group"


def join_groups(
    samples: Samples,
    *,
    hashes: FileHashes | None = None,
    near_duplicates: NearDuplicates | None = None,
    named: Sequence[str] = ("patient", "group"),
) -> tuple[Samples, list[JoinedGroups]]:
    """Join groups of a table that belong together.

    Without ``hashes`` exact copies under other names join nothing. ``named`` columns are compared
    by spelling; except in ``group``, names in two spellings get the first in order. Returns the
    table with joined groups, which does not depend on the order of its rows; each joined group,
    with one reason for each join.
    """
    joining = [column for column in named if column in _JOINING]
    table = AuditTable(single_images(samples), hashes, joining)
    number = {group: n for n, group in enumerate(sorted(set(table.groups)))}
    connected, links = DisjointSet(range(len(number))), []
    for link in _find_links(table, near_duplicates or NearDuplicates()):
        a, b = number[link.group_a], number[link.group_b]
        if connected.merge(a, b):
            links.append(link)
    members: dict[int, list[str]] = defaultdict(list)
    for group, n in number.items():
        members[connected[n]].append(group)
    names = _name_groups([m for m in members.values() if len(m) > 1], table)
    new = {group: name for name, own in names.items() for group in own}
    reasons: dict[str, list[GroupLink]] = defaultdict(list)
    for link in links:
        reasons[new[link.group_a]].append(link)
    joined = [
        JoinedGroups(group=name, groups=own, links=reasons[name]) for name, own in names.items()
    ]
    cells = [new.get(cell, cell) for cell in samples.frame["group"]]
    samples = _with_column(samples, "group", cells)
    for column in (name for name in named if name != "group" and name in samples.frame):
        samples = _unify_spelling(samples, column)
    return samples, joined


def _find_links(table: AuditTable, near_duplicates: NearDuplicates) -> Iterator[GroupLink]:
    """Yield pairs of rows whose groups belong together, by name and file first."""

    def link(kind: Kind, a: int, b: int, how: str | None = None) -> GroupLink:
        a, b = sorted((a, b), key=lambda row: table.paths[row])
        return GroupLink(
            kind=kind,
            a=table.paths[a],
            b=table.paths[b],
            group_a=table.groups[a],
            group_b=table.groups[b],
            how=how,
        )

    for search in table.searches():
        if search.kind == "label_conflict":
            continue
        first: dict[str, int] = {}
        for row, key in search.entries:
            other = first.setdefault(key, row)
            if table.groups[other] != table.groups[row]:
                spelled = [search.names[one] for one in (other, row)] if search.names else []
                yield link(search.kind, other, row, " and ".join(map(repr, spelled)) or None)
    for match in sorted(table.link(near_duplicates), key=lambda match: -match.score):
        if table.groups[match.a] != table.groups[match.b]:
            yield link("near_duplicate", match.a, match.b, match.how)


def _name_groups(components: list[list[str]], table: AuditTable) -> dict[str, list[str]]:
    """Return a name for each set of groups: its first, or a hash where all are single images.

    The hash is of the images' content, so that it differs between tables and does not depend on
    where the files lie.
    """
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(table.groups):
        rows_of[group].append(row)
    named: dict[str, list[str]] = {}
    for groups in sorted(components):
        known = [one for one in groups if all(table.group_names[row] for row in rows_of[one])]
        rows = [row for group in groups for row in rows_of[group]]
        named[known[0] if known else f"joined-{_hash_images(table, rows)}"] = groups
    return named


def _hash_images(table: AuditTable, rows: list[int]) -> str:
    hashes = [(table.image_hashes[row], table.paths[row]) for row in rows]
    shown = sorted((found and found.pixels) or path for found, path in hashes)
    return hashlib.sha256("\n".join(shown).encode()).hexdigest()[:12]


def _unify_spelling(samples: Samples, column: str) -> Samples:
    cells = list(samples.frame[column])
    spelled: dict[str, str] = {}
    for name in sorted(set(cells)):
        spelled.setdefault(spelling_key(name), name)
    unified = [spelled[spelling_key(cell)] for cell in cells]
    return _with_column(samples, column, unified)


def _with_column(samples: Samples, column: str, cells: list[str]) -> Samples:
    frame = samples.frame.assign(**{column: np.array(cells, dtype=object)})
    return replace(samples, frame=frame)


def list_joined(joined: Sequence[JoinedGroups]) -> list[str]:
    """Return a line for each joined group with its members and reasons; of many, the first."""
    lines = []
    for one in joined[:_LISTED]:
        kinds = dict.fromkeys(link.kind for link in one.links)
        first = one.links[0]
        why = first.how if first.kind == "alike_names" else f"{first.a} ~ {first.b}"
        named = some(one.groups, _LISTED)
        lines.append(f"merged   {one.group}: {named} ({', '.join(kinds)}: {why})")
    if len(joined) > _LISTED:
        lines.append(f"         … and {len(joined) - _LISTED:,} more merged groups")
    return lines


def describe_repair(joined: Sequence[JoinedGroups]) -> str:
    """Return a sentence on the joined groups; empty if none."""
    if not joined:
        return ""
    n_before = sum(len(one.groups) for one in joined)
    counts: dict[str, int] = defaultdict(int)
    for link in (link for one in joined for link in one.links):
        counts[link.kind] += 1
    reasons = ", ".join(f"{kind} {n:,}" for kind, n in counts.items())
    return f"Repair merged {n_before:,} groups into {len(joined):,} before this audit ({reasons})."


def write_repaired(
    path: Path, source: Any, before: Samples, after: Samples, columns: Columns, label: str
) -> str:
    """Write a user's table with joined groups; return the column that holds them.

    Other columns stay as they are. An image that is its own group has an empty one. Paths start
    from the new table's folder, and patients whose spelling the repair changed have the new one.
    ``after`` are the samples ``before``, read from ``source``, in the same order; ``columns`` and
    ``label`` are those of ``source``.
    """
    table = source.copy()
    image, patient = clean_name(columns.path), clean_name(columns.patient)
    moved = relocated(after, path.parent).frame
    table[image] = list(moved["path"])
    if patient in table and patient != image:
        changed = (before.frame["patient"] != after.frame["patient"]).to_numpy()
        table[patient] = table[patient].mask(changed, after.frame["patient"].to_numpy())
    column = _group_column(
        list(table), clean_name(columns.group), {image, patient, clean_name(label)}
    )
    own = after.frame["group"] == after.frame["path"]
    table[column] = list(after.frame["group"].mask(own, ""))
    write_table(path, table)
    return column


def _group_column(names: list[str], group: str, used: set[str]) -> str:
    """Return the column to write groups to: the one that they were read from, or a new one."""
    if group not in used:
        return group
    return _OTHER_NAME if "group" in names else "group"
