"""Tables of a benchmark, kept as it printed them, for the pages of results."""

from __future__ import annotations

import json
from pathlib import Path

from eosin.core.files import write_json

STORE = Path(__file__).parents[1] / "docs" / "results" / "tables"


def write_table(
    name: str, caption: str, command: str, columns: list[str], rows: list[list[str]]
) -> None:
    """Keep a table under a name, and print it.

    Args:
        name: Of its file.
        caption: What it shows.
        command: What made it.
        columns: Headings.
        rows: Cells, a row each.
    """
    STORE.mkdir(parents=True, exist_ok=True)
    kept = {"caption": caption, "command": command, "columns": columns, "rows": rows}
    write_json(STORE / f"{name}.json", kept)
    print(render_table(name))


def render_table(name: str) -> str:
    """Return a kept table as Markdown."""
    found = json.loads((STORE / f"{name}.json").read_text(encoding="utf-8"))
    lines = [found["columns"], ["---"] * len(found["columns"]), *found["rows"]]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{found['caption']}\n\n```sh\n{found['command']}\n```\n\n{table}"
