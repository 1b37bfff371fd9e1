"""Title and description of an experiment, from its resolved recipe and what was run.

The recipe's own name and description stay in ``recipe.toml``: a setting changed on the command line
makes them false.
"""

from __future__ import annotations

from eosin.core.text import listing, percent, quantity
from eosin.recipe import Recipe
from eosin.recipe.schema import EMBEDDING
from eosin.reporting.formatting import capitalised, times
from eosin.reporting.train_test_overlap import has_units, unit_name
from eosin.runs.finished import FinishedRun

#: Number of classes that a title names; more are counted.
_MOST_CLASSES = 4
_PARTS = {"train": "training", "val": "validation", "test": "test"}


def title(run: FinishedRun) -> str:
    """Return the title of a run's page and card: the network, and the data or the classes.

    A run without a recipe (an evaluation, an ensemble) takes its folder's name.
    """
    if run.recipe is None:
        return run.name
    network = _network(run.recipe)
    if _is_published(run):
        return f"{network} on {run.dataset['name']}"
    names = run.class_names
    classes = listing(names) if len(names) <= _MOST_CLASSES else f"{len(names)} classes"
    return f"{network}: {classes}" if names else network


def description(run: FinishedRun) -> str:
    """Describe the training, split and preparation in sentences; empty without a recipe."""
    recipe = run.recipe
    if recipe is None:
        return ""
    return " ".join(
        (
            f"{_network(recipe)} {_origin(recipe)} on {data_words(run)}{_classes(run)}.",
            f"{capitalised(_division(run, recipe))}.",
            f"{capitalised(_preparation(recipe))}; seed {recipe.seed}.",
        )
    )


def _classes(run: FinishedRun) -> str:
    """Name the classes, or count them if there are many; empty if unknown."""
    names, positive = run.class_names, run.evaluated.positive
    if not names:
        return ""
    if len(names) > _MOST_CLASSES:
        return f" in {len(names)} classes"
    shown = (f"{name} (positive)" if name == positive else name for name in names)
    return f", classes {listing(shown)}"


def data_words(run: FinishedRun) -> str:
    """Describe the source and number of a run's images."""
    data = run.recipe.data if run.recipe else None
    if _is_published(run):
        words = str(run.dataset.get("title") or run.dataset["name"])
    elif data is not None and data.manifest is not None:
        words = "the images of a manifest"
    else:
        is_folder = data is not None and data.dataset == "folder"
        words = "images sorted into class folders" if is_folder else "own images"
    taken = listing(map(times, data.magnifications)) if data else ""
    return f"{words}{f' at {taken}' if taken else ''}{_size(run)}"


def _is_published(run: FinishedRun) -> bool:
    """Return True if the images are of a data set with a name of its own."""
    return bool(run.dataset.get("name")) and run.dataset.get("licence", "unknown") != "unknown"


def _size(run: FinishedRun) -> str:
    if run.manifest is None:
        return ""
    patients = run.manifest["patient"].replace("", None).nunique()
    of = f" of {quantity(patients, 'patient')}" if patients else ""
    return f" ({quantity(len(run.manifest), 'image')}{of})"


def _network(recipe: Recipe) -> str:
    return f"{EMBEDDING} head" if recipe.model.table is not None else recipe.model.name


def _origin(recipe: Recipe) -> str:
    transfer = recipe.transfer
    start = {"none": "random weights", "imagenet": "ImageNet weights"}.get(
        transfer.source, "stored weights"
    )
    stages = f", via {listing(stage.name for stage in transfer.stage)},"
    frozen = "" if transfer.freeze == "none" else f" (frozen: {transfer.freeze})"
    return f"trained from {start}{stages if transfer.stage else ''}{frozen}"


def _division(run: FinishedRun, recipe: Recipe) -> str:
    split = recipe.data.split
    by_image = split.protocol == "image" or split.by == "image" or not has_units(run)
    unit = "image" if by_image else unit_name(run)
    unit = "cluster of appearance" if split.by == "appearance" else unit
    if split.protocol == "column":
        return "split as in the manifest"
    if split.protocol == "folds":
        if split.by == "site":
            return f"leave-one-site-out cross-validation over {quantity(len(run.folds), 'site')}"
        repeats = f", repeated {split.repeats} times" if split.repeats > 1 else ""
        rest = ""
        if split.test_share:
            rest = f", beside a held-out test subset ({percent(split.test_share, 0)})"
        return f"{split.k}-fold cross-validation by {unit}{repeats}{rest}"
    # Whole patients seldom give exactly the target proportions.
    parts = run.split_report.parts if run.split_report else {}
    shares = {part: parts[part].got if part in parts else getattr(split, part) for part in _PARTS}
    words = (f"{_PARTS[part]} ({percent(got, 0)})" for part, got in shares.items())
    return f"split by {unit} into {listing(words)}"


def _preparation(recipe: Recipe) -> str:
    stain, augment = recipe.stain, recipe.augment
    of = "no stain normalisation"
    if stain.is_on:
        of = f"stain normalised by {stain.method} per {stain.unit}"
        of += " (training images only)" if stain.apply_to == "training" else ""
    policy = "no augmentation" if augment.policy == "none" else f"augmentation {augment.policy}"
    if augment.copies_before_split:
        policy = f"each image replaced by fixed copies ({augment.policy}) before the split"
    return f"{of}; {policy}"
