"""What ``train --resume`` insists on: the same recipe and the same data, or it names the change."""

from __future__ import annotations

import shlex
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import write_table
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError, RecipeError
from eosin.core.files import clean_partial
from eosin.pipeline.preparation import Prepared
from eosin.recipe import Recipe, read_recipe

#: Of a SHA-256's hexadecimal digits: enough to tell two files apart, and a fourth of the size.
_DIGITS = 16


def find_run(folder: Path) -> RunFolder:
    """Return the run that a folder holds.

    Raises:
        ArtifactError: It holds none that could be gone on with.
    """
    run = RunFolder(folder)
    if not run.recipe.exists():
        raise ArtifactError(
            f"{folder} is no run folder: it has no {run.recipe.name}",
            mend="Name the folder that `eosin train` made",
        )
    whole = RunFolder(folder.resolve().parent.parent)
    if folder.resolve().parent == whole.folds and whole.recipe.exists():
        raise ArtifactError(
            f"{folder} is a fold of the run {whole.root}",
            mend=f"Go on with: eosin train --resume {shlex.quote(str(whole.root))}",
        )
    return run


def clean_unbegun(folder: Path) -> None:
    """Make empty again a folder whose run was killed before its recipe was written."""
    if folder.is_dir() and all(_is_half_a_recipe(path) for path in folder.iterdir()):
        clean_partial(folder, _is_half_a_recipe)


def _is_half_a_recipe(path: Path) -> bool:
    return path.match(".recipe-*.tmp.toml")


def check_same_recipe(run: RunFolder, recipe: Recipe) -> None:
    """Refuse to go on with a run that was started from another recipe.

    Raises:
        RecipeError: Naming the first key that differs.
    """
    changed = _first_difference(read_recipe(run.recipe).model_dump(), recipe.model_dump())
    if changed is not None:
        raise RecipeError(
            f"{run.root} was started with another recipe: {changed}",
            mend="Resume without a recipe, or start a new run",
        )


def _first_difference(before: object, after: object, key: str = "") -> str | None:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before:
            found = _first_difference(
                before[name], after.get(name), f"{key}.{name}" if key else str(name)
            )
            if found is not None:
                return found
        return None
    return None if before == after else f"{key!r} was {before!r}, is {after!r}"


def check_same_data(run: RunFolder, prepared: Prepared) -> None:
    """Refuse to go on with a run that was started from other images, labels or groups.

    Raises:
        ArtifactError: Naming the first image that differs, and in what.
    """
    if not run.environment.exists():
        return  # killed before anything was computed from the data
    if read_document(run.environment, Environment).data_fingerprint == prepared.fingerprint:
        return
    changes = _changes(run, prepared)
    what = changes[0] if changes else "images, labels or groups are others"
    more = f" (and {len(changes) - 1} more changes)" if len(changes) > 2 else ""
    more = " (and 1 more change)" if len(changes) == 2 else more
    raise ArtifactError(
        f"the data have changed since {run.root} was started: {what}{more}",
        mend="Put them back, or start a new run",
    )


def record_data(run: RunFolder, prepared: Prepared) -> None:
    """Keep what :func:`check_same_data` names a change by."""
    write_table(run.inputs, _data(prepared))


def _data(prepared: Prepared) -> Any:
    """Return the path, label, group and content of every image, in the data set's own words."""
    frame = prepared.samples.frame
    hashes = [prepared.hashes.of_file(path) for path in frame["path"]]
    content = [((one and one.content) or "")[:_DIGITS] for one in hashes]
    return frame[["path", "label", "group"]].astype(str).assign(content=content)


def _changes(run: RunFolder, prepared: Prepared) -> list[str]:
    """Return a sentence for every image that is gone, new, or otherwise than it was."""
    if not run.inputs.exists():
        return []
    before, after = _by_path(pd.read_parquet(run.inputs)), _by_path(_data(prepared))
    found = [f"{path} is gone, or cannot be read any more" for path in before.keys() - after.keys()]
    found += [f"{path} is new" for path in after.keys() - before.keys()]
    for path in before.keys() & after.keys():
        if len(before[path]) != len(after[path]):
            found.append(f"{path} was listed {len(before[path])} times, is {len(after[path])}")
        for was, now in zip(before[path], after[path], strict=False):
            found += _differences(path, was, now)
    return sorted(found)


def _by_path(table: Any) -> dict[str, list[tuple[str, ...]]]:
    """Return label, group and content of each row by path, which a table may list twice."""
    found = defaultdict(list)
    for path, *cells in sorted(table.itertuples(index=False)):
        found[path].append(tuple(cells))
    return found


def _differences(path: str, was: tuple[str, ...], now: tuple[str, ...]) -> list[str]:
    named = zip(("label", "group"), was, now, strict=False)
    found = [f"the {key} of {path} was {a!r}, is {b!r}" for key, a, b in named if a != b]
    if was[2] != now[2]:
        found.append(f"the content of {path} is another")
    return found
