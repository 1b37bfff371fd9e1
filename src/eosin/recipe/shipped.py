"""The recipes that come with Eosin, by name."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from eosin.core.errors import RecipeError, close_matches, suggest

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
    path, known = Path(recipe), shipped_recipes()
    if path.suffix == ".toml" or os.path.lexists(path):
        return path
    if str(path) in known:
        return known[str(path)]
    # Most often a folder of images or a table whose name is misspelt.
    beside = map(str, _list_folder(path.parent))
    raise RecipeError(
        f"there is no folder, table or recipe {str(path)!r}",
        hint=suggest(str(path), [*beside, *known])
        or "Check the path, or list the recipes: eosin recipes",
    )


def _list_folder(folder: Path) -> list[Path]:
    """Return the paths in a folder; none of one that cannot be listed."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []
