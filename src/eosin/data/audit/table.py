"""Table of the leak audit: its subsets, and what its rows share."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from eosin.artifacts.audit import Kind
from eosin.core.text import spelling_key
from eosin.core.types import COPY, SPLITS, ImageReference, Samples, parts_of
from eosin.data.audit.image_index import NearDuplicates
from eosin.data.audit.near_duplicates import Link
from eosin.data.audit.overlaps import (
    Overlap,
    PartPair,
    describe_spellings,
    find_spellings,
    group_near_duplicates,
)
from eosin.data.sources.breakhis import parse_breakhis_name
from eosin.images.hashes import FileHash, FileHashes

Entries = Iterable[tuple[int, str]]

_TWO_GROUPS = "one patient in two groups"


def names_image(group: str, path: str) -> bool:
    """Return True if a group names the image, or a stack with it, even from another folder."""
    name = path.rpartition("/")[2]
    return any(part.rpartition("/")[2] == name for part in parts_of(group))


@dataclass(frozen=True)
class Search:
    """One kind of overlap to search for; see :func:`find_overlaps` for the fields.

    ``names`` are the spellings that a search for ``alike_names`` compares, one per row.
    """

    kind: Kind
    entries: Entries
    apart: Sequence[Hashable] | None = None
    inside: bool = False
    names: Sequence[str] = ()


class AuditTable:
    """Columns of a table for the leak audit.

    Names in the ``named`` columns are compared by spelling; ``numbers`` are those of rows in the
    user's file, shape (N,).
    """

    def __init__(
        self,
        samples: Samples,
        hashes: FileHashes | None,
        named: Sequence[str] = (),
        numbers: Sequence[int] | None = None,
    ) -> None:
        self._frame = samples.frame
        self._name_columns = named
        self._numbers = numbers
        self._root = str(samples.root)
        self.paths: list[str] = list(samples.frame["path"])
        self.labels: list[str] = list(samples.frame["label"])
        self.groups: list[str] = list(samples.frame["group"])
        self._hashes = hashes
        self.parts = self._find_parts()
        present = set(self.parts) - {None}
        # The evaluated subset comes last: an earlier training stage stands before ``test``.
        self.named_parts = sorted(part for part in present - {*SPLITS} if part is not None)
        self.named_parts += [part for part in SPLITS if part in present]

    def _find_parts(self) -> list[str | None]:
        """Return the split of each row, else its fold, else None."""
        for column, prefix in (("split", ""), ("fold", "fold ")):
            if column in self._frame and any(self._frame[column] != ""):
                return [f"{prefix}{cell}" if cell != "" else None for cell in self._frame[column]]
        return [None] * len(self.paths)

    @property
    def has_copies(self) -> bool:
        """True if rows are augmented copies of the image at their path."""
        return COPY in self._frame

    @property
    def n_patients(self) -> int:
        """Number of known patients."""
        return len({*self._frame.get("patient", ())} - {""})

    @property
    def n_unknown_patients(self) -> int:
        """Number of images without a known patient."""
        if "patient" not in self._frame:
            return len(self.paths)
        return int((self._frame["patient"] == "").sum())

    @cached_property
    def files(self) -> list[str]:
        """Each path in one spelling, so that ``a/../b.png`` is ``b.png``."""
        found = []
        for path in self.paths:
            image = ImageReference.parse(path)
            file = os.path.normpath(os.path.join(self._root, image.path))  # noqa: PTH118
            found.append(str(replace(image, path=file)))
        return found

    @cached_property
    def image_hashes(self) -> list[FileHash | None]:
        """Hashes of each row's image, if it is a readable file of its own."""
        if self._hashes is None:
            return [None] * len(self.paths)
        return [self._hashes.of_image(path) for path in self.paths]

    def searches(self) -> Iterator[Search]:
        """Yield every kind to search for, in the order of the report."""
        # Several copies of an image in one subset are meant.
        yield Search("same_path", enumerate(self.files), inside=not self.has_copies)
        yield Search("same_group", self._find_groups(), apart=self._group_apart())
        yield Search("same_accession", self._accessions())
        yield Search("same_cluster", self._column("cluster"))
        hashed = [(row, found) for row, found in enumerate(self.image_hashes) if found]
        contents = ((row, found.content) for row, found in hashed if found.content)
        yield Search("identical_bytes", contents, apart=self.files, inside=True)
        pixels = ((row, found.pixels) for row, found in hashed if found.pixels)
        content_of = [found.content if found else None for found in self.image_hashes]
        yield Search("identical_pixels", pixels, apart=content_of, inside=True)
        for names in self._find_names():
            entries, units = find_spellings(names, self.groups)
            yield Search("alike_names", entries, apart=units, inside=True, names=names)
        yield Search("label_conflict", self.pictures, apart=self.labels, inside=True)

    @cached_property
    def group_names(self) -> list[str]:
        """The group of each row; empty if it is the image itself, whose name is a file's."""
        rows = zip(self.groups, self.paths, strict=True)
        return ["" if names_image(group, path) else group for group, path in rows]

    @cached_property
    def _patients(self) -> list[str]:
        """The patient of each row; if unknown, its group."""
        if "patient" not in self._frame:
            return self.group_names
        rows = zip(self._frame["patient"], self.group_names, strict=True)
        return [str(patient) or group for patient, group in rows]

    def _find_groups(self) -> Iterator[tuple[int, str]]:
        """Yield the group of each row, and its patient if that one has several groups."""
        groups_of: dict[str, set[str]] = defaultdict(set)
        for patient, group in zip(self._patients, self.groups, strict=True):
            groups_of[patient].add(group)
        for row, (patient, group) in enumerate(zip(self._patients, self.groups, strict=True)):
            yield row, group
            if patient and len(groups_of[patient]) > 1:
                yield row, f"patient {patient}"

    def _find_names(self) -> list[list[str]]:
        """Return the columns whose names are compared, of groups those that name no patient."""
        columns: list[list[str]] = []
        for column in self._name_columns:
            if column == "patient":
                columns.append(self._patients)
            elif column == "group":
                columns.append(self._find_other_groups())
            else:
                columns.append([str(cell) for cell in self._frame.get(column, ())])
        return [cells for cells in columns if any(cells)]

    def _find_other_groups(self) -> list[str]:
        """Return the group of each row, empty where all spellings of it are names of patients.

        A group is a patient's if one of its images is: a repair names groups after one of their
        patients. Other numbers of groups may be those of wards or plates.
        """
        rows = zip(self.group_names, self._patients, strict=True)
        own = {group for group, patient in rows if group == patient}
        other = {spelling_key(group) for group in set(self.group_names) - own}
        keys = {group: spelling_key(group) for group in set(self.group_names)}
        return [group if keys[group] in other else "" for group in self.group_names]

    def describe(self, search: Search, overlaps: Iterable[Overlap]) -> list[Overlap]:
        """Return overlaps as a finding shows them: names with both spellings and their rows."""
        if search.kind == "same_group":
            pairs = ((one, self.groups[one.a] == self.groups[one.b]) for one in overlaps)
            return [one if same else replace(one, how=_TWO_GROUPS) for one, same in pairs]
        if search.kind != "alike_names":
            return list(overlaps)
        return describe_spellings(overlaps, search.names, search.entries, self._numbers)

    def _group_apart(self) -> list[Hashable]:
        """An image that is its own group is reported as ``same_path``, not again as a group."""
        rows = zip(self.groups, self.paths, self.files, strict=True)
        return [file if group == path else row for row, (group, path, file) in enumerate(rows)]

    def _column(self, name: str) -> Entries:
        cells = self._frame.get(name, [])
        return ((row, str(cell)) for row, cell in enumerate(cells) if cell != "")

    def _accessions(self) -> Entries:
        found = set(self._column("accession"))
        for row, path in enumerate(self.paths):
            name = parse_breakhis_name(path) if "SOB_" in path else None
            if name is not None:
                found.add((row, name.accession))
        return sorted(found)

    @cached_property
    def pictures(self) -> list[tuple[int, str]]:
        """The content of each image: its pixel hash if known, else its path."""
        rows = zip(self.files, self.image_hashes, strict=True)
        return [(row, (f.pixels if f and f.pixels else file)) for row, (file, f) in enumerate(rows)]

    def link(self, near_duplicates: NearDuplicates) -> list[Link]:
        """Return the matches between rows, with the exact copies of either side."""
        shown = [thumbnail for _, thumbnail in self.pictures]
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row, thumbnail in self.pictures:
            rows_of[thumbnail].append(row)
        first = {path: row for row, path in reversed(list(enumerate(self.paths)))}
        links = []
        for match in near_duplicates.matches:
            if match.a in first and match.b in first:
                sides = (rows_of[shown[first[cell]]] for cell in (match.a, match.b))
                links += [Link(a, b, match.score, match.how) for a, b in product(*sides)]
        return links

    def search_near_duplicates(
        self, near_duplicates: NearDuplicates
    ) -> dict[Kind, dict[PartPair, list[Overlap]]]:
        """Find near-duplicates, and those with different labels."""
        links, order = self.link(near_duplicates), [*self.named_parts, None]
        shown = [thumbnail for _, thumbnail in self.pictures]

        def differ(a: int, b: int) -> bool:
            return shown[a] != shown[b]

        def conflict(a: int, b: int) -> bool:
            return differ(a, b) and self.labels[a] != self.labels[b]

        return {
            "near_duplicate": group_near_duplicates(links, self.parts, order, differ=differ),
            "label_conflict": group_near_duplicates(links, self.parts, order, differ=conflict),
        }

    def are_patients(self, kind: Kind, overlaps: Iterable[Overlap]) -> bool:
        """Return True if overlaps are of groups that are a patient each."""
        patients = self._frame.get("patient", [""] * len(self.paths))
        own = [group == patient for group, patient in zip(self.groups, patients, strict=True)]
        return kind == "same_group" and all(
            one.how == _TWO_GROUPS or all(own[row] for row in one.rows) for one in overlaps
        )

    def name_of(self, kind: Kind, overlap: Overlap) -> str:
        """Return the name of one shared thing for a message."""
        if kind in {"same_group", "same_accession", "same_cluster", "alike_names"}:
            return overlap.key
        a, b = (self._short_paths[self.paths[row]] for row in (overlap.a, overlap.b))
        if kind == "label_conflict":
            a, b = f"{a} ({self.labels[overlap.a]})", f"{b} ({self.labels[overlap.b]})"
        if overlap.how:
            return f"{a} ~ {b} ({overlap.how})"
        return a if kind == "same_path" else f"{a} = {b}"

    @cached_property
    def _short_paths(self) -> dict[str, str]:
        """Shortest end of each path, from its file name on, that no other path of the table has."""
        found: dict[str, str] = {}
        left, n_parts = {*self.paths}, 1
        while left:
            ends = {path: "/".join(path.split("/")[-n_parts:]) for path in left}
            counts = Counter(ends.values())
            found |= {path: end for path, end in ends.items() if counts[end] == 1}
            left, n_parts = left - found.keys(), n_parts + 1
        return found
