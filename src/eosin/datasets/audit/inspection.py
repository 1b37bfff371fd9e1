"""The audit of one table, and the union of several.

What is looked for, and when it is told:

- ``same_path``, ``identical_bytes``, ``identical_pixels``: across splits a leak, inside one a
  note. A pair is told once, by the first of the three that holds.
- ``same_group``, ``same_accession``, ``same_cluster``: across splits a leak. Inside one split
  nothing is said: that images of one patient stay together is what a good split does.
- ``label_conflict``: one image under two labels, anywhere, is a warning.

Accessions come from a column of that name and, besides, from BreakHis file names: a table that is
grouped by slide id looks clean, yet has sections of one specimen on both sides.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from eosin.artifacts.audit import AuditReport, Finding, Kind, Pair, Severity, SplitSize
from eosin.core.progress import Advance
from eosin.core.types import SPLITS, Samples
from eosin.datasets.audit.hashes import FileHash, FileHashes
from eosin.datasets.audit.messages import describe
from eosin.datasets.audit.overlaps import Overlap, PartPair, find_overlaps
from eosin.datasets.breakhis_names import parse_breakhis_name
from eosin.datasets.bundles import single_images

_SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")
Entries = Iterable[tuple[int, str]]


@dataclass(frozen=True)
class _Search:
    """One kind of overlap to look for; see :func:`find_overlaps` for what the fields mean."""

    kind: Kind
    entries: Entries
    apart: Sequence[Hashable] | None = None
    inside: bool = False


class _Table:
    """The columns of a table as the audit needs them.

    Args:
        samples: The table.
        hashes: Of its files, if they were read.
    """

    def __init__(self, samples: Samples, hashes: FileHashes | None) -> None:
        self._frame = samples.frame
        self._root = str(samples.root)
        self.paths: list[str] = list(samples.frame["path"])
        self.labels: list[str] = list(samples.frame["label"])
        self.groups: list[str] = list(samples.frame["group"])
        self._hashes = hashes
        self.parts = self._find_parts()
        named = set(self.parts) - {None}
        self.named_parts = [part for part in SPLITS if part in named]
        self.named_parts += sorted(part for part in named - {*SPLITS} if part is not None)

    def _find_parts(self) -> list[str | None]:
        """Return the split of each row, else its fold, else nothing."""
        for column, prefix in (("split", ""), ("fold", "fold ")):
            if column in self._frame and any(self._frame[column] != ""):
                return [f"{prefix}{cell}" if cell != "" else None for cell in self._frame[column]]
        return [None] * len(self.paths)

    @cached_property
    def files(self) -> list[str]:
        """Each path in one spelling, so that ``a/../b.png`` is ``b.png``."""
        found = []
        for path in self.paths:
            file, mark, index = path.partition("#")
            found.append(os.path.normpath(os.path.join(self._root, file)) + mark + index)  # noqa: PTH118
        return found

    @cached_property
    def image_hashes(self) -> list[FileHash | None]:
        """Hashes of each row's image, where it is a readable file of its own."""
        if self._hashes is None:
            return [None] * len(self.paths)
        return [self._hashes.of_image(path) for path in self.paths]

    def searches(self) -> Iterator[_Search]:
        """Yield every kind to look for, in the order in which they are told."""
        yield _Search("same_path", enumerate(self.files), inside=True)
        yield _Search("same_group", enumerate(self.groups), apart=self._group_apart())
        yield _Search("same_accession", self._accessions())
        yield _Search("same_cluster", self._column("cluster"))
        hashed = [(row, found) for row, found in enumerate(self.image_hashes) if found]
        contents = ((row, found.content) for row, found in hashed if found.content)
        yield _Search("identical_bytes", contents, apart=self.files, inside=True)
        pixels = ((row, found.pixels) for row, found in hashed if found.pixels)
        content_of = [found.content if found else None for found in self.image_hashes]
        yield _Search("identical_pixels", pixels, apart=content_of, inside=True)
        yield _Search("label_conflict", self._pictures(), apart=self.labels, inside=True)

    def _group_apart(self) -> list[Hashable]:
        """An image that is its own group is told as ``same_path``, not again as a group."""
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

    def _pictures(self) -> Entries:
        """What an image shows: its pixels where they are known, else its path."""
        for row, (file, found) in enumerate(zip(self.files, self.image_hashes, strict=True)):
            yield row, (found.pixels if found and found.pixels else file)

    def name_of(self, kind: Kind, overlap: Overlap) -> str:
        """Return what to call one shared thing in a message."""
        if kind in {"same_group", "same_accession", "same_cluster"}:
            return overlap.key
        a, b = (PurePosixPath(self.paths[row]).name for row in (overlap.a, overlap.b))
        if kind == "label_conflict":
            a, b = f"{a} ({self.labels[overlap.a]})", f"{b} ({self.labels[overlap.b]})"
        return a if kind == "same_path" else f"{a} = {b}"


def audit_samples(
    samples: Samples, *, hashes: FileHashes | None = None, progress: Advance | None = None
) -> AuditReport:
    """Look for material that stands on both sides of a split, or twice in the table.

    Args:
        samples: The table, of bundles every image by itself; its ``split`` column, else its
            ``fold`` column, says which parts must share nothing. Rows with an empty one are
            compared with no part.
        hashes: Of its files (see :func:`~eosin.datasets.audit.hash_files`); without them copies
            under other names are not looked for.
        progress: Told how many kinds are done.

    Returns:
        The findings, leaks first; one for each kind and pair of splits, with one example pair of
        images for each shared thing.
    """
    table = _Table(single_images(samples), hashes)
    searches = list(table.searches())
    findings: list[Finding] = []
    for done, search in enumerate(searches, start=1):
        overlaps = find_overlaps(
            search.entries,
            table.parts,
            [*table.named_parts, None],
            apart=search.apart,
            inside=search.inside,
        )
        findings += [_make_finding(table, search.kind, *item) for item in overlaps.items()]
        if progress is not None:
            progress(done, len(searches))
    return AuditReport(
        n_images=len(table.paths),
        n_groups=len(set(table.groups)),
        splits={part: _size(table, part) for part in table.named_parts},
        findings=_sorted(findings),
    )


def _make_finding(
    table: _Table, kind: Kind, parts: PartPair, overlaps: Sequence[Overlap]
) -> Finding:
    severity: Severity = "note" if parts[0] == parts[1] else "leak"
    if kind == "label_conflict":
        severity = "warning"
    touched = {row for overlap in overlaps for row in overlap.rows}
    names = [table.name_of(kind, overlap) for overlap in overlaps]
    message = describe(kind, parts, names, len(touched), table.parts.count(parts[1]))
    pairs = [
        Pair(
            a=table.paths[overlap.a],
            b=table.paths[overlap.b],
            split_a=parts[0],
            split_b=parts[1],
            score=1.0,
        )
        for overlap in overlaps
    ]
    return Finding(kind=kind, severity=severity, message=message, pairs=pairs)


def _size(table: _Table, part: str) -> SplitSize:
    groups = [g for g, own in zip(table.groups, table.parts, strict=True) if own == part]
    return SplitSize(n_images=len(groups), n_groups=len(set(groups)))


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    """Leaks first; else as found."""
    return sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity))


def merge_audits(reports: Sequence[AuditReport], names: Sequence[str] | None = None) -> AuditReport:
    """Join the audits of a run's folds into that of the whole run.

    Args:
        reports: At least one, each over the whole table.
        names: ``<repeat>-<fold>`` of each; ``0-0``, ``0-1``, … by default.

    Returns:
        All findings, each message once; as splits the held-out part of each fold.

    Raises:
        ValueError: There is no report, or not one name for each.
    """
    if not reports:
        raise ValueError("at least one audit is needed")
    names = [f"0-{fold}" for fold in range(len(reports))] if names is None else names
    if len(names) != len(reports):
        raise ValueError(f"each audit needs a name: {len(reports)} audits, {len(names)} names")
    found: dict[tuple[str, str, str], Finding] = {}
    for finding in (finding for report in reports for finding in report.findings):
        found.setdefault((finding.kind, finding.severity, finding.message), finding)
    return AuditReport(
        n_images=max(report.n_images for report in reports),
        n_groups=max(report.n_groups for report in reports),
        splits={
            name: report.splits.get(
                "test", SplitSize(n_images=report.n_images, n_groups=report.n_groups)
            )
            for name, report in zip(names, reports, strict=True)
        },
        findings=_sorted(found.values()),
    )
