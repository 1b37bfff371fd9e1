"""Printing of the commands: results on stdout, messages on stderr."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import typer

from eosin.core.errors import format_skipped
from eosin.core.text import Content, TextTable, one_line, plain_lines

_LOG = logging.getLogger("eosin")


def echo(content: str | Content, *, err: bool = False) -> None:
    """Print a line, or lines and tables; control characters in names are escaped."""
    parts = [content] if isinstance(content, str) else content
    for is_drawn, some in groupby(parts, _is_drawn):
        if is_drawn:
            for table in some:
                _draw(table)
        else:
            typer.echo("\n".join(map(one_line, plain_lines(some))), err=err)


def _is_drawn(part: str | TextTable) -> bool:
    return isinstance(part, TextTable) and sys.stdout.isatty()


def _draw(table: Any) -> None:
    """Print a table of Rich; a column of words without blanks keeps its width if all can."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    columns = [[one_line(cell) for cell in column] for column in zip(*table.rows, strict=True)]
    widest = [
        max(len(word) for cell in column for word in (*cell.split(), "")) for column in columns
    ]
    fits = sum(widest) + 3 * len(columns) + 1 <= console.width
    drawn = Table(box=box.SIMPLE_HEAD, show_header=any(table.rows[0]))
    for place, (head, *cells) in enumerate(columns):
        drawn.add_column(
            Text(head),
            justify="right" if place >= len(columns) - table.right else "left",
            no_wrap=fits and not any(" " in cell for cell in (head, *cells)),
            overflow="fold",
        )
    for row in list(zip(*columns, strict=True))[1:]:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


def message(line: str) -> None:
    """Print a line beside the result: on stderr and in the log file, not with ``-q``."""
    _LOG.info("%s", line)


def print_json(document: Any) -> None:
    """Print one JSON document, characters outside ASCII escaped."""
    typer.echo(json.dumps(document, indent=2, default=_to_json, allow_nan=False))


def _to_json(value: Any) -> Any:
    """Return the fields of a document or a result; else the text of a value, as of a path."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return str(value)


def print_result(content: str | Content, document: Any, *, as_json: bool) -> None:
    """Print a result: lines and tables, or one JSON document."""
    if as_json:
        print_json(document)
    else:
        echo(content)


def dump_skipped(skipped: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Return unreadable files as JSON values."""
    return [{"path": path, "reason": reason} for path, reason in skipped]


def report_skipped(n_skipped: int, *where: Path, allowed: bool) -> None:
    """Print the number of skipped files, and exit with status 1 unless that is allowed."""
    if n_skipped:
        echo(format_skipped(n_skipped, where), err=True)
        if not allowed:
            raise typer.Exit(1)
