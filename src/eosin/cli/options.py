"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="New or empty folder; default: runs/NAME-TIME."),
]
OptionalOutput = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="New or empty folder for a page and its data."),
]
RunFolders = Annotated[list[Path], typer.Argument(help="At least two finished run folders.")]
DryRun = Annotated[
    bool,
    typer.Option("--plan", help="Dry run: show what would be done, and the time and space needed."),
]
AllowSkipped = Annotated[
    bool, typer.Option("--allow-skipped", help="Exit with 0 even if files could not be read.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
LabelColumn = Annotated[str, typer.Option("--label", help="Column of labels.")]
PathColumn = Annotated[str, typer.Option("--path", help="Column of image paths.")]
PatientColumn = Annotated[str, typer.Option("--patient", help="Column of patients.")]
GroupColumn = Annotated[
    str, typer.Option("--group", help="Column of the unit that is kept together in a split.")
]
Independent = Annotated[
    bool, typer.Option("--independent", help="Declare that no two images share a patient or slide.")
]
Pseudonymise = Annotated[
    bool, typer.Option("--pseudonymise", help="Replace patients, groups and paths by pseudonyms.")
]
