"""Command ``data check``: unreadable images, and images of doubtful quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.manifest import read_manifest, write_table
from eosin.artifacts.model import Planes
from eosin.artifacts.tables import is_table, name_of
from eosin.core.errors import DataError, ImageError
from eosin.core.files import check_output, prepare_output
from eosin.core.text import percent, printable, quantity
from eosin.core.types import TOGETHER, Image, Pixels, Samples, parts_of
from eosin.data.quality import (
    FLAGS,
    QualityReport,
    decode_stored,
    explain_flag,
    flag_images,
    measure_samples,
)
from eosin.images.failures import isolated
from eosin.images.preprocess import make_preprocessing, to_thumbnail
from eosin.images.references import ImageList, describe_left_out, list_images
from eosin.privacy.pseudonymise import hide_table, know_samples
from eosin.reporting.rendering import write_page
from eosin.reporting.sections.quality import measured, quality_page, shown_paths

_MOST_NAMES = 3
#: Images are subsampled on reading: a page holds some hundred thumbnails.
_THUMBNAIL_PX = 384


def check(
    path: Path | str | pd.DataFrame,
    *,
    output: Path | str | None = None,
    pseudonymise: bool = False,
) -> QualityReport:
    """Decode and measure every image of a folder or manifest.

    Args:
        path: Image, folder, container file, or manifest (CSV, Parquet or a pandas table).
        output: New or empty folder for ``quality.csv``, one row per image, and ``quality.html``, a
            page of flagged images; nothing is written without it.
        pseudonymise: Replace paths by pseudonyms.

    Returns:
        The measures and flags of each image; ``skipped`` lists what cannot be read, which is a
        finding here, not an error.

    Raises:
        DataError: The path does not exist, or the manifest is invalid.
        OutputError: The folder cannot be written.
    """
    samples, listed = _list_samples(path)
    if output is not None:
        check_output(output)
    found = measure_samples(samples, cells=listed.cells)
    found = {printable(cell): one for cell, one in {**found, **dict(listed.skipped)}.items()}
    report = flag_images(found, magnifications=_magnifications(samples))
    name = printable(name_of(path))
    pictures: dict[str, Image] = {}
    if output is not None:
        files = {printable(cell): cell for cell in listed.cells}
        pictures = read_thumbnails(samples, {one: files[one] for one in shown_paths(report)})
    if left_out := describe_left_out(listed.left_out):
        report = replace(report, notes=(*report.notes, left_out))
    if pseudonymise:
        known = know_samples(samples)
        name = "images"
        pictures = {known.cell("image", one, samples.root): pictures[one] for one in pictures}
        table = hide_table(report.table, known, samples.root)
        report = replace(report, table=table, notes=tuple(map(known.text, report.notes)))
    if output is not None:
        folder = prepare_output(output)
        write_table(folder / "quality.csv", report.table)
        write_page(folder / "quality.html", quality_page(report, name, pictures))
    return report


def _list_samples(path: Any) -> tuple[Samples, ImageList]:
    """Return the samples of a path or table, and the list of single images."""
    if not isinstance(path, pd.DataFrame):
        path = Path(path)
        if not path.exists() and "#" not in path.name:
            raise DataError(f"{path} does not exist")
    if is_table(path):
        samples = read_manifest(path, allow_one_class=True, reads_split=False)
        return samples, ImageList(samples.image_cells, [], Counter())
    listed = list_images([path])
    frame = pd.DataFrame({"path": [printable(cell) for cell in listed.cells]}, dtype=object)
    return Samples(frame=frame, root=Path(), class_names=()), listed


def _magnifications(samples: Samples) -> dict[str, str]:
    """Return the magnification of each image, those of a magnification stack separately."""
    if "magnification" not in samples.frame:
        return {}
    rows = zip(samples.frame["path"], samples.frame["magnification"], strict=True)
    return {
        part: taken
        for cell, cells in rows
        for part, taken in zip(filter(None, parts_of(cell)), cells.split(TOGETHER), strict=False)
    }


def read_thumbnails(samples: Samples, cells: Mapping[str, str]) -> dict[str, Image]:
    """Read images by name, as far as they can still be read: uint8, (H, W, 3), sides under 768 px.

    They are read again for a page: a pass over 100,000 images keeps none of them.
    """
    found = {name: _read_thumbnail(samples, cell) for name, cell in cells.items()}
    return {name: thumbnail for name, thumbnail in found.items() if thumbnail is not None}


def _read_thumbnail(samples: Samples, cell: str) -> Image | None:
    try:
        with isolated(cell):
            image, is_rgb = decode_stored(*samples.locate(cell))
            step = max(1, int(max(image.shape[:2])) // _THUMBNAIL_PX)
            # A copy: a view would keep the whole image in memory.
            small = image[::step, ::step].copy()
            return small if is_rgb else _light_up(small)
    except ImageError:
        return None


def _light_up(planes: Pixels) -> Image:
    """Convert fluorescence channels to RGB, each scaled from its minimum to its maximum."""
    values = planes.astype(np.float32) - planes.min(axis=(0, 1))
    scaled = np.rint(255 * values / np.maximum(values.max(axis=(0, 1)), 1)).astype(np.uint8)
    count = planes.shape[2]
    chosen = Planes(chosen=tuple(range(count)), n_stored=count, bits=8)
    names = [str(place) for place in range(count)]
    return to_thumbnail(scaled, make_preprocessing("unit", 1, channels=names, planes=chosen))


def format_quality(report: QualityReport) -> list[str]:
    """Return the number of images and some names for each flag, the worst first."""
    n_images, n_unreadable = len(report.table), len(report.skipped)
    lines = [
        reason if reason.startswith(file) else f"{file}: {reason}"
        for file, reason in report.skipped
    ]
    lines.append(f"{quantity(n_images, 'image')}, {n_unreadable} unreadable")
    for flag in FLAGS:
        rows = report.flagged(flag)
        if len(rows) == 0:
            continue
        lines.append(f"{flag:<11}{len(rows):>5}  {explain_flag(flag, report.limits)}")
        for _, row in rows.head(_MOST_NAMES).iterrows():
            lines.append(f"{'':<18}{row['path']}  ({measured(flag, row)})")
        if len(rows) > _MOST_NAMES:
            lines.append(f"{'':<18}… and {len(rows) - _MOST_NAMES} more")
    if report.n_flagged:
        share = percent(report.n_flagged / n_images, 1)
        lines.append(
            f"{report.n_flagged} flagged ({share}); flags are advice, no image is excluded"
        )
    else:
        lines.append("no image flagged")
    return [*lines, *report.notes]


def quality_json(report: QualityReport) -> dict[str, Any]:
    """Return the report as JSON values, with flagged images only."""
    table = report.table[report.table["flags"] != ""].astype(object)
    rows = table.where(table.notna(), None).drop(columns="reason").to_dict("records")
    return {
        "n_images": len(report.table),
        "n_flagged": report.n_flagged,
        "flags": {flag: len(report.flagged(flag)) for flag in FLAGS},
        "images": [{**row, "flags": row["flags"].split(";")} for row in rows],
        "unreadable": [{"path": path, "reason": why} for path, why in report.skipped],
        "notes": list(report.notes),
        "limits": asdict(report.limits),
    }
