"""Leak audit: findings in words, with near-duplicates side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from PIL import Image as PillowImage

from eosin.artifacts.audit import SHOWN_KINDS, AuditReport, Finding, Pair
from eosin.core.text import TextTable, count, listing, of_groups, quantity
from eosin.core.types import Image
from eosin.data.audit import list_joined
from eosin.reporting.formatting import (
    ABSENT,
    below,
    common_folder,
    number,
    shorten,
    subset_name,
)
from eosin.reporting.outline import Facts, Page, Pairs, Section, Table, Text, Tile, make_table
from eosin.reporting.thumbnails import make_tile, read_thumbnail
from eosin.reporting.train_test_overlap import UNKNOWN_OVERLAP
from eosin.runs.finished import FinishedRun

#: Pairs per finding that are shown as thumbnails; all are in ``audit.json``.
_MOST_SHOWN = 12
_NAME_WIDTH = 40
_SEVERITIES = {"leak": "Leak", "warning": "Warning", "note": "Note"}
#: Example pairs of one finding; the rest is in ``audit.json``.
_MOST_PAIRS = 25
#: Limit of an audit without findings, where the audit states none itself.
_REACH = "Only exact copies and the given groups were compared, not near-duplicates."
#: Pairs of a finding on the terminal.
_MOST_LINES = 3


def section(run: FinishedRun) -> Section:
    """Return the section of a run's page."""
    return Section("Leak audit", audit_words(run), *findings(run))


def findings(run: FinishedRun) -> list[Section]:
    """Return the audit's findings, leaks first."""
    order = list(_SEVERITIES)
    found = run.audit.findings if run.audit else []
    ranked = sorted(found, key=lambda finding: order.index(finding.severity))
    folder = _folder(found)
    return [
        _finding(run, number, finding, folder) for number, finding in enumerate(ranked, start=1)
    ]


def _folder(findings: Sequence[Finding]) -> str:
    """Return the common folder of all images that findings name."""
    pairs = (pair for finding in findings for pair in finding.pairs)
    return common_folder(cell for pair in pairs for cell in (pair.a, pair.b))


def _finding(run: FinishedRun, number: int, finding: Finding, folder: str) -> Section:
    kind, tag = finding.kind.replace("_", " ").capitalize(), _SEVERITIES[finding.severity]
    return Section(
        "",
        Text(finding.message, head=f"{kind}.", tag=tag),
        Pairs(_run_pairs(run, finding)),
        _listed_pairs(finding, number, folder),
        look=f"finding {finding.severity}",
    )


def _listed_pairs(finding: Finding, number: int, folder: str) -> Section:
    """Return the pairs of a finding as a table, folded away."""
    shown = finding.pairs[:_MOST_PAIRS]
    title = quantity(len(finding.pairs), "example pair")
    if len(shown) < len(finding.pairs):
        title += f" (first {len(shown)} shown)"
    return Section(title, _pairs_table(shown, number, folder), fold="closed")


def _pairs_table(pairs: list[Pair], finding: int, folder: str) -> Table | None:
    columns = ["Image", "Subset", "Other image", "Its subset", "Similarity", "Relation"]
    rows = [
        [
            below(pair.a, folder),
            subset_name(pair.split_a) if pair.split_a else ABSENT,
            below(pair.b, folder),
            subset_name(pair.split_b) if pair.split_b else ABSENT,
            number(pair.score),
            pair.how or "",
        ]
        for pair in pairs
    ]
    if not any(pair.how for pair in pairs):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    texts, name = (0, 1, 2, 3, 5), f"audit_pairs_{finding}"
    return make_table("Example pairs.", columns, rows, texts=texts, look="paths", name=name)


def audit_words(run: FinishedRun) -> str:
    """Summarise the audit in one sentence."""
    if run.audit is None:
        return UNKNOWN_OVERLAP if run.split == "external" else "This run has no leak audit."
    n = {key: sum(finding.severity == key for finding in run.audit.findings) for key in _SEVERITIES}
    looked = f"The audit of {_size(run.audit)}"
    found = [quantity(n[key], key) for key in _SEVERITIES if n[key]]
    # Earlier versions wrote it as Markdown.
    reach = " ".join(run.audit.reach).replace("`", "")
    if not found and run.audit.unchecked:
        return f"{looked} found no copies. {run.audit.unchecked}. {reach or _REACH}"
    if not found:
        return f"{looked} found no overlap between the subsets. {reach or _REACH}"
    if not n["leak"]:
        what = "copies" if run.audit.unchecked else "leak"
        below = f"no {what} between the subsets; {listing(found)} below"
        return f"{looked} found {below}. {reach or _REACH}"
    optimistic = f"{looked} found {listing(found)}. Leaks make test results over-optimistic."
    return f"{optimistic} {reach}".rstrip()


def _size(audit: AuditReport) -> str:
    return quantity(audit.n_images, "image") + of_groups(audit.n_groups, audit.unit)


def _run_pairs(run: FinishedRun, finding: Finding) -> list[tuple[Tile, Tile, str]]:
    """Return the pairs of a finding whose thumbnails are in the run folder."""
    wanted = {(pair.a, pair.b) for pair in finding.pairs}
    by_number: dict[int | None, list[tuple[str, str]]] = defaultdict(list)
    for thumbnail in run.role("pair"):
        by_number[thumbnail.pair].append((thumbnail.path, thumbnail.file))
    found = {
        path: read_thumbnail(run.folder.samples / file)
        for sides in by_number.values()
        if tuple(path for path, _ in sides) in wanted
        for path, file in sides
    }
    return _pair_tiles(finding, found)


def shown_paths(report: AuditReport) -> list[str]:
    """Return the images on the page, each once."""
    shown = [
        cell
        for finding in report.findings
        if finding.kind in SHOWN_KINDS
        for pair in finding.pairs[:_MOST_SHOWN]
        for cell in (pair.a, pair.b)
    ]
    return list(dict.fromkeys(shown))


def _pair_tiles(
    finding: Finding, pictures: Mapping[str, PillowImage.Image]
) -> list[tuple[Tile, Tile, str]]:
    """Return the pairs of a finding whose thumbnails, by path, both exist."""
    if finding.kind not in SHOWN_KINDS:
        return []
    pairs = [p for p in finding.pairs if p.a in pictures and p.b in pictures][:_MOST_SHOWN]
    return [
        (
            _tile(pair.a, pair.split_a, pictures[pair.a]),
            _tile(pair.b, pair.split_b, pictures[pair.b]),
            f"{pair.how}, similarity {number(pair.score)}" if pair.how else "identical",
        )
        for pair in pairs
    ]


def _tile(path: str, part: str | None, thumbnail: PillowImage.Image) -> Tile:
    name = PurePosixPath(path).name
    words, lines = (f"Image {name} of {part}", [part]) if part else (f"Image {name}", [])
    return make_tile(thumbnail.copy(), alt=words, title=shorten(name, _NAME_WIDTH), lines=lines)


def audit_page(report: AuditReport, name: str, pictures: Mapping[str, Image]) -> Page:
    """Return the page of a leak audit.

    Thumbnails are uint8, shape (H, W, 3), by path (see :func:`shown_paths`). A pair
    that lacks one is in ``audit.json`` only.
    """
    shown = {cell: PillowImage.fromarray(image) for cell, image in pictures.items()}
    folder = _folder(report.findings)
    leaks = count(len(report.leaks)) if report.splits else ABSENT
    units = "Patients" if report.unit == "patient" else "Groups"
    facts = [("Images", count(report.n_images)), (units, count(report.n_groups))]
    facts += [("Leaks", leaks), ("Findings", count(len(report.findings)))]
    about = (
        "A leak is data shared between two subsets of a split. A note is data that occurs twice"
        " inside one subset."
    )
    rows = [(part, n.n_images, n.n_groups) for part, n in (report.splits or {}).items()]
    return Page(
        kind="Eosin data audit · leaks",
        name=name,
        tab=f"{name}: leak audit · Eosin",
        verdict=_verdict(report),
        masthead=Section("", not_checked(report), Text(about, look="about")),
        sections=[
            Section(
                "Summary",
                Facts(facts, look="cards"),
                make_table("Subsets.", ("Subset", "Images", units), rows, name="subsets"),
                *(Text(words, look="small") for words in report.reach),
            ),
            *(
                _of_page(finding, number, shown, folder)
                for number, finding in enumerate(report.findings, start=1)
            ),
        ],
        footer="Created by Eosin's data audit. All pairs are in audit.json beside this page.",
    )


def not_checked(report: AuditReport | None) -> Text:
    """Return the caution of what could not be checked, if anything."""
    if report is None or not report.unchecked:
        return Text("")
    return Text(f"{report.unchecked}.", look="caution", head="Not checked.")


def _of_page(
    finding: Finding, number: int, pictures: Mapping[str, PillowImage.Image], folder: str
) -> Section:
    pairs = Pairs(_pair_tiles(finding, pictures))
    return Section(_title(finding), finding.message, pairs, _listed_pairs(finding, number, folder))


def _title(finding: Finding) -> str:
    """Return a heading that distinguishes findings of one kind by their subsets."""
    sides = ((pair.split_a, pair.split_b) for pair in finding.pairs[:1])
    parts = dict.fromkeys(part for two in sides for part in two if part)
    what = f"{finding.severity.capitalize()}: {finding.kind.replace('_', ' ')}"
    return f"{what}, {' and '.join(parts)}" if parts else what


def _verdict(report: AuditReport) -> str:
    if report.leaks:
        return f"{quantity(len(report.leaks), 'leak')}: test results would be over-optimistic."
    if not report.splits:
        twice = "duplicates are listed below" if report.findings else "no duplicates found"
        return f"The table has no split, so leaks between subsets were not checked; {twice}."
    if report.findings:
        none = "No copies across" if report.unchecked else "No leak between"
        return f"{none} the subsets; see the notes below."
    return "No duplicate images found." if report.unchecked else "No duplicates or leaks found."


def format_audit(audit: AuditReport) -> list[str | TextTable]:
    """Return the findings of an audit for the terminal, with some of their pairs."""
    parts = ", ".join(f"{name} {size.n_images}" for name, size in audit.splits.items())
    lines: list[str | TextTable] = [_size(audit) + (f" ({parts})" if parts else "")]
    if audit.unit == "image":
        lines.append(
            "Every image is its own group: if patients have several images, add a column `patient`."
        )
    lines += list_joined(audit.repair)
    if audit.findings:
        lines.append(_findings_table(audit.findings))
    if audit.unchecked:
        lines += [] if audit.findings else ["No copies found."]
        lines.append(f"not checked: {audit.unchecked}")
    elif not audit.findings:
        lines.append("No duplicates or leaks found.")
    return [*lines, *audit.reach]


def _findings_table(findings: Iterable[Finding]) -> TextTable:
    """Return the findings, some pairs below each."""
    rows, plain = [("", "finding", "")], []
    for finding in findings:
        rows.append((finding.severity, finding.kind, finding.message))
        plain.append(f"{finding.severity:<8} {finding.kind}: {finding.message}")
        for line in _pair_lines(finding):
            rows.append(("", "", line))
            plain.append(f"{'':<11}{line}")
    return TextTable(rows, plain=plain)


def _pair_lines(finding: Finding) -> Iterator[str]:
    for pair in finding.pairs[:_MOST_LINES]:
        is_named = finding.kind in {"alike_names", "same_group"}
        score = "" if is_named else f", {pair.score:.2f}"
        how = f"  ({pair.how}{score})" if pair.how else ""
        yield f"{pair.a}  ~  {pair.b}{how}"
    if len(finding.pairs) > _MOST_LINES:
        yield f"… and {len(finding.pairs) - _MOST_LINES} more pairs"


def format_overlap(audit: AuditReport | None) -> list[str]:
    """Return the train-test overlap with external images, and what was not compared."""
    if audit is None:
        return [f"caution  {UNKNOWN_OVERLAP}"]
    lines = [f"caution  {finding.message}" for finding in audit.findings]
    if audit.leaks:
        lines.append("         results are over-optimistic: the model was trained on some of these")
    if not lines:
        lines.append("overlap: none found between the model's training and the external data")
    lines += [f"         {sentence}" for sentence in audit.reach]
    return [*lines, *([f"not checked: {audit.unchecked}"] if audit.unchecked else [])]
