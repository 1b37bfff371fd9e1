"""Leak audit: its findings, in terms of patients and slides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd

from eosin.artifacts.audit import AuditReport, Finding, Kind, Pair, Severity, SplitSize
from eosin.artifacts.manifest import relocated
from eosin.core.text import listing, percent, quantity, some
from eosin.core.types import Samples, parts_of
from eosin.data.audit.image_index import NearDuplicates
from eosin.data.audit.overlaps import Overlap, PartPair, find_overlaps
from eosin.data.audit.table import AuditTable
from eosin.images.hashes import FileHash, FileHashes
from eosin.images.stacks import single_images

_Noun = Kind | Literal["same_patient"]
#: Number of examples that are named; all are in the pairs.
_NAMED = 3

_NOUNS: dict[_Noun, tuple[str, str]] = {
    "same_path": ("image file", "image files"),
    "same_patient": ("patient", "patients"),
    "same_group": ("group", "groups"),
    "same_accession": ("accession", "accessions"),
    "same_cluster": ("cluster of look-alike tiles", "clusters of look-alike tiles"),
    "identical_bytes": ("image", "images"),
    "identical_pixels": ("image", "images"),
    "near_duplicate": ("image", "images"),
    "alike_names": ("name", "names"),
    "label_conflict": ("image", "images"),
}
_HOW: dict[str, str] = {
    "identical_bytes": " as exact copies under different names",
    "identical_pixels": " with exactly the same pixels in different files",
    "near_duplicate": " as near copies",
    "alike_names": " in two spellings",
    "label_conflict": " under different labels",
}
_SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")
#: Names with a meaning only within one data set.
_OWN_NAMES = ("patient", "group", "cluster", "accession")
_COLUMNS = ("path", "label", *_OWN_NAMES)
#: Kinds of finding whose pairs are copies of one image.
_COPIES: tuple[Kind, ...] = ("identical_bytes", "identical_pixels", "near_duplicate")
#: Kinds of finding that compare names, not images.
_BY_NAME = ("same_group", "same_cluster", "same_accession", "alike_names")
#: Subsets in the order of the report.
_TRAINED, _OUTSIDE = "model's training", "outside"
_LOOKED = (
    "The external images were compared with those that the model was trained and selected on: by "
    "file, by pixels, and by the names of patients and groups. Modified copies were not searched "
    "for."
)
_NAMES_ALONE = (
    "Only names are shared, no file and no pixels: in another data set the same name may mean "
    "another patient."
)


def describe(
    kind: _Noun,
    parts: tuple[str | None, str | None],
    names: Sequence[str],
    n_touched: int,
    n_images: int,
    *,
    has_copies: bool = False,
) -> str:
    """Return the message of a finding of what subsets ``parts`` share.

    The two subsets are equal for duplicates within one, None for the whole table; ``names`` holds
    one of each shared thing; of ``n_images`` of the second subset ``n_touched`` are affected. For
    example "12 groups are in both train and test: 22549, 29960, … (103 of 110 test images)".
    With ``has_copies``, rows with the path of one image are copies of it that were divided.
    """
    if has_copies and kind == "same_path":
        return (
            f"{n_touched} of {n_images} {parts[1]} images are copies of an image in {parts[0]} "
            f"({percent(n_touched / n_images, 0)}): {some(names, _NAMED)}"
        )
    one, many = _NOUNS[kind]
    things = f"1 {one}" if len(names) == 1 else f"{len(names)} {many}"
    first, second = parts
    if first != second:
        where = f"{'is' if len(names) == 1 else 'are'} in both {first} and {second}"
    else:
        where = (
            f"{'occurs' if len(names) == 1 else 'occur'} more than once in {first or 'the table'}"
        )
    share = f"{n_touched} of {n_images} {f'{second} ' if second else ''}images"
    return f"{things} {where}{_HOW.get(kind, '')}: {some(names, _NAMED)} ({share})"


def audit_samples(
    samples: Samples,
    *,
    hashes: FileHashes | None = None,
    near_duplicates: NearDuplicates | None = None,
    named: Sequence[str] = ("patient", "group"),
    numbers: Sequence[int] | None = None,
) -> AuditReport:
    """Audit a table for overlap between subsets and for duplicates.

    The column ``split``, else ``fold``, gives the subsets; rows with an empty one are compared with
    none. Without ``hashes`` (see :func:`~eosin.data.audit.hash_files`) copies under other names are
    not searched for, without ``near_duplicates`` (see
    :func:`~eosin.data.audit.find_near_duplicates`) none are reported. ``named`` columns are
    compared by spelling; with ``numbers``, those of rows in the user's file, findings name rows.

    Returns the findings, leaks first; one for each kind and pair of subsets, with one example pair
    of images for each shared thing.
    """
    if numbers is not None:
        cells = zip(numbers, samples.frame["path"], strict=True)
        numbers = [number for number, cell in cells for part in parts_of(cell) if part]
    table = AuditTable(single_images(samples), hashes, named, numbers)
    searches = list(table.searches())
    near_duplicate_overlaps = table.search_near_duplicates(near_duplicates or NearDuplicates())
    findings: list[Finding] = []
    for search in searches:
        overlaps = find_overlaps(
            search.entries,
            table.parts,
            [*table.named_parts, None],
            apart=search.apart,
            inside=search.inside,
        )
        if search.kind == "label_conflict":
            findings += _make_findings(
                table, "near_duplicate", near_duplicate_overlaps["near_duplicate"]
            )
            overlaps = _together(overlaps, near_duplicate_overlaps["label_conflict"])
        shown = {parts: table.describe(search, own) for parts, own in overlaps.items()}
        findings += _make_findings(table, search.kind, shown)
    return AuditReport(
        n_images=len(table.paths),
        n_groups=len(set(table.groups)),
        n_patients=table.n_patients,
        splits={part: _size(table, part) for part in table.named_parts},
        findings=_sorted(findings),
        reach=() if near_duplicates is None else near_duplicates.reach,
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
    noun: _Noun = "same_patient" if table.are_patients(kind, overlaps) else kind
    n_images = table.parts.count(parts[1])
    message = describe(noun, parts, names, len(touched), n_images, has_copies=table.has_copies)
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
    """Return the findings with leaks first, otherwise in order."""
    return sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity))


def merge_audits(reports: Sequence[AuditReport], names: Sequence[str] | None = None) -> AuditReport:
    """Merge the audits of a run's folds, each over the whole table.

    ``names`` are ``<repeat>-<fold>`` of each; ``0-0``, ``0-1``, … by default. Returns all findings,
    each message once and each pair of copies once, with its folds; the held-out subset of each fold
    as splits. Raises ValueError if there is no report, or not one name for each.
    """
    if not reports:
        raise ValueError("at least one audit is needed")
    names = [f"0-{fold}" for fold in range(len(reports))] if names is None else names
    if len(names) != len(reports):
        raise ValueError(f"each audit needs a name: {len(reports)} audits, {len(names)} names")
    found: dict[tuple[str, str, str], Finding] = {}
    conflicts: set[frozenset[str]] = set()
    for finding in (finding for report in reports for finding in report.findings):
        pairs = {frozenset((pair.a, pair.b)) for pair in finding.pairs}
        is_known = finding.kind == "label_conflict" and pairs <= conflicts
        if finding.kind not in _COPIES and not is_known:
            found.setdefault((finding.kind, finding.severity, finding.message), finding)
            conflicts |= pairs if finding.kind == "label_conflict" else set()
    copies = [one for kind in _COPIES for one in _merge_copies(kind, reports, names)]
    return AuditReport(
        n_images=max(report.n_images for report in reports),
        n_groups=max(report.n_groups for report in reports),
        splits={
            name: report.splits.get(
                "test", SplitSize(n_images=report.n_images, n_groups=report.n_groups)
            )
            for name, report in zip(names, reports, strict=True)
        },
        findings=_sorted([*found.values(), *copies]),
        reach=tuple(dict.fromkeys(words for report in reports for words in report.reach)),
        n_patients=max(report.n_patients or 0 for report in reports),
        n_unknown_patients=max(report.n_unknown_patients or 0 for report in reports),
        repair=reports[0].repair,
    )


def _merge_copies(
    kind: Kind, reports: Sequence[AuditReport], names: Sequence[str]
) -> Iterator[Finding]:
    """Yield the pairs of copies of a kind: those that any fold separates, then the others."""
    seen: dict[tuple[str, ...], list[tuple[Severity, Pair, str]]] = defaultdict(list)
    for report, name in zip(reports, names, strict=True):
        for finding in (one for one in report.findings if one.kind == kind):
            for pair in finding.pairs:
                key = tuple(sorted((pair.a, pair.b)))
                seen[key].append((finding.severity, pair, name))
    rows = [sorted(one, key=lambda row: _SEVERITIES.index(row[0])) for one in seen.values()]
    for severity in _SEVERITIES:
        pairs, shown = [], []
        for several in (own for own in rows if own[0][0] == severity):
            alike = [(pair, name) for one, pair, name in several if one == severity]
            pair = next((one for one, _ in alike if one.split_b == "test"), alike[0][0])
            how = [*filter(None, [pair.how]), _name_folds([name for _, name in alike], names)]
            sign = "~" if pair.how else "="
            pairs.append(pair)
            shown.append(f"{pair.a} {sign} {pair.b} ({'; '.join(how)})")
        if pairs:
            message = _describe_copies(kind, severity, shown)
            yield Finding(kind=kind, severity=severity, message=message, pairs=pairs)


def _describe_copies(kind: Kind, severity: Severity, shown: Sequence[str]) -> str:
    is_one = len(shown) == 1
    if severity == "leak":
        where = f"{'is' if is_one else 'are'} in different subsets"
    else:
        where = f"{'occurs' if is_one else 'occur'} more than once in a subset"
    return f"{quantity(len(shown), 'image')} {where}{_HOW[kind]}: {some(shown, _NAMED)}"


def _name_folds(some_names: Sequence[str], names: Sequence[str]) -> str:
    """Return which folds some names mean, in words; ``test`` is the subset beside the folds."""
    folds = [name for name in dict.fromkeys(some_names) if name != "test"]
    n_all = sum(name != "test" for name in names)
    beside = ["beside the folds"] if "test" in some_names else []
    if not folds:
        return beside[0]
    if len(folds) == n_all:
        where = "every fold"
    elif any(not name.startswith("0-") for name in names if name != "test"):
        where = f"{len(folds)} of {n_all} folds"
    else:
        numbers = [str(int(name.partition("-")[2]) + 1) for name in folds]
        where = f"{'fold' if len(folds) == 1 else 'folds'} {listing(numbers)}"
    return " and ".join([where, *beside])


def audit_stage(
    name: str,
    stage: tuple[Samples, FileHashes],
    evaluated: tuple[Samples, FileHashes],
    *,
    is_same_source: bool,
    near_duplicates: NearDuplicates | None = None,
    distinct: bool = False,
) -> list[Finding]:
    """Audit the train-test overlap between an earlier training stage and the evaluated images.

    All samples of the stage count, with its own validation and test subsets: they chose its
    weights. Names of groups match only within ``is_same_source``, one data set. A near-duplicate's
    stage image comes first. With ``distinct``, names that differ only in spelling are different
    names. Returns the leaks only.
    """
    target, hashes = evaluated
    part = f"stage {name}"
    mine, places = _place(stage[0], target.root, part)
    if not is_same_source:
        for column in _OWN_NAMES:
            mine[column] = [f"{part}: {cell}" if cell else "" for cell in mine[column]]
    files = {**hashes.files, **_move(stage[1], places)}
    evaluated_images, _ = _place(target, target.root, "test")
    matches = near_duplicates.matches if near_duplicates is not None else ()
    near = NearDuplicates(tuple(replace(one, a=places.get(one.a, one.a)) for one in matches))
    table = replace(target, frame=pd.concat([mine, evaluated_images], ignore_index=True))
    named = () if distinct else _OWN_NAMES
    report = audit_samples(table, hashes=FileHashes(files), near_duplicates=near, named=named)
    return report.leaks


def audit_external(
    trained: tuple[Samples, FileHashes],
    outside: tuple[Samples, FileHashes],
    root: Path,
    *,
    distinct: bool = False,
) -> AuditReport:
    """Audit the train-test overlap of an external validation set with a model's training data.

    ``trained`` are the images that the model was trained and selected on. Paths in the report start
    from ``root``. With ``distinct``, names that differ only in spelling are different names.
    Returns the leaks; warnings where only names of groups are shared.
    """
    tables: list[pd.DataFrame] = []
    files: dict[str, FileHash] = {}
    for part, (samples, hashes) in zip((_TRAINED, _OUTSIDE), (trained, outside), strict=True):
        table, places = _place(samples, root, part)
        tables.append(table)
        files |= _move(hashes, places)
    both = replace(outside[0], frame=pd.concat(tables, ignore_index=True), root=root)
    named = () if distinct else _OWN_NAMES
    report = audit_samples(both, hashes=FileHashes(files), named=named)
    leaks, reach = report.leaks, [_LOOKED]
    lost = len(trained[1].unreadable)
    reach += [f"{lost:,} images of the training could not be read."] if lost else []
    if leaks and all(leak.kind in _BY_NAME for leak in leaks):
        leaks = [leak.model_copy(update={"severity": "warning"}) for leak in leaks]
        reach.append(_NAMES_ALONE)
    return report.model_copy(update={"findings": leaks, "reach": tuple(reach)})


def _place(samples: Samples, root: Path, part: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return a subset's images with paths relative to ``root``, and old paths mapped to new.

    An image without a group stays its own group, whatever folder its path starts from.
    """
    groups = samples.frame["group"].where(samples.frame["group"] != samples.frame["path"], "")
    own = single_images(replace(samples, frame=samples.frame.assign(group=groups)))
    moved = relocated(own, root).frame
    table: pd.DataFrame = moved.reindex(columns=list(_COLUMNS), fill_value="").astype(str)
    table["group"] = table["group"].where(table["group"] != "", table["path"])
    return table.assign(split=part), dict(zip(own.frame["path"], moved["path"], strict=True))


def _move(hashes: FileHashes, places: Mapping[str, str]) -> dict[str, FileHash]:
    found = ((place, hashes.of_file(cell)) for cell, place in places.items())
    return {place: one for place, one in found if one is not None}
