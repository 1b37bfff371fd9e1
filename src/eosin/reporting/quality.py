"""HTML page of ``data check``: the flagged images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image as PillowImage

from eosin.core.text import count, quantity
from eosin.core.types import Image
from eosin.data.quality import FLAGS, Flag, QualityReport, explain_flag
from eosin.reporting.formatting import ABSENT, share, shorten
from eosin.reporting.rendering import Table, render, text_table, write_page
from eosin.reporting.sections.exploration import MOST_ROWS
from eosin.reporting.thumbnails import Tile, make_tile

#: Thumbnails per flag; the rest is in ``quality.csv``.
_MOST_SHOWN = 24
#: Characters of a file name, and of its folder, below a thumbnail.
_NAME_WIDTH = 44
_LABELS: dict[Flag, str] = {
    "constant": "Constant",
    "blank": "Blank",
    "blurred": "Blurred",
    "saturated": "Saturated",
    "ink": "Ink",
    "odd_size": "Odd size",
    "duplicate": "Duplicate",
}


def measured(flag: Flag, row: Any) -> str:
    """Format the measurement behind a flag, e.g. ``"2.1 % tissue"``."""
    if flag == "blank":
        return f"{share(row['tissue'])} tissue"
    if flag == "blurred":
        return f"z −{-row['focus_z']:.1f}"
    if flag == "saturated":
        return f"{share(row['saturation'])} cut off"
    if flag == "ink":
        return f"{share(row['ink'])} ink"
    if flag == "duplicate":
        return f"same as {row['duplicate_of']}"
    return f"{row['width']} × {row['height']} px"


def shown_paths(report: QualityReport) -> list[str]:
    """Return the paths of the images on the page, each once."""
    shown = [path for flag in FLAGS for path in report.flagged(flag)["path"].head(_MOST_SHOWN)]
    return list(dict.fromkeys(shown))


def write_quality_page(
    path: Path, report: QualityReport, name: str, pictures: Mapping[str, Image]
) -> Path:
    """Write the self-contained HTML page of a quality check.

    Thumbnails are uint8, shape (H, W, 3), by path: those that :func:`shown_paths` names. An image
    without one is left out.

    Raises:
        OutputError: The page cannot be written.
    """
    html = render(
        "quality.html.j2",
        name=name,
        simulated=False,
        verdict=_verdict(report),
        facts=_facts(report),
        summary=_summary(report),
        notes=[f"{note[0].upper()}{note[1:]}." for note in report.notes],
        galleries=_galleries(report, pictures),
        unreadable=_unreadable(report),
        n_unlisted=max(0, len(report.unreadable) - MOST_ROWS),
    )
    return write_page(path, html)


def _verdict(report: QualityReport) -> str:
    n_images, n_unreadable = len(report.table), len(report.unreadable)
    flagged = f"{quantity(report.n_flagged, 'image')} of {count(n_images)}"
    text = f"{flagged} should be looked at" if report.n_flagged else "Nothing was flagged"
    return f"{text}, {count(n_unreadable)} cannot be read." if n_unreadable else f"{text}."


def _facts(report: QualityReport) -> list[tuple[str, str]]:
    table = report.table
    kinds = table["kind"][table["kind"] != ""].value_counts()
    return [
        ("Images", count(len(table))),
        *((str(kind).capitalize(), count(int(number))) for kind, number in kinds.items()),
        ("Flagged", count(report.n_flagged)),
        ("Unreadable files", count(len(report.unreadable))),
    ]


def _summary(report: QualityReport) -> Table:
    n_images = len(report.table)
    has_sections = bool((report.table["kind"] == "brightfield").any())
    rows: list[list[str | int]] = []
    for flag in FLAGS:
        found = len(report.flagged(flag))
        asked = has_sections or flag not in {"blank", "ink"}
        numbers = [found, share(found / n_images)] if asked else [ABSENT, ABSENT]
        rows.append([_LABELS[flag], explain_flag(flag, report.limits), *numbers])
    columns = ("Flag", "Which images", "Images", "Share of all")
    return text_table(
        "What was looked for, and how often it was found.", columns, rows, texts=(0, 1)
    )


def _galleries(
    report: QualityReport, pictures: Mapping[str, Image]
) -> list[tuple[Flag, str, str, list[Tile], str]]:
    """Return anchor, title, explanation, thumbnails and number left out of each raised flag."""
    found = []
    for flag in FLAGS:
        rows = report.flagged(flag)
        if len(rows) == 0:
            continue
        shown = rows.head(_MOST_SHOWN)
        tiles = [
            _tile(flag, row, pictures[row["path"]])
            for _, row in shown.iterrows()
            if row["path"] in pictures
        ]
        words = explain_flag(flag, report.limits)
        left_out = len(rows) - len(tiles)
        title = f"{_LABELS[flag]}: {quantity(len(rows), 'image')}"
        sentence = f"{words[0].upper()}{words[1:]}."
        found.append((flag, title, sentence, tiles, count(left_out) if left_out else ""))
    return found


def _tile(flag: Flag, row: Any, thumbnail: Image) -> Tile:
    path = PurePosixPath(row["path"])
    value = measured(flag, row)
    if flag == "duplicate":
        value = f"same as {shorten(PurePosixPath(row['duplicate_of']).name, _NAME_WIDTH)}"
    name = shorten(path.name, _NAME_WIDTH)
    folder = shorten("/".join(path.parent.parts[-2:]), _NAME_WIDTH)
    alt = f"Image {path.name}, flagged as {_LABELS[flag].lower()}: {value}"
    lines = (name, *([folder] if folder else []))
    return make_tile(PillowImage.fromarray(thumbnail), alt=alt, title=value, lines=lines)


def _unreadable(report: QualityReport) -> Table | None:
    if not report.unreadable:
        return None
    rows = report.unreadable[:MOST_ROWS]
    return text_table("Files that cannot be read.", ("File", "Reason"), rows, texts=(0, 1))
