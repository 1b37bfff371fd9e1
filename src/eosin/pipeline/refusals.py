"""Keys of a recipe that exclude each other, which the schema cannot know."""

from __future__ import annotations

from pathlib import Path

from eosin.augment import POLICIES
from eosin.core.errors import RecipeError
from eosin.recipe.schema import Recipe, Section
from eosin.training.tuning import Tuning

#: What speaks of images: refused where it is not as by default.
_OF_IMAGES = {
    "model": ("input_px", "preprocessing"),
    "data": ("fuse", "channels", "channel_names"),
    "transfer": ("source", "freeze", "unfreeze_every", "layer_decay", "stage"),
}


def check_embedding(recipe: Recipe, table: Path) -> None:
    """Refuse, before any data is read, what has no meaning for features.

    Args:
        recipe: Whose model is a head on a table.
        table: That table.

    Raises:
        RecipeError: The table is absent, or a key is set that speaks of images.
    """
    if not table.is_file():
        raise RecipeError(f"'model.name': the table of features {table} does not exist")
    for name, keys in _OF_IMAGES.items():
        section: Section = getattr(recipe, name)
        for key in keys:
            if getattr(section, key) != type(section).model_fields[key].default:
                _refuse(f"{name}.{key}", table)
    if not POLICIES.get(recipe.augment.policy).changes_nothing:
        _refuse("augment.policy", table)


def _refuse(key: str, table: Path) -> None:
    raise RecipeError(
        f"'{key}' is for networks that see images, but the model is a head on the features of "
        f"{table.name}",
        mend="Leave it out",
    )


def check_standardising(recipe: Recipe) -> None:
    """Refuse, before any data is read, to standardise features that change while training.

    Raises:
        RecipeError: Naming what they need.
    """
    transfer = recipe.transfer
    tuning = Tuning(freeze=transfer.freeze, unfreeze_every=transfer.unfreeze_every)
    is_still = tuning.is_head_only and POLICIES.get(recipe.augment.policy).changes_nothing
    if transfer.standardise and recipe.model.table is None and not is_still:
        raise RecipeError(
            "'transfer.standardise' needs features that stay the same",
            mend='Set transfer.freeze = "backbone", and neither transfer.unfreeze_every nor an '
            "augmentation",
        )
