"""Validation of a recipe before any data is read: names, and keys that cannot be combined."""

from __future__ import annotations

import shlex
from pathlib import Path

from eosin.artifacts.crops import MOST_CROPS, count_crops
from eosin.artifacts.layout import RunFolder
from eosin.augment import POLICIES
from eosin.core.errors import RecipeError
from eosin.core.places import expand_path
from eosin.core.registry import NetworkSpec, check_arguments
from eosin.core.types import Samples
from eosin.data.sources.catalogue import DATASETS
from eosin.experiment.backends import find_backend
from eosin.experiment.copies import count_copies
from eosin.recipe.data import DataSection
from eosin.recipe.schema import IMAGENET, Recipe, StainSection, TransferSection
from eosin.recipe.section import Section
from eosin.stain import METHODS
from eosin.training.tuning import Tuning

#: Settings that keep features the same.
_STILL = (
    'Set transfer.freeze = "backbone", no transfer.unfreeze_every, no model.field_px, and either '
    "no augmentation or augment.copies"
)
#: Keys that concern images: refused unless at their defaults.
_OF_IMAGES = {
    "model": ("input_px", "field_px", "mpp", "resize", "preprocessing"),
    "data": ("fuse", "channels", "channel_names", "window"),
    "augment": ("test_time",),
    "stain": ("method", "reference", "unit", "apply_to"),
    "transfer": ("source", "freeze", "unfreeze_every", "layer_decay", "stage"),
    "train": ("teachers",),
}


def check_names(recipe: Recipe) -> None:
    """Refuse, before any data is read, unregistered names and wrong arguments.

    Raises:
        UnknownNameError: With close matches.
        RecipeError: An argument or input size that the network does not accept.
    """
    stages = recipe.transfer.stage
    for section in (recipe.data, *_stage_data(recipe)):
        if section.dataset is not None:
            DATASETS.get(section.dataset)
    for policy in (recipe.augment.policy, *(stage.augment for stage in stages)):
        if policy is not None:
            POLICIES.get(policy)
    check_stain(recipe.stain)
    if recipe.model.table is not None:
        check_embedding(recipe, expand_path(recipe.model.table))
        if recipe.data.fuse:
            raise RecipeError(f"'data.fuse' is for images, but {recipe.model.name} takes features")
    backend = find_backend(recipe.model)
    spec = backend.find_spec(recipe.model.name)
    check_arguments(spec, recipe.model.input_px or spec.input_px, recipe.model.arguments)
    check_field(recipe, spec)
    backend.check(recipe)
    check_standardising(recipe)
    check_balance(recipe)
    check_mixup(recipe)
    check_teaching(recipe)


def check_teaching(recipe: Recipe) -> None:
    """Refuse, with ``RecipeError``, absent teachers, and what they cannot predict."""
    if not recipe.train.teachers:
        return
    for name in recipe.train.teachers:
        check_finished(RunFolder(expand_path(name)))
    if recipe.train.balance == "smote":
        raise RecipeError(
            "'train.teachers' predict images, not the vectors of 'train.balance' = \"smote\"",
            hint='Set train.balance = "oversample"',
        )
    if recipe.augment.copies_before_split:
        raise RecipeError(
            "'train.teachers' cannot be combined with 'augment.copies_before_split'",
            hint="Leave it out",
        )


def check_finished(run: RunFolder) -> None:
    """Refuse, with ``RecipeError``, a teacher that is no finished run with its images' table."""
    if not (run.metrics.exists() and run.manifest.exists()):
        raise RecipeError(
            f"'train.teachers': {run.root} is not a finished run of a training",
            hint="Name a run folder, for folds one with the same folds",
        )


def check_mixup(recipe: Recipe) -> None:
    """Refuse, with ``RecipeError``, to mix stacks, whose missing images are black."""
    is_fused = any(section.fuse for section in (recipe.data, *_stage_data(recipe)))
    if recipe.train.mixup and is_fused:
        raise RecipeError(
            "'train.mixup' cannot be combined with 'data.fuse': a missing magnification would be "
            "mixed with an image",
            hint="Leave it out",
        )


def check_field(recipe: Recipe, spec: NetworkSpec) -> None:
    """Refuse, before any data is read, a field smaller than a crop, and what needs whole images.

    Raises:
        RecipeError: Names the key.
    """
    model, crop_px = recipe.model, recipe.model.input_px or spec.input_px
    if model.mpp is not None and recipe.data.fuse:
        raise RecipeError(
            "'model.mpp' is one scale, but the images of a stack ('data.fuse') have several",
            hint="Leave it out",
        )
    if model.field_px is None:
        return
    height, width = model.field_px
    if crop_px > min(height, width):
        raise RecipeError(
            f"'model.field_px': a field of {height} × {width} pixels has no room for crops of "
            f"{crop_px}",
            hint=f"Take smaller ones: --set model.input_px={min(height, width)}",
        )
    if (n_crops := count_crops(model.field_px, crop_px)) > MOST_CROPS:
        raise RecipeError(
            f"'model.field_px': {n_crops} crops of {crop_px} pixels would cover it, at most "
            f"{MOST_CROPS} are possible",
            hint="Raise model.input_px",
        )
    if recipe.transfer.stage:
        raise RecipeError(
            "'model.field_px' is the shape of one data set's images, but 'transfer.stage' has "
            "others",
            hint="Train the stage by itself, and name its model.safetensors in transfer.source",
        )
    if count_copies(recipe.augment):
        raise RecipeError(
            "'model.field_px': crops are drawn anew in every epoch, but the recipe makes fixed "
            "copies of each image",
            hint='Leave augment.copies out, with a policy such as "dihedral"',
        )


def check_embedding(recipe: Recipe, table: Path) -> None:
    """Refuse, before any data is read, settings that have no meaning for features.

    Raises:
        RecipeError: The table is absent, or a key that concerns images is set.
    """
    if not table.is_file():
        raise RecipeError(f"'model.name': the table of features {table} does not exist")
    for name, keys in _OF_IMAGES.items():
        section: Section = getattr(recipe, name)
        for key in keys:
            if getattr(section, key) != type(section).model_fields[key].default:
                _refuse(f"{name}.{key}", table)
    if recipe.data.split.by == "appearance":
        _refuse('data.split.by = "appearance"', table)
    if not POLICIES.get(recipe.augment.policy).changes_nothing:
        _refuse("augment.policy", table)


def _refuse(key: str, table: Path) -> None:
    raise RecipeError(
        f"'{key}' is for networks that take images, but the model is a head on the features of "
        f"{table.name}",
        hint="Leave it out",
    )


def _stage_data(recipe: Recipe) -> list[DataSection]:
    return [stage.data for stage in recipe.transfer.stage]


def check_positive(samples: Samples, positive: str | None) -> None:
    """Refuse, before any image is read, a task whose positive class is undecided or meaningless.

    Raises:
        RecipeError: Of two classes, none is positive; or of more, one is.
    """
    names = samples.class_names
    if len(names) == 2 and samples.positive is None:
        ways = " or ".join(f"--positive={shlex.quote(name)}" for name in names)
        raise RecipeError(
            f"'data.positive' is needed: {samples.name} has the two classes "
            f"{names[0]!r} and {names[1]!r}, and recall, threshold and AUC belong to the "
            "positive one",
            hint=f"Choose it: {ways}",
        )
    if len(names) > 2 and positive is not None:
        raise RecipeError(
            f"'data.positive' is {positive!r}, but {samples.name} has {len(names)} classes: "
            f"{', '.join(map(repr, names))}",
            hint="Merge classes in the table, or leave it out: --set data.positive=",
        )


def check_stain(stain: StainSection) -> None:
    """Refuse, before any data is read, an unknown method or an absent reference image.

    Raises:
        UnknownNameError: The method, with close matches.
        RecipeError: The file is absent.
    """
    if stain.is_on:
        METHODS.get(stain.method)
    if stain.file is not None and not expand_path(stain.file).is_file():
        raise RecipeError(f"'stain.reference': the image {stain.file} does not exist")


def check_modality(recipe: Recipe, modality: str) -> None:
    """Refuse settings of another modality: ``RecipeError`` with the key."""
    if recipe.stain.is_on and modality != "brightfield":
        raise RecipeError(
            f"'stain.method': {recipe.stain.method!r} separates dyes that absorb light, but "
            f"these images are {modality}",
            hint="Leave it out: data.window scales fluorescence channels",
        )
    name = recipe.augment.policy
    wanted = POLICIES.get(name).modality
    if wanted not in {None, modality}:
        raise RecipeError(
            f"'augment.policy': {name!r} is for {wanted} images, but these are {modality}",
            hint='Use "default" for brightfield, "fluorescence" for fluorescence',
        )


def check_standardising(recipe: Recipe) -> None:
    """Refuse, with ``RecipeError``, to standardise features that change while training."""
    if recipe.transfer.standardise and not _is_still(recipe):
        raise RecipeError("'transfer.standardise' needs a frozen backbone", hint=_STILL)


def check_balance(recipe: Recipe) -> None:
    """Refuse, before any data is read, settings that cannot balance a training or stage.

    Raises:
        RecipeError: SMOTE is requested between features that change while training, or another
            number of copies than the policy has.
    """
    for stage in recipe.transfer.stage:
        policy = stage.augment or recipe.augment.policy
        changes = {"policy": policy, "copies_before_split": False}
        augment = recipe.augment.model_copy(update=changes)
        one = {"augment": augment, "transfer": TransferSection(freeze=stage.freeze)}
        check_balance(recipe.model_copy(update=one))
    if recipe.train.balance == "smote" and not _is_still(recipe):
        raise RecipeError(
            "'train.balance' is \"smote\", which needs a frozen backbone", hint=_STILL
        )
    name, copies = recipe.augment.policy, recipe.augment.copies
    if copies is not None and POLICIES.get(name).changes_nothing:
        raise RecipeError(
            f"'augment.copies' is {copies}, but the policy {name!r} changes nothing: the copies "
            "would be the image itself",
            hint="Choose an augment.policy, or leave it out",
        )
    if recipe.augment.copies_before_split and not count_copies(recipe.augment):
        still = POLICIES.get(name).changes_nothing
        raise RecipeError(
            f"'augment.copies_before_split' needs fixed copies, but the policy {name!r} makes none",
            hint="Choose another: --set augment.policy=p4"
            if still
            else "Set their number: --set augment.copies=5",
        )
    if recipe.augment.copies_before_split and recipe.data.split.is_strict:
        raise RecipeError(
            "'augment.copies_before_split' puts copies of one image on both sides of the split, "
            "which a strict split does not allow",
            hint="Leave it out, or split by image, as published: --set data.split.by=image",
        )
    own = POLICIES.get(name).fixed_copies
    if copies is not None and own not in {0, copies}:
        raise RecipeError(
            f"'augment.copies' is {copies}, but the policy {name!r} makes {own} copies",
            hint="Leave it out",
        )


def _is_still(recipe: Recipe) -> bool:
    """Return True if the head alone is trained, on the same features in every epoch."""
    transfer, policy = recipe.transfer, POLICIES.get(recipe.augment.policy)
    is_whole = transfer.source != IMAGENET or transfer.stage
    added = () if is_whole else find_backend(recipe.model).find_spec(recipe.model.name).added
    tuning = Tuning(freeze=transfer.freeze, unfreeze_every=transfer.unfreeze_every, untrained=added)
    is_fixed = policy.changes_nothing or recipe.augment.copies or policy.fixed_copies
    is_fixed = is_fixed and recipe.model.field_px is None
    return recipe.model.table is not None or (tuning.is_head_only and bool(is_fixed))
