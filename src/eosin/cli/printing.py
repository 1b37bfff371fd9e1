"""Printing of the commands: results on stdout, messages on stderr."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from eosin.core.errors import format_skipped
from eosin.core.text import aligned, one_line

_LOG = logging.getLogger("eosin")


def echo(lines: str | Iterable[str], *, err: bool = False) -> None:
    """Print one line or several; control characters in names are escaped."""
    listed = [lines] if isinstance(lines, str) else lines
    typer.echo("\n".join(map(one_line, listed)), err=err)


def message(line: str) -> None:
    """Print a line beside the result: on stderr and in the log file, not with ``-q``."""
    _LOG.info("%s", line)


def print_json(document: Any) -> None:
    """Print one JSON document, characters outside ASCII escaped."""
    typer.echo(json.dumps(document, indent=2, default=str, allow_nan=False))


def print_table(rows: Sequence[Sequence[str]], right: int = 0, title: str = "") -> None:
    """Print rows, the first of them the head, as a Rich table in a terminal, else as plain text.

    Args:
        rows: Cells.
        right: Number of last columns that are aligned right.
        title: Line above the table.
    """
    if not sys.stdout.isatty():
        return echo([*([title] if title else []), *aligned(rows, right)])
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    head, *body = ([Text(one_line(cell)) for cell in row] for row in rows)
    table = Table(box=box.SIMPLE_HEAD, title=title and Text(one_line(title)), title_justify="left")
    for place, cell in enumerate(head):
        table.add_column(cell, justify="right" if place >= len(head) - right else "left")
    for row in body:
        table.add_row(*row)
    return Console().print(table)


def print_split(name: str, split: Any) -> None:
    """Print the results on a split: in a terminal as a table."""
    from eosin.reporting.pages import split_section
    from eosin.reporting.rendering import to_terminal

    section = split_section(name, split)
    if not sys.stdout.isatty():
        return echo(to_terminal(section))
    facts = [row for block in section.content for row in getattr(block, "items", ())]
    return print_table([("", ""), *facts], title=section.title)


def dump(document: Any) -> Any:
    """Return a pydantic document as JSON values; ``None`` stays."""
    return None if document is None else document.model_dump(mode="json")


def dump_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of each split as JSON values, as in ``metrics.json``."""
    return {name: dump(split) for name, split in metrics.items()}


def dump_skipped(skipped: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Return unreadable files as JSON values."""
    return [{"path": path, "reason": reason} for path, reason in skipped]


def report_skipped(n_skipped: int, *where: Path, allowed: bool) -> None:
    """Print the number of skipped files, and exit with status 1 unless that is allowed."""
    if n_skipped:
        echo(format_skipped(n_skipped, where), err=True)
        if not allowed:
            raise typer.Exit(1)
