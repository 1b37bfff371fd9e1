"""All settings of an experiment: one frozen tree, read from TOML."""

from eosin.recipe.overrides import parse_overrides
from eosin.recipe.reading import read_recipe, recipe_from_dict, recipe_to_toml
from eosin.recipe.schema import Recipe

__all__ = [
    "Recipe",
    "parse_overrides",
    "read_recipe",
    "recipe_from_dict",
    "recipe_to_toml",
]
