"""Command ``recipes``: the shipped recipes, listed, shown and copied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eosin.core.errors import OutputError
from eosin.core.files import check_writable, write_text
from eosin.recipe import read_recipe
from eosin.recipe.shipped import find_recipe, shipped_recipes


@dataclass(frozen=True)
class RecipeLine:
    """A shipped recipe.

    Attributes:
        name: Its name, for ``eosin train NAME``.
        description: What it trains, in a sentence.
        path: Its file.
    """

    name: str
    description: str
    path: Path


def recipes(name: str | None = None, *, output: Path | str | None = None) -> list[RecipeLine]:
    """List the shipped recipes, or one of them; with ``output``, copy it there.

    Args:
        name: Name of a recipe; all by default.
        output: File to write, or folder to write ``NAME.toml`` into.

    Raises:
        EosinError: There is no such recipe, or the file exists or cannot be written.
    """
    paths = shipped_recipes() if name is None else {name: find_recipe(name)}
    found = [RecipeLine(key, read_recipe(path).description, path) for key, path in paths.items()]
    if name is not None and output is not None:
        _copy(paths[name], Path(output))
    return found


def _copy(recipe: Path, output: Path) -> None:
    target = output / recipe.name if output.is_dir() else output
    if target.exists():
        raise OutputError(f"{target} exists already", hint="Choose another file with -o")
    check_writable(target.parent)
    write_text(target, recipe.read_text(encoding="utf-8"))
