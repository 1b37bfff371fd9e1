"""From a recipe back to TOML: what a run folder keeps, re-runnable as it stands."""

from __future__ import annotations

from typing import Any

import tomli_w

from eosin.recipe.schema import Recipe


def recipe_to_toml(recipe: Recipe) -> str:
    """Return the resolved recipe as TOML, every default written out.

    A null has no form in TOML: such a key is left out and means its default.
    """
    return tomli_w.dumps(_without_none(recipe.model_dump(mode="json")))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
