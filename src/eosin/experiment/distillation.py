"""Knowledge distillation: finished runs whose predictions a network is taught by.

A teacher's probabilities of a training image are computed once, of the image as it is, as the
teacher predicts it. For folds, a fold's network is taught by the networks of the same fold. No
teacher may have learnt from an image, or from other images of a patient, that its student is
evaluated on.

Source: G. Hinton, O. Vinyals and J. Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.manifest import read_manifest
from eosin.artifacts.model import Embedding, ModelInfo
from eosin.artifacts.provenance import Teacher
from eosin.artifacts.versioned import read_document
from eosin.artifacts.weights import read_arrays, write_arrays
from eosin.core.errors import LeakError, RecipeError
from eosin.core.text import listing, quantity
from eosin.core.types import FloatArray, Samples
from eosin.data.audit import audit_stage
from eosin.experiment.prepare import Prepared
from eosin.experiment.split import Division, may_share_groups
from eosin.experiment.validation import check_finished
from eosin.experiment.writer import Experiment
from eosin.images.bank import load_bank
from eosin.inference.classifier import Classifier
from eosin.recipe import Recipe
from eosin.runs.finished import read_run_recipe
from eosin.runs.relocation import find_needed_images

_LOG = logging.getLogger(__name__)

#: Name of the array in the file of a run's soft targets.
_PROBABILITIES = "probabilities"


def find_teachers(recipe: Recipe, key: tuple[int, int] | None = None) -> list[RunFolder]:
    """Return the runs that teach a training, or those of the same fold of its teachers.

    Raises:
        RecipeError: One of them, or its fold, is not finished.
    """
    found = [RunFolder(Path(name)) for name in recipe.train.teachers]
    if key is not None:
        found = [run.fold(*key) if run.folds.is_dir() else run for run in found]
    for run in found:
        check_finished(run)
    return found


def check_teachers(recipe: Recipe, prepared: Prepared, division: Division) -> None:
    """Refuse, before a training begins, teachers that do not fit it or know its evaluated images.

    The images of its test subset must be in no subset that a teacher learnt from or was selected
    by; those of its validation subset in none that a teacher learnt from.

    Raises:
        LeakError: A teacher, or a stage before it, has learnt from them, or from their patients.
        RecipeError: One is not finished, or has other classes or another kind of image.
        ArtifactError: The images of one are gone.
    """
    for key, one in division.folds.items() or [(None, division)]:
        for run in find_teachers(recipe, key):
            _check_fit(run, prepared)
            subsets = [("test", one.samples.part("test"), ["train", "val"])]
            subsets.append(("validation", one.samples.part("val"), ["train"]))
            if division.beside_folds is not None:
                subsets.append(("test", division.beside_folds, ["train", "val"]))
            for name, samples, learnt in subsets:
                _check_unseen(recipe, run, (name, samples, prepared), learnt)


def _check_fit(run: RunFolder, prepared: Prepared) -> None:
    info, bank = read_document(ModelFolder(run.model).info, ModelInfo), prepared.bank
    mine, other = bank.preprocessing, info.preprocessing
    if {*info.class_names} != {*prepared.samples.class_names}:
        raise RecipeError(
            f"'train.teachers': {run.root} has the classes {listing(info.class_names)}, but these "
            f"images {listing(prepared.samples.class_names)}"
        )
    is_alike = sorted(other.channels) == sorted(mine.channels)
    if isinstance(other, Embedding) or not is_alike or other.magnifications != mine.magnifications:
        raise RecipeError(f"'train.teachers': {run.root} takes another kind of image")


def _check_unseen(
    recipe: Recipe, run: RunFolder, student: tuple[str, Samples, Prepared], learnt: list[str]
) -> None:
    """Refuse a teacher that learnt from a subset's images, or from their groups."""
    name, samples, prepared = student
    info = read_document(ModelFolder(run.model).info, ModelInfo)
    for place in _trainings(run):
        known = _rows(place, learnt)
        leaks = audit_stage(
            run.root.name,
            (known, load_bank(known, info.preprocessing, keep=recipe.data.cache)[1]),
            (samples, prepared.hashes),
            # Published splits by image have patients on both sides; a teacher adds nothing.
            is_same_source=recipe.data.split.is_strict
            and may_share_groups(read_run_recipe(_whole(place)).data, recipe.data),
            distinct=recipe.data.alike_names == "distinct",
        )
        if leaks:
            raise LeakError(
                f"'train.teachers': {place.root} has learnt from images or patients of the {name} "
                f"subset, such as {leaks[0].pairs[0].b}",
                hint="Name a run with the same data and split (data.split.seed is its seed)",
            )


def _trainings(run: RunFolder) -> Iterator[RunFolder]:
    """Yield a run and the stages before it.

    Raises:
        RecipeError: It is a mean of chosen runs, or was taught itself: others than its own images
            have shaped it.
    """
    whole = _whole(run)
    if not whole.recipe.exists():
        raise RecipeError(
            f"'train.teachers': {run.root} is an ensemble of runs", hint="Name its member runs"
        )
    if read_run_recipe(whole).train.teachers:
        raise RecipeError(
            f"'train.teachers': {run.root} was itself taught by others", hint="Name those"
        )
    yield from (run, *whole.stage_runs())


def _whole(run: RunFolder) -> RunFolder:
    """Return the run that a fold belongs to; any other run itself."""
    whole = RunFolder(run.root.parent.parent)
    return whole if run.root.parent == whole.folds and whole.recipe.exists() else run


def _rows(run: RunFolder, learnt: list[str]) -> Samples:
    """Return the images of subsets of a run; of folds without a subset beside them, all."""
    noted = read_manifest(run.manifest, allow_one_class=True, verbatim=True)
    samples = find_needed_images(run, noted)
    if "split" not in samples.frame:
        return samples
    return samples.where(samples.frame["split"].isin(learnt).to_numpy())


def teach(experiment: Experiment, samples: Samples, run: RunFolder) -> FloatArray | None:
    """Return the mean of the teachers' calibrated probabilities of each training image.

    They are kept in the run folder until it is finished, so that a resumed training has the same.

    Returns:
        float32, shape (N, K), in the order of the training subset; ``None`` without teachers.
    """
    recipe, part = experiment.recipe, samples.part("train")
    if not recipe.train.teachers:
        return None
    if run.soft_targets.exists():
        return read_arrays(run.soft_targets)[_PROBABILITIES].astype(np.float32)
    teachers = find_teachers(recipe)
    _LOG.info(f"Predicting {quantity(len(part), 'training image')} by the teachers")
    each = [_predict(experiment, one, part) for one in teachers]
    mean: FloatArray = np.mean(each, axis=0).astype(np.float32)
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    write_arrays(run.soft_targets, {_PROBABILITIES: mean})
    return mean


def _predict(experiment: Experiment, run: RunFolder, part: Samples) -> FloatArray:
    """Return a teacher's probabilities of images, in the order of the student's classes."""
    classifier = Classifier(run.model)
    # All images: the stain of a slide or patient is estimated from all of its tiles.
    bank, _ = load_bank(
        experiment.prepared.samples,
        classifier.info.preprocessing,
        keep=experiment.recipe.data.cache,
    )
    probabilities = classifier.probabilities(classifier.logits(bank.of(part)))
    return probabilities[:, [classifier.info.class_names.index(n) for n in part.class_names]]


def describe_teachers(recipe: Recipe) -> tuple[Teacher, ...]:
    """Return the teachers as ``model.json`` names them."""
    runs = find_teachers(recipe)
    infos = [read_document(ModelFolder(run.model).info, ModelInfo) for run in runs]
    return tuple(
        Teacher(
            run=_whole(run).root.name,
            architecture=info.architecture,
            weights_sha256=info.weights_sha256,
            data_fingerprint=info.data_fingerprint,
            data_licence=info.data_licence,
        )
        for run, info in zip(runs, infos, strict=True)
    )


def of_fold(recipe: Recipe, key: tuple[int, int]) -> Recipe:
    """Return a fold's recipe, taught by the networks of the same fold."""
    names = tuple(str(run.root) for run in find_teachers(recipe, key))
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"teachers": names})})
