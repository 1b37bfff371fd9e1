"""Options shared by several commands, and lines on stderr."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from eosin.core.errors import format_skipped
from eosin.core.text import one_line

Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="New or empty folder; by default runs/ with the name and time."
    ),
]
AllowSkipped = Annotated[
    bool, typer.Option("--allow-skipped", help="Exit 0 although files could not be read.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LabelColumn = Annotated[str, typer.Option("--label", help="Column of labels.")]
PathColumn = Annotated[str, typer.Option("--path", help="Column of image paths.")]
PatientColumn = Annotated[str, typer.Option("--patient", help="Column of patients.")]
GroupColumn = Annotated[
    str, typer.Option("--group", help="Column of the unit that must not cross a split.")
]
Independent = Annotated[
    bool, typer.Option("--independent", help="No two images are of one patient or slide.")
]
Pseudonymise = Annotated[
    bool, typer.Option("--pseudonymise", help="Pseudonyms for patients, groups and paths.")
]


def echo(lines: str | Iterable[str], *, err: bool = False) -> None:
    """Print one line or several; control characters in names are escaped."""
    listed = [lines] if isinstance(lines, str) else lines
    typer.echo("\n".join(map(one_line, listed)), err=err)


def report_skipped(n_skipped: int, *where: Path, allowed: bool) -> None:
    """Print the number of skipped files, and exit with status 1 unless that is allowed."""
    if n_skipped:
        echo(format_skipped(n_skipped, where), err=True)
        if not allowed:
            raise typer.Exit(1)
