"""The verb ``data audit``: whether the parts of a manifest share material."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.columns import Columns
from eosin.artifacts.manifest import read_manifest
from eosin.artifacts.versioned import write_document
from eosin.core.files import check_output, prepare_output
from eosin.core.progress import progress_bar
from eosin.core.types import Image, Samples
from eosin.datasets.audit import FileHashes, audit_samples, find_alike, hash_files
from eosin.datasets.images import Skipped, without, write_skipped
from eosin.pipeline.albums import Gallery, find_lack, gather_album, make_embedder
from eosin.pipeline.checking import read_picture
from eosin.pipeline.pseudonymising import (
    hide_document,
    hide_pictures,
    hide_skipped,
    know_samples,
)
from eosin.reporting.leaks import pictured, write_audit_page


def audit_manifest(
    path: Path,
    *,
    output: Path | None = None,
    quick: bool = False,
    pseudonymise: bool = False,
    label: str = "label",
    columns: Columns | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[AuditReport, Skipped]:
    """Audit a manifest for leaks across its splits.

    Args:
        path: A manifest; its ``split`` column, if it has one, says the parts.
        output: New or empty folder for ``audit.json``, ``audit.html``, a page with the pairs side
            by side, and ``skipped.csv`` where an image cannot be read; nothing is written without
            it.
        quick: Look for copies only, not for the same tissue turned by any angle, enlarged or
            shifted; so it is, too, where a part that this needs is not installed.
        pseudonymise: Whether patients, groups and paths get pseudonyms.
        label: The column that holds the class.
        columns: The columns that hold the image reference, the patient and the group.
        say: Told what was changed when the manifest was read.

    Returns:
        The findings; ``(path, reason)`` of images that could not be read, whose names and groups
        are audited all the same.

    Raises:
        EosinError: The manifest does not fit, no image can be read, or the folder cannot take the
            files.
    """
    samples = read_manifest(path, label=label, allow_one_class=True, columns=columns or Columns())
    if say is not None:
        for note in samples.notes:
            say(f"{samples.name}: {note}")
    if output is not None:
        check_output(output)
    content = not quick
    gallery = Gallery(make_embedder() if content and not find_lack() else None)
    with progress_bar("Reading images") as advance:
        hashes = hash_files(samples, look=gallery.add, progress=advance)
    without(samples, hashes.unreadable)  # refuses a table of which nothing can be read
    album = gather_album(samples, hashes, gallery, content=content)
    with progress_bar("Comparing images") as advance:
        alike = find_alike(album, progress=advance)
    report = _with_unread(audit_samples(samples, hashes=hashes, alike=alike), hashes)
    name, pictures = path.resolve().name, _pictures(samples, report) if output is not None else {}
    skipped = hashes.unreadable
    if pseudonymise:
        known = know_samples(samples)
        name, pictures = "images", hide_pictures(pictures, known, samples.root)
        report = hide_document(report, known, samples.root)
        skipped = hide_skipped(skipped, known, samples.root)
    if output is not None:
        folder = prepare_output(output)
        write_document(folder / "audit.json", report)
        write_audit_page(folder / "audit.html", report, name, pictures)
        write_skipped(folder / "skipped.csv", skipped)
    return report, skipped


def _with_unread(report: AuditReport, hashes: FileHashes) -> AuditReport:
    """Say first what was not compared: finding nothing there means nothing."""
    n, skipped = len(hashes.files), len(hashes.unreadable)
    if not skipped:
        return report
    told = f"{skipped:,} of {n:,} images could not be read and were not compared by their pixels."
    return report.model_copy(update={"reach": (told, *report.reach)})


def _pictures(samples: Samples, report: AuditReport) -> dict[str, Image]:
    """Read what the page shows once more."""
    found = {cell: read_picture(samples, cell) for cell in pictured(report)}
    return {cell: picture for cell, picture in found.items() if picture is not None}
