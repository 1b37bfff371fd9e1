"""The recipes that come with Eosin, by name."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from eosin.core.errors import RecipeError, close_matches

#: In an installed package beside the modules, in a checkout beside ``src``.
_FOLDERS = (Path(__file__).parents[1] / "recipes", Path(__file__).parents[3] / "recipes")


@cache
def shipped_recipes() -> dict[str, Path]:
    """Return the file of each shipped recipe, by name."""
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_recipe(name: str) -> Path:
    """Return the file of a shipped recipe.

    Raises:
        RecipeError: There is none of that name.
    """
    known = shipped_recipes()
    if name not in known:
        raise RecipeError(f"unknown recipe {name!r}", hint=close_matches(name, known))
    return known[name]


def locate_recipe(recipe: Path | str) -> Path:
    """Return the file of a recipe: a path, or the name of a shipped recipe.

    Raises:
        RecipeError: There is neither such a file nor such a recipe.
    """
    path = Path(recipe)
    if len(path.parts) != 1 or path.suffix or os.path.lexists(path):
        return path
    return find_recipe(path.name)
