"""Commands of ``eosin data``: data sets, manifests, image checks, leak audit, cache."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Annotated

import typer

from eosin.cli.options import (
    AllowSkipped,
    AsJson,
    GroupColumn,
    Independent,
    LabelColumn,
    OptionalOutput,
    PathColumn,
    PatientColumn,
    Pseudonymise,
)
from eosin.cli.printing import echo, message, print_result, report_skipped
from eosin.cli.shared import CONTEXT, Group
from eosin.core.text import TextTable

data = typer.Typer(
    cls=Group,
    context_settings=CONTEXT,
    help="Known data sets, manifests, image checks, leak audit.",
    no_args_is_help=True,
)


@data.command("list")
def list_data(
    name: Annotated[str | None, typer.Argument(help="Data set whose facts are shown.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the known data sets, or show the facts of one."""
    from eosin.commands.data_list import list as list_datasets
    from eosin.reporting.terminal import dataset_facts, dataset_rows

    found = list_datasets(name)
    rows = dataset_rows(found) if name is None else dataset_facts(found[0])
    print_result([TextTable(rows)], found, as_json=as_json)


@data.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a public data set.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; default: $EOSIN_DATA/NAME.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licence without a prompt.")
    ] = False,
    keep_archive: Annotated[
        bool, typer.Option("--keep-archive", help="Keep the archives after unpacking.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download a public data set; resumes if interrupted."""
    from eosin.commands.data_fetch import fetch as fetch_dataset

    confirm = functools.partial(typer.confirm, err=True) if sys.stdin.isatty() else None
    result = fetch_dataset(
        name, output, accept_licence=accept_licence, keep_archive=keep_archive, confirm=confirm
    )
    counts = f"{len(result.fetched)} fetched, {len(result.kept)} already complete"
    shown = f"{name} is in {result.folder} ({counts}): {result.unpacks_to}"
    print_result([shown, f"next: {result.next_step}"], result, as_json=as_json)


@data.command("manifest")
def manifest(
    name: Annotated[str, typer.Argument(help="Name of a known data set.")],
    root: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV or Parquet to write.")],
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Option of the data set (repeatable)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a manifest from a data set's own folder tree.

    Also prints which parts of the published data set are missing.
    """
    from eosin.commands.data_manifest import manifest as make_manifest
    from eosin.recipe import parse_overrides
    from eosin.reporting.terminal import format_samples

    # Same parser as for a recipe, so that one hint fits both.
    texts = [text.removeprefix("data.options.") for text in options or ()]
    made = make_manifest(name, root, output, options=parse_overrides(texts, schema=None))
    frame = made.samples.frame
    document = {
        "path": made.path,
        "n_images": len(frame),
        "n_groups": frame["group"].nunique(),
        "labels": frame["label"].value_counts().to_dict(),
        "notes": made.notes,
    }
    shown = [f"wrote {output}: {format_samples(made.samples)}", *made.notes]
    print_result(shown, document, as_json=as_json)


@data.command("check")
def check(
    path: Annotated[Path, typer.Argument(help="Image, folder or manifest.")],
    output: OptionalOutput = None,
    pseudonymise: Pseudonymise = False,
    as_json: AsJson = False,
) -> None:
    """List unreadable files and flag low-quality images.

    Exits with status 1 if a file cannot be read; flags are advice.
    """
    from eosin.commands.data_check import check as check_images
    from eosin.commands.data_check import format_quality, quality_json

    found = check_images(path, output=output, pseudonymise=pseudonymise)
    print_result(format_quality(found), quality_json(found), as_json=as_json)
    if output is not None:
        message(f"wrote {output / 'quality.csv'} and {output / 'quality.html'}")
    raise typer.Exit(1 if found.skipped else 0)


@data.command("audit")
def audit(
    manifest: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder of images or table.")],
    output: OptionalOutput = None,
    label: LabelColumn = "label",
    path_column: PathColumn = "path",
    patient: PatientColumn = "patient",
    group: GroupColumn = "group",
    independent: Independent = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Search for exact copies only, not for near-duplicates.")
    ] = False,
    repair: Annotated[
        Path | None,
        typer.Option(
            "--repair",
            metavar="NEW.csv",
            help="Merge groups that belong together, write a new manifest and audit it.",
        ),
    ] = None,
    pseudonymise: Pseudonymise = False,
    allow_skipped: AllowSkipped = False,
    as_json: AsJson = False,
) -> None:
    """Audit a split for shared patients, copies and near-duplicates.

    Exits with status 1 if any is found across subsets, or if a file cannot be read.
    """
    from eosin.commands.data_audit import audit as audit_manifest
    from eosin.reporting.sections.audit import format_audit

    result = audit_manifest(
        manifest, output=output, label=label, path=path_column, patient=patient, group=group,
        independent=independent, quick=quick, repair=repair, pseudonymise=pseudonymise,
        allow_skipped=True,
    )  # fmt: skip
    found, skipped = result.report, result.skipped
    for path, reason in skipped:
        echo(f"pixels not compared: {path}: {reason}", err=True)
    print_result(format_audit(found), found, as_json=as_json)
    where = Path("the lines above") if output is None else output / "skipped.csv"
    report_skipped(len(skipped), where, allowed=allow_skipped)
    raise typer.Exit(1 if found.leaks else 0)


@data.command("cache")
def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove everything that no process is using.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List or remove cached images and training stages."""
    from eosin.commands.data_cache import cache as list_cache
    from eosin.commands.data_cache import cache_document, format_cache

    found = list_cache(clear=clear)
    print_result(format_cache(found), cache_document(found), as_json=as_json)
    raise typer.Exit(1 if found.in_use else 0)
