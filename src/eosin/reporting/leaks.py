"""Near-duplicate pairs of the leak audit side by side, and the page of ``data audit``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from PIL import Image as PillowImage

from eosin.artifacts.audit import SHOWN_KINDS, AuditReport, Finding, Pair
from eosin.core.text import count, quantity
from eosin.core.types import Image
from eosin.reporting.formatting import ABSENT, number, shorten
from eosin.reporting.rendering import Table, render, text_table, write_page
from eosin.reporting.thumbnails import Tile, make_tile, read_thumbnail
from eosin.runs.finished import FinishedRun

#: Pairs per finding on the page of ``data audit``; all are in ``audit.json``.
_MOST_SHOWN = 12
_NAME_WIDTH = 40
#: Two thumbnails and the description of their match.
TilePair = tuple[Tile, Tile, str]


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


def pair_tiles(finding: Finding, pictures: Mapping[str, PillowImage.Image]) -> list[TilePair]:
    """Return the pairs of a finding whose thumbnails, by path, both exist."""
    if finding.kind not in SHOWN_KINDS:
        return []
    pairs = [p for p in finding.pairs if p.a in pictures and p.b in pictures][:_MOST_SHOWN]
    return [
        (
            _tile(pair.a, pair.split_a, pictures[pair.a]),
            _tile(pair.b, pair.split_b, pictures[pair.b]),
            describe_pair(pair),
        )
        for pair in pairs
    ]


def describe_pair(pair: Pair) -> str:
    """Describe the match of two images, e.g. ``"mirrored, similarity 0.98"``."""
    return f"{pair.how}, similarity {number(pair.score)}" if pair.how else "the very same"


def _tile(path: str, part: str | None, thumbnail: PillowImage.Image) -> Tile:
    place = PurePosixPath(path)
    name = shorten(place.name, _NAME_WIDTH)
    words = f"Image {place.name}" + (f" of {part}" if part else "")
    return make_tile(thumbnail.copy(), alt=words, title=name, lines=[part] if part else [])


def run_pairs(run: FinishedRun, finding: Finding) -> list[TilePair]:
    """Return the pairs of a finding whose thumbnails are in the run folder."""
    wanted = {(pair.a, pair.b) for pair in finding.pairs}
    by_number: dict[int | None, list[tuple[str, str]]] = defaultdict(list)
    for thumbnail in run.role("pair"):
        by_number[thumbnail.pair].append((thumbnail.path, thumbnail.file))
    found: dict[str, PillowImage.Image] = {}
    for sides in by_number.values():
        if tuple(path for path, _ in sides) not in wanted:
            continue
        for path, file in sides:
            found[path] = read_thumbnail(run.folder.samples / file)
    return pair_tiles(finding, found)


def write_audit_page(
    path: Path, report: AuditReport, name: str, pictures: Mapping[str, Image]
) -> Path:
    """Write the self-contained HTML page of a leak audit.

    Thumbnails are uint8, shape (H, W, 3), by path (see :func:`shown_paths`). A pair
    that lacks one is in ``audit.json`` only.

    Raises:
        OutputError: The page cannot be written.
    """
    shown = {cell: PillowImage.fromarray(image) for cell, image in pictures.items()}
    entries = []
    for number_, finding in enumerate(report.findings):
        pairs = pair_tiles(finding, shown)
        left = len(finding.pairs) - len(pairs)
        anchor, note = f"finding-{number_}", _left(left, pairs)
        entries.append((anchor, _title(finding), finding.message, pairs, note))
    facts = [("Images", count(report.n_images)), ("Groups", count(report.n_groups))]
    leaks = count(len(report.leaks)) if report.splits else ABSENT
    facts += [("Leaks", leaks), ("Findings", count(len(report.findings)))]
    html = render(
        "audit.html.j2",
        name=name,
        simulated=False,
        verdict=_verdict(report),
        unchecked=report.unchecked,
        facts=facts,
        parts=_parts(report),
        reach=report.reach,
        findings=entries,
    )
    return write_page(path, html)


def _title(finding: Finding) -> str:
    """Return a heading that distinguishes findings of one kind by their subsets."""
    sides = ((pair.split_a, pair.split_b) for pair in finding.pairs[:1])
    parts = dict.fromkeys(part for two in sides for part in two if part)
    what = f"{finding.severity.capitalize()}: {finding.kind.replace('_', ' ')}"
    return f"{what}, {' and '.join(parts)}" if parts else what


def _left(left: int, pairs: list[TilePair]) -> str:
    if not left:
        return ""
    words = "further pair" if pairs else "example pair"
    return f"{quantity(left, words)} in audit.json."


def _verdict(report: AuditReport) -> str:
    if report.leaks:
        return f"{quantity(len(report.leaks), 'leak')}: a test result would flatter."
    if not report.splits:
        twice = "what is in it twice is below" if report.findings else "nothing is in it twice"
        return f"The table has no split: leaks between parts were not looked for; {twice}."
    if report.findings:
        if report.unchecked:
            return "No copies across the parts; what was noted is below."
        return "No leak between the parts; what was noted is below."
    if report.unchecked:
        return "No image is in the table twice."
    return "Nothing was found that is in the table twice."


def _parts(report: AuditReport) -> Table | None:
    if not report.splits:
        return None
    rows = [[part, count(s.n_images), count(s.n_groups)] for part, s in report.splits.items()]
    return text_table("The parts.", ("Part", "Images", "Groups"), rows, texts=(0,))
