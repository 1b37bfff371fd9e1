"""Image quality: the images that ``data check`` flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from PIL import Image as PillowImage

from eosin.core.text import count, quantity
from eosin.core.types import Image
from eosin.data.quality import FLAGS, Flag, QualityReport, explain_flag
from eosin.reporting.formatting import below, common_folder, reason_alone, sentence, share, shorten
from eosin.reporting.outline import Facts, Page, Pair, Section, Table, Text, Tile, Tiles, make_table
from eosin.reporting.thumbnails import make_tile

#: Thumbnails per flag; the rest is in ``quality.csv``.
_MOST_SHOWN = 24
#: Characters of a file name, and of its folder, below a thumbnail.
_NAME_WIDTH = 44
#: Unreadable files that are listed; the rest is in ``quality.csv``.
_MOST_ROWS = 200
#: Flags of which the worst images come first.
_RANKED = {"blank", "blurred", "saturated", "ink"}


def quality_page(report: QualityReport, name: str, pictures: Mapping[str, Image]) -> Page:
    """Return the page of a quality check.

    Thumbnails are uint8, shape (H, W, 3), by path: those that :func:`shown_paths` names. An image
    without one is left out.
    """
    folder = common_folder(report.table["path"])
    advice = "Flags are advice: no image was changed, and training does not exclude flagged images."
    return Page(
        kind="Eosin data check · image quality",
        name=name,
        tab=f"{name}: image quality · Eosin",
        verdict=_verdict(report),
        masthead=Section("", Text(advice, look="about")),
        sections=(
            Section(
                "Summary",
                Facts(_facts(report), look="cards"),
                _summary(report),
                *(Text(sentence(note), look="small") for note in report.notes),
            ),
            *(_gallery(flag, report, pictures, folder) for flag in FLAGS),
            _unreadable(report, folder),
        ),
        footer="Created by Eosin's data check. quality.csv beside this page has the values of every"
        " image.",
    )


def measured(flag: Flag, row: Any) -> str:
    """Format the measurement behind a flag, e.g. ``"2.1 % tissue"``."""
    if flag == "blank":
        return f"{share(row['tissue'])} tissue"
    if flag == "blurred":
        return f"z −{-row['focus_z']:.1f}"
    if flag == "saturated":
        return f"{share(row['saturation'])} saturated"
    if flag == "ink":
        return f"{share(row['ink'])} ink"
    if flag == "duplicate":
        return f"duplicate of {row['duplicate_of']}"
    return f"{row['width']} × {row['height']} px"


def shown_paths(report: QualityReport) -> list[str]:
    """Return the paths of the images on the page, each once."""
    shown = [path for flag in FLAGS for path in report.flagged(flag)["path"].head(_MOST_SHOWN)]
    return list(dict.fromkeys(shown))


def _verdict(report: QualityReport) -> str:
    n_images, n_unreadable = len(report.table), len(report.skipped)
    flagged = f"{count(report.n_flagged)} of {quantity(n_images, 'image')}"
    verb = "is" if report.n_flagged == 1 else "are"
    text = f"{flagged} {verb} flagged for review" if report.n_flagged else "No image is flagged"
    return f"{text}; {count(n_unreadable)} cannot be read." if n_unreadable else f"{text}."


def _facts(report: QualityReport) -> list[Pair]:
    table = report.table
    kinds = table["kind"][table["kind"] != ""].value_counts()
    return [
        ("Images", count(len(table))),
        *((str(kind).capitalize(), count(int(number))) for kind, number in kinds.items()),
        ("Flagged", count(report.n_flagged)),
        ("Unreadable files", count(len(report.skipped))),
    ]


def _summary(report: QualityReport) -> Table | None:
    n_images = len(report.table)
    has_sections = bool((report.table["kind"] == "brightfield").any())
    rows: list[tuple[str | int | None, ...]] = []
    for flag in FLAGS:
        found = len(report.flagged(flag))
        asked = has_sections or flag not in {"blank", "ink"}
        numbers = (found, share(found / n_images)) if asked else (None, None)
        rows.append((_label(flag), explain_flag(flag, report.limits), *numbers))
    columns = ("Flag", "Criterion", "Images", "Proportion")
    caption = "Quality flags and their frequency."
    return make_table(caption, columns, rows, texts=(0, 1), name="flags")


def _gallery(
    flag: Flag, report: QualityReport, pictures: Mapping[str, Image], folder: str
) -> Section:
    rows = report.flagged(flag)
    shown = [row for _, row in rows.head(_MOST_SHOWN).iterrows() if row["path"] in pictures]
    tiles = [_tile(flag, row, pictures[row["path"]], folder) for row in shown]
    if len(rows) == 0:
        return Section("")
    words = sentence(explain_flag(flag, report.limits))
    if len(tiles) > 1 and flag in _RANKED:
        words += " Worst first."
    title = f"{_label(flag)}: {quantity(len(rows), 'image')}"
    rest = _more(len(rows) - len(tiles))
    return Section(title, words, Tiles(tiles), rest, nav=_label(flag))


def _label(flag: Flag) -> str:
    return flag.replace("_", " ").capitalize()


def _more(n: int) -> Text:
    return Text(f"… and {count(n)} more in quality.csv." if n else "", look="small")


def _tile(flag: Flag, row: Any, thumbnail: Image, common: str) -> Tile:
    path = PurePosixPath(below(row["path"], common))
    value = measured(flag, row)
    if flag == "duplicate":
        value = f"duplicate of {shorten(PurePosixPath(row['duplicate_of']).name, _NAME_WIDTH)}"
    name = shorten(path.name, _NAME_WIDTH)
    folder = shorten("/".join(path.parent.parts[-2:]), _NAME_WIDTH)
    alt = f"Image {path.name}, flagged as {flag.replace('_', ' ')}: {value}"
    lines = (name, *([folder] if folder else []))
    return make_tile(PillowImage.fromarray(thumbnail), alt=alt, title=value, lines=lines)


def _unreadable(report: QualityReport, folder: str) -> Section:
    rows = [
        (below(path, folder), reason_alone(path, reason))
        for path, reason in report.skipped[:_MOST_ROWS]
    ]
    table = make_table(
        "Unreadable files.",
        ("File", "Reason"),
        rows,
        texts=(0, 1),
        look="paths",
        name="unreadable",
    )
    rest = _more(len(report.skipped) - len(rows))
    return Section("Unreadable files", table, rest, nav="Unreadable")
