"""docs/engine.md runs as it stands, and its tables and pictures are what was kept and drawn."""

import ast
import contextlib
import io
import re
from pathlib import Path

import pytest
from benchmarks.engine_pictures import PICTURES
from benchmarks.tables import STORE, render_table

from eosin.experiment.backends import engine

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "engine.md").read_text(encoding="utf-8")
#: What a statement prints, as its line's comment tells it.
TOLD = re.compile(r"^print\(.*\)  # (.*)$", flags=re.MULTILINE)


def test_the_code_runs_from_top_to_bottom_and_prints_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.parse(block), "docs/engine.md", "exec"), known)  # noqa: S102
        assert TOLD.findall(block) == printed.getvalue().splitlines()
    assert "again" in known  # the blocks were found, up to the last


def test_the_page_holds_the_digits_table():
    assert render_table("engine-digits") in PAGE


@pytest.mark.parametrize("name", ["engine", "engine_parts"])
def test_the_page_holds_the_times_or_the_mark_of_their_place(name):
    mark = f"<!-- table: {name} -->"
    if mark not in PAGE:
        assert (STORE / f"{name}.json").exists()
        assert render_table(name) in PAGE


def test_every_picture_is_there_and_every_drawn_one_is_shown_with_words():
    shown = re.findall(r"!\[([^\]]+)\]\((images/[^)]+)\)", PAGE)
    assert PAGE.count("![") == len(shown)
    assert all((DOCS / file).is_file() for _, file in shown)
    drawn = {f"images/{file.name}" for file in (DOCS / "images").glob("engine-*")}
    assert {f"images/{name}.png" for name in PICTURES} <= drawn
    assert drawn == {file for _, file in shown}


def _told(value):
    if value in (None, ()):
        return "left out"
    return f"`{value!r}`".replace("'", '"').replace("False", "false")


def test_the_page_names_every_key_that_is_refused():
    rows = [
        f"| `{section}.{key}` | {', '.join(map(_told, taken))} |"
        for section, keys in engine.FOREIGN_KEYS.items()
        for key, taken in keys.items()
    ]
    assert "| key | supported values |\n|---|---|\n" + "\n".join(rows) + "\n\n" in PAGE
