"""Relocation of a run whose folder or images were moved: images found again, paths updated."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from eosin.artifacts.integrity import damaged, list_run_files
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import (
    read_manifest,
    read_written,
    relocated,
    write_manifest,
    write_table,
)
from eosin.artifacts.run import Environment, SamplesIndex
from eosin.artifacts.versioned import read_document, write_document
from eosin.core.errors import ArtifactError
from eosin.core.files import write_text
from eosin.core.types import BoolArray, Samples
from eosin.recipe import Recipe, read_recipe, recipe_to_toml

#: Number of images to check; a few deleted ones do not mean that all are elsewhere.
_LOOKED_FOR = 9


def find_images(run: RunFolder, samples: Samples) -> Samples:
    """Return the samples of a run, or of a fold, with the present paths of their images.

    A manifest's paths start from the run folder. If that was moved alone, they are found by the
    folder of the data and each image's path below it. The samples are unchanged where nothing was
    moved, or where the images are in neither folder.
    """
    if _is_there(samples):
        return samples
    whole = _whole_run(run)
    # Of a run that is not finished, only its folds have one.
    known = next((one for one in (whole, run) if one.environment.exists()), None)
    if not whole.inputs.exists() or known is None:
        return samples
    paths = read_written(whole.inputs, columns=["path"])["path"].astype(object)
    if whole != run:
        paths = paths[_in_folds(whole, len(paths))]
    if len(paths) != len(samples):
        return samples
    root = Path(read_document(known.environment, Environment).data_root)
    moved = replace(samples, frame=samples.frame.assign(path=paths.to_numpy()), root=root)
    return moved if _is_there(moved) else samples


def find_needed_images(run: RunFolder, samples: Samples) -> Samples:
    """Return a run's samples with the present paths of their images, as :func:`find_images` does.

    Raises:
        ArtifactError: The images are not found; the hint is the command that sets their folder.
    """
    found = find_images(run, samples)
    if _is_there(found):
        return found
    first = samples.resolve(samples.image_cells[0]).resolve()
    raise ArtifactError(
        f"the images of {run.root} were moved or deleted: {first} does not exist",
        hint=f"Name their new folder: {_resume_command(_whole_run(run))}",
    )


def find_moved_paths(run: RunFolder) -> dict[str, str]:
    """Return the new absolute path of each image of a moved run; empty where none moved."""
    if not run.manifest.exists():
        return {}
    samples = _read_noted(run)
    found = find_images(run, samples)
    if found is samples:
        return {}
    cells = zip(samples.frame["path"], found.frame["path"], strict=True)
    return {old: str(found.root / new) for old, new in cells}


def _is_there(samples: Samples) -> bool:
    cells = samples.image_cells
    some = cells[:: max(1, len(cells) // _LOOKED_FOR)]
    # Unlike Path.exists, without an error where a name is too long for a file.
    return any(os.path.exists(samples.resolve(cell)) for cell in some)  # noqa: PTH110


def _whole_run(run: RunFolder) -> RunFolder:
    """Return the run that a fold belongs to; any other run itself."""
    whole = RunFolder(run.root.resolve().parent.parent)
    is_fold = run.root.resolve().parent == whole.folds and whole.recipe.exists()
    return whole if is_fold else run


def _resume_command(run: RunFolder) -> str:
    by_table = run.recipe.exists() and read_recipe(run.recipe).data.manifest is not None
    place = "data.manifest=FILE" if by_table else "data.root=FOLDER"
    return f"{run.resume_command} --set {place}"


def note_place(run: RunFolder, recipe: Recipe, samples: Samples) -> None:
    """Update the paths in the files of a run and its folds where its images were moved.

    The files by which a move is noticed are written last, so that a killed process does not leave
    a run that looks updated.
    """
    rest = samples.where(_in_folds(run, len(samples)))
    places = {**dict.fromkeys(run.fold_runs(), rest), run: samples}
    is_same = read_recipe(run.recipe).model_dump() == recipe.model_dump()
    if is_same and all(_is_noted(place, own) for place, own in places.items()):
        return
    for place, own in places.items():
        if place.environment.exists():
            environment = read_document(place.environment, Environment)
            # Listed again at the end: a killed process leaves files that are not listed.
            changes = {"data_root": str(samples.root), "files": None}
            write_document(place.environment, environment.model_copy(update=changes))
        if place.manifest.exists():
            _move_paths(place, own)
    write_text(run.recipe, recipe_to_toml(recipe))
    for place in places:
        if place.environment.exists() and place.metrics.exists():
            list_run_files(place)


def _in_folds(run: RunFolder, n_images: int) -> BoolArray:
    """Return which of a run's images its folds hold, (N,): all but a test subset beside them."""
    if not (run.manifest.exists() and read_recipe(run.recipe).data.split.test_share):
        return np.ones(n_images, dtype=bool)
    return np.asarray(_read_noted(run).frame["split"] != "test")


def _read_noted(run: RunFolder) -> Samples:
    """Read a run's own manifest with its paths as written."""
    return read_manifest(run.manifest, allow_one_class=True, verbatim=True)


def _is_noted(run: RunFolder, samples: Samples) -> bool:
    """Return True if a run's manifest has the paths of the images."""
    if not run.manifest.exists():
        return True
    noted = _read_noted(run)
    return list(noted.frame["path"]) == list(relocated(samples, run.root).frame["path"])


def _move_paths(run: RunFolder, samples: Samples) -> None:
    """Update the paths in every table of a run folder."""
    noted = _read_noted(run)
    cells = relocated(samples, run.root).frame["path"]
    moved = dict(zip(noted.frame["path"], cells, strict=True))
    for path in (run.predictions, run.logits):
        if path.exists():
            _move_table(path, moved)
    if run.samples_index.exists():
        index = read_document(run.samples_index, SamplesIndex)
        pictures = [
            thumbnail.model_copy(update={"path": moved.get(thumbnail.path, thumbnail.path)})
            for thumbnail in index.pictures
        ]
        write_document(run.samples_index, index.model_copy(update={"pictures": pictures}))
    frame = noted.frame.assign(path=list(cells))
    write_manifest(run.manifest, replace(noted, frame=frame, root=run.root))


def _move_table(path: Path, moved: Mapping[str, str]) -> None:
    table = read_written(path)
    if "path" not in table:
        raise damaged(path, "it lacks the column 'path'")
    write_table(path, table.assign(path=[moved.get(cell, cell) for cell in table["path"]]))
