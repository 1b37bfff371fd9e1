"""A pandas table in the place of a recipe's manifest, or of the recipe itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import csv_text
from eosin.artifacts.tables import read_table
from eosin.core.errors import RecipeError
from eosin.core.files import explain_os_errors, read_file, write_text
from eosin.core.types import ImageReference, change_parts
from eosin.recipe import Recipe

#: What a recipe may be, as Python gives it.
Given: TypeAlias = Recipe | Mapping[str, Any] | pd.DataFrame | Path | str | None


def take_table(
    recipe: Given, changes: Mapping[str, Any]
) -> tuple[Recipe | Mapping[str, Any] | Path | str | None, Mapping[str, Any], pd.DataFrame | None]:
    """Take a pandas table out of a recipe or of its overrides.

    It may stand in the recipe's place, or as ``data.manifest``, where the name of its file is left.
    """
    table = None
    if not isinstance(recipe, Recipe | Mapping | pd.DataFrame | Path | str | None):
        raise RecipeError(
            f"an object of type {type(recipe).__name__} is no recipe",
            hint="Give a folder of images, a table, or a recipe as a file or a dict",
        )
    if isinstance(recipe, pd.DataFrame):
        return None, changes, recipe
    if isinstance(recipe, Mapping):
        recipe, table = _take_table(recipe, table)
    changes, table = _take_table(changes, table)
    return recipe, changes, table


def _take_table(
    values: Mapping[str, Any], before: pd.DataFrame | None
) -> tuple[Mapping[str, Any], pd.DataFrame | None]:
    data = values.get("data")
    given = data.get("manifest") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(given, pd.DataFrame):
        return values, before
    return {**values, "data": {**data, "manifest": RunFolder(Path()).table.name}}, given


def write_own_table(
    path: Path, table: pd.DataFrame, changes: Mapping[str, Any], recipe: Any
) -> None:
    """Write a recipe's pandas table; its relative paths, from the working folder, become absolute.

    Raises:
        OutputError: It cannot be written.
        RecipeError: The file holds another table already.
    """
    sections = [one.get("data") for one in (changes, recipe) if isinstance(one, Mapping)]
    columns = (one.get("path") for one in sections if isinstance(one, Mapping))
    column = next(filter(None, columns), "path")
    frame = read_table(table)
    if column in frame:
        cells = [change_parts(cell, _absolute) for cell in frame[column]]
        frame = frame.assign(**{column: cells})
    text = csv_text(frame)
    if path.exists() and read_file(path) != text.encode():
        raise RecipeError(
            f"{path.parent} was started with another table of images",
            hint="Give the same table, or start a new run",
        )
    with explain_os_errors("make", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def with_manifest(recipe: Recipe, path: Path) -> Recipe:
    """Return a recipe with a table in the place of its manifest."""
    data = recipe.data.model_copy(update={"manifest": str(path.resolve())})
    return recipe.model_copy(update={"data": data})


def _absolute(cell: str) -> str:
    if "://" in cell:
        return cell  # refused by the reader
    image = ImageReference.parse(cell)
    return str(replace(image, path=(Path.cwd() / image.path).as_posix()))
