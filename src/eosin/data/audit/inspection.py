"""The audit of one table, and the union of several.

What is looked for, and when it is told:

- ``same_path``, ``identical_bytes``, ``identical_pixels``: across splits a leak, inside one a
  note. A pair is told once, by the first of the three that holds.
- ``same_group``, ``same_accession``, ``same_cluster``: across splits a leak. Inside one split
  nothing is said: that images of one patient stay together is what a good split does. A patient
  with several groups is compared, too.
- ``near_duplicate``: images that show the same without being the same, across splits a leak,
  inside one a note. What another image links is told once, by the pair that is most alike.
- ``alike_names``: names of patients or groups that differ only in spelling, across splits a leak,
  inside one a note.
- ``label_conflict``: one image, or two near-duplicates, under two labels, anywhere, is a warning.

Accessions come from a column of that name and, besides, from BreakHis file names: a table that is
grouped by slide id looks clean, yet has sections of one specimen on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eosin.artifacts.audit import AuditReport, Finding, Kind, Pair, Severity, SplitSize
from eosin.core.progress import Advance
from eosin.core.types import Samples, parts_of
from eosin.data.audit.album import Alike
from eosin.data.audit.messages import describe
from eosin.data.audit.overlaps import Overlap, PartPair, find_overlaps
from eosin.data.audit.table import AuditTable
from eosin.images.bundles import single_images
from eosin.images.hashes import FileHashes

_SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")


def audit_samples(
    samples: Samples,
    *,
    hashes: FileHashes | None = None,
    alike: Alike | None = None,
    named: Sequence[str] = ("patient", "group"),
    numbers: Sequence[int] | None = None,
    progress: Advance | None = None,
) -> AuditReport:
    """Look for material that stands on both sides of a split, or twice in the table.

    Args:
        samples: The table, of bundles every image by itself; its ``split`` column, else its
            ``fold`` column, says which parts must share nothing. Rows with an empty one are
            compared with no part.
        hashes: Of its files (see :func:`~eosin.data.audit.hash_files`); without them copies
            under other names are not looked for.
        alike: What a search among its images found (see
            :func:`~eosin.data.audit.find_alike`); without it near-duplicates are not told.
        named: Columns whose names are compared by spelling.
        numbers: Numbers of the table's rows, where they are a file's: findings then name rows.
        progress: Told how many kinds are done.

    Returns:
        The findings, leaks first; one for each kind and pair of splits, with one example pair of
        images for each shared thing.
    """
    if numbers is not None:
        cells = zip(numbers, samples.frame["path"], strict=True)
        numbers = [number for number, cell in cells for part in parts_of(cell) if part]
    table = AuditTable(single_images(samples), hashes, named, numbers)
    searches = list(table.searches())
    likenesses = table.search_likenesses(alike or Alike())
    findings: list[Finding] = []
    for done, search in enumerate(searches, start=1):
        overlaps = find_overlaps(
            search.entries,
            table.parts,
            [*table.named_parts, None],
            apart=search.apart,
            inside=search.inside,
        )
        if search.kind == "label_conflict":
            findings += _make_findings(table, "near_duplicate", likenesses["near_duplicate"])
            overlaps = _together(overlaps, likenesses["label_conflict"])
        shown = {parts: table.describe(search, own) for parts, own in overlaps.items()}
        findings += _make_findings(table, search.kind, shown)
        if progress is not None:
            progress(done, len(searches))
    return AuditReport(
        n_images=len(table.paths),
        n_groups=len(set(table.groups)),
        splits={part: _size(table, part) for part in table.named_parts},
        findings=_sorted(findings),
        reach=() if alike is None else alike.reach,
        n_unknown_patients=table.n_unknown_patients,
    )


def _together(
    exact: dict[PartPair, list[Overlap]], near: dict[PartPair, list[Overlap]]
) -> dict[PartPair, list[Overlap]]:
    return {pair: [*exact.get(pair, []), *near.get(pair, [])] for pair in {**exact, **near}}


def _make_findings(
    table: AuditTable, kind: Kind, overlaps: dict[PartPair, list[Overlap]]
) -> list[Finding]:
    return [_make_finding(table, kind, *item) for item in overlaps.items()]


def _make_finding(
    table: AuditTable, kind: Kind, parts: PartPair, overlaps: Sequence[Overlap]
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
            score=overlap.score,
            how=overlap.how or None,
        )
        for overlap in overlaps
    ]
    return Finding(kind=kind, severity=severity, message=message, pairs=pairs)


def _size(table: AuditTable, part: str) -> SplitSize:
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
        reach=tuple(dict.fromkeys(words for report in reports for words in report.reach)),
        n_unknown_patients=max(report.n_unknown_patients or 0 for report in reports),
        repair=reports[0].repair,
    )
