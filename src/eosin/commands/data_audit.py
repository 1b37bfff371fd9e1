"""Command ``data audit``: leak audit of a manifest's split."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from eosin.artifacts.audit import AuditReport, JoinedGroups
from eosin.artifacts.columns import Columns
from eosin.artifacts.tables import name_of, row_number
from eosin.artifacts.versioned import write_document
from eosin.commands.data_check import read_thumbnails
from eosin.core.display import Shown
from eosin.core.errors import OutputError, UsageError, end_with
from eosin.core.files import check_output, prepare_output
from eosin.core.text import some
from eosin.core.types import Samples
from eosin.data.audit import (
    FileHashes,
    audit_samples,
    describe_repair,
    find_near_duplicates,
    hash_files,
    join_groups,
)
from eosin.data.audit.repair import write_repaired
from eosin.data.labelled import read_labelled
from eosin.experiment.audit_images import (
    ImageIndexBuilder,
    find_lack,
    gather_image_index,
    make_embedder,
)
from eosin.images.references import Skipped, without, write_skipped
from eosin.privacy.pseudonymise import (
    hide_document,
    hide_skipped,
    know_samples,
)
from eosin.reporting.rendering import write_page
from eosin.reporting.sections.audit import audit_page, shown_paths

_LOG = logging.getLogger(__name__)

#: Most joined groups named in a sentence.
_NAMED = 3


@dataclass(frozen=True, repr=False)
class AuditResult(Shown):
    """Result of ``data audit``.

    Attributes:
        report: Contents of ``audit.json``; ``report.leaks`` are the findings across subsets.
        skipped: ``(path, reason)`` of unreadable images, whose names and groups are still audited.
    """

    report: AuditReport
    skipped: Skipped

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        return {**self.report.summary(), "skipped": len(self.skipped)}


def audit(
    manifest: Path | str | pd.DataFrame,
    *,
    output: Path | str | None = None,
    label: str = "label",
    path: str = "path",
    patient: str = "patient",
    group: str = "group",
    independent: bool = False,
    quick: bool = False,
    repair: Path | str | None = None,
    pseudonymise: bool = False,
    allow_skipped: bool = False,
) -> AuditResult:
    """Run the leak audit of a folder of images or a table.

    Leaks are findings in the result, not errors.

    Args:
        manifest: Folder of images, in any layout that :func:`eosin.train` takes, or a manifest
            (CSV, workbook, Parquet or a pandas table); its ``split`` column, if any, or its folders
            of splits are the subsets.
        output: New or empty folder for ``audit.json``, ``audit.html`` with the pairs side by side,
            and ``skipped.csv`` if an image cannot be read; nothing is written without it.
        label: Column of the class.
        path: Column of the image reference.
        patient: Column of the patient.
        group: Column of the unit that must not cross a split.
        independent: Declare that no two images are of one patient or slide.
        quick: Search for copies only, not for near-duplicates (rotated, enlarged, shifted); also
            the case if an optional dependency for these is not installed.
        repair: New CSV or Parquet file for the table with groups joined that belong together; the
            findings are then those of this table. Its rows keep their ``split``.
        pseudonymise: Replace patients, groups and paths by pseudonyms.
        allow_skipped: Return the result although images cannot be read.

    Raises:
        SkippedFilesError: Images cannot be read; all is written, and its ``result`` has the rest.
        EosinError: The manifest is invalid, no image can be read, or the folder cannot be written.
    """
    repair = None if repair is None else Path(repair)
    if repair is not None:
        _check_repair(repair, pseudonymise=pseudonymise)
    columns = Columns(path, patient, group, independent)
    samples, table = read_labelled(manifest, label=label, columns=columns)
    if output is not None:
        check_output(output)
    content = not quick
    builder = ImageIndexBuilder(make_embedder() if content and not find_lack() else None)
    hashes = hash_files(samples, look=builder.add)
    without(samples, hashes.unreadable)  # raises if no image can be read
    image_index = gather_image_index(samples, hashes, builder, content=content)
    near_duplicates = find_near_duplicates(image_index)
    joined: list[JoinedGroups] = []
    if repair is not None:
        before = samples
        samples, joined = join_groups(before, hashes=hashes, near_duplicates=near_duplicates)
        source = before.frame if table is None else table
        column = write_repaired(repair, source, before, samples, columns, label)
        _LOG.info(f"wrote {repair}; its groups are in the column {column!r}")
    numbers = None if table is None else [row_number(table, n) for n in range(len(table))]
    report = audit_samples(samples, hashes=hashes, near_duplicates=near_duplicates, numbers=numbers)
    if repair is not None:
        report = _with_repair(report, joined, samples)
    report = _with_unread(report, hashes)
    name = name_of(manifest)
    shown = {cell: cell for cell in shown_paths(report)} if output is not None else {}
    pictures = read_thumbnails(samples, shown)
    skipped = hashes.unreadable
    if pseudonymise:
        known = know_samples(samples)
        name = "images"
        pictures = {known.cell("image", one, samples.root): pictures[one] for one in pictures}
        report = hide_document(report, known, samples.root)
        skipped = hide_skipped(skipped, known, samples.root)
    if output is not None:
        folder = prepare_output(output)
        write_document(folder / "audit.json", report)
        write_page(folder / "audit.html", audit_page(report, name, pictures))
        write_skipped(folder / "skipped.csv", skipped)
    lists = () if output is None else (Path(output) / "skipped.csv",)
    return end_with(AuditResult(report, skipped), len(skipped), lists, allowed=allow_skipped)


def _check_repair(repair: Path, *, pseudonymise: bool) -> None:
    """Raise before any image is read if the repaired table could not be written."""
    if pseudonymise:
        raise UsageError(
            "--repair and --pseudonymise cannot be combined: a manifest contains image names",
            hint="Repair first, then audit the new table with --pseudonymise",
        )
    if repair.suffix not in {".csv", ".parquet"}:
        raise UsageError(f"--repair needs a name that ends in .csv or .parquet, got {repair}")
    if repair.exists():
        raise OutputError(f"{repair} exists already", hint="Choose another name for --repair")


def _with_repair(report: AuditReport, joined: list[JoinedGroups], samples: Samples) -> AuditReport:
    """Add the joined groups, and those that the table's split still separates."""
    reach = [describe_repair(joined) or "Repair: no groups had to be merged."]
    split = samples.frame.get("split")
    if split is not None:
        parts = split[split != ""].groupby(samples.frame["group"]).unique()
        apart = [one.group for one in joined if len(parts.get(one.group, ())) > 1]
        if apart:
            named = some([f"{name} ({' and '.join(parts[name])})" for name in apart], _NAMED)
            reach.append(
                "Repair does not change the column split, which still separates "
                f"{len(apart):,} of the merged groups: {named}. Draw a new split "
                "(--set data.split.protocol=grouped), or correct the column."
            )
    return report.model_copy(update={"reach": (*reach, *report.reach), "repair": tuple(joined)})


def _with_unread(report: AuditReport, hashes: FileHashes) -> AuditReport:
    """Add what was not compared, as the first limit of the audit."""
    n, skipped = len(hashes.files), len(hashes.unreadable)
    if not skipped:
        return report
    shown = f"{skipped:,} of {n:,} images could not be read, so their pixels were not compared."
    return report.model_copy(update={"reach": (shown, *report.reach)})
