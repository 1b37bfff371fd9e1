"""Every knob of an experiment: one frozen tree, read from TOML."""

from eosin.recipe.reading import parse_overrides, read_recipe, recipe_from_dict
from eosin.recipe.schema import Recipe
from eosin.recipe.writing import recipe_to_toml

__all__ = ["Recipe", "parse_overrides", "read_recipe", "recipe_from_dict", "recipe_to_toml"]
