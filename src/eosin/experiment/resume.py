"""Validation of a resumed run: its recipe and data must be those that it was started with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts.cleaning import clean_cells
from eosin.artifacts.integrity import check_run_files, damaged, hinting
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import OPTIONAL, read_written, write_table
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError, ManifestError, OutputError, RecipeError
from eosin.core.files import clean_partial, locked
from eosin.experiment.prepare import Prepared
from eosin.recipe import Recipe, read_recipe
from eosin.runs.finished import read_run_recipe

#: Lock of the process that works in a run folder.
_LOCK = ".training.lock"
#: Digits kept of a SHA-256: enough to distinguish files, a quarter of its length.
_DIGITS = 16
#: Columns of a manifest that affect split, audit and evaluation, besides the path.
_NAMED = tuple(dict.fromkeys(("label", "group", *OPTIONAL, "accession")))
#: Those of them that determine the split.
_DIVIDING = tuple(name for name in _NAMED if name not in {"magnification", "mpp"})
#: Columns of the notes that the fingerprint covers.
_FINGERPRINTED = {"path", "label", "group", "content"}


def find_run(folder: Path) -> RunFolder:
    """Return the run in a folder; ``ArtifactError`` if it holds none that can be resumed."""
    run = RunFolder(folder)
    if not run.recipe.exists():
        raise ArtifactError(
            f"{folder} is not a run folder: it has no {run.recipe.name}",
            hint="Name a folder created by `eosin train`",
        )
    whole = RunFolder(folder.resolve().parent.parent)
    if folder.resolve().parent == whole.folds and whole.recipe.exists():
        raise ArtifactError(
            f"{folder} is a fold of the run {whole.root}",
            hint=f"To resume: {whole.resume_command}",
        )
    with hinting():
        read_run_recipe(run)
        if run.metrics.exists():
            check_run_files(run)
    return run


@contextmanager
def work_alone(run: RunFolder) -> Iterator[None]:
    """Lock a run folder, as two processes in one would remove each other's files.

    Raises:
        OutputError: Another process holds the lock.
    """
    with locked(run.root / _LOCK) as is_alone:
        if not is_alone:
            raise OutputError(
                f"another process is working on {run.root}", hint="Wait for it, or stop it first"
            )
        yield


def clean_unbegun(folder: Path) -> None:
    """Empty a folder whose run was killed before its recipe was written."""
    if folder.is_dir() and all(_is_before_recipe(path) for path in folder.iterdir()):
        clean_partial(folder, _is_before_recipe)
        for path in (folder / _LOCK, RunFolder(folder).table):
            path.unlink(missing_ok=True)


def _is_before_recipe(path: Path) -> bool:
    before = {_LOCK, RunFolder(path.parent).table.name}
    return path.name in before or path.match(".recipe-*.tmp.toml")


def check_same_recipe(run: RunFolder, recipe: Recipe) -> None:
    """Refuse to resume a run that was started from another recipe.

    Where the images are may change: :func:`check_same_data` compares the images themselves.

    Raises:
        RecipeError: Names the first key that differs.
    """
    before, after = (_without_places(one) for one in (read_recipe(run.recipe), recipe))
    changed = _first_difference(before, after)
    if changed is not None:
        raise RecipeError(
            f"{run.root} was started with a different recipe: {changed}",
            hint=f"Resume it unchanged: {run.resume_command} or start a new run with -o",
        )


def _without_places(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's values without the paths of its images."""
    values = recipe.model_dump()
    for section in (values["data"], *(stage["data"] for stage in values["transfer"]["stage"])):
        for key in ("root", "manifest"):
            section[key] = "not given" if section[key] is None else "given"
    return values


def _first_difference(before: object, after: object, key: str = "") -> str | None:
    before, after = (_numbered(value) for value in (before, after))
    if isinstance(before, dict) and isinstance(after, dict):
        # Of both: a table such as model.arguments may have gained or lost a key.
        for name in {**before, **after}:
            found = _first_difference(
                before.get(name), after.get(name), f"{key}.{name}" if key else str(name)
            )
            if found is not None:
                return found
        return None
    return None if before == after else f"{key!r} was {before!r}, is {after!r}"


def _numbered(value: object) -> object:
    """Return a list of tables, such as the stages of a transfer, as a table by position."""
    if isinstance(value, tuple) and any(isinstance(one, dict) for one in value):
        return dict(enumerate(value))
    return value


def check_same_data(run: RunFolder, prepared: Prepared) -> None:
    """Refuse to resume a run that was started from other images, or from another table of them.

    Raises:
        ArtifactError: Names the first image that differs, and how.
    """
    if not run.inputs.exists() and not run.environment.exists():
        return  # killed before anything was computed from the data
    # The fingerprint covers neither the manifest's own split nor the order of its rows.
    changes = _changes(run, prepared)
    # An earlier version's fingerprint covers names before cleaning; if all of its columns
    # are noted, the notes decide.
    if not changes and (_is_noted_in_full(run) or _has_fingerprint(run, prepared.fingerprint)):
        return
    what = changes[0] if changes else "images, labels or groups differ"
    more = f" (and {len(changes) - 1} more changes)" if len(changes) > 2 else ""
    more = " (and 1 more change)" if len(changes) == 2 else more
    raise ArtifactError(
        f"the data have changed since {run.root} was started: {what}{more}",
        hint="Restore them, or start a new run",
    )


def record_data(run: RunFolder, prepared: Prepared) -> None:
    """Record the data for :func:`check_same_data`."""
    write_table(run.inputs, _data(prepared))


def _data(prepared: Prepared) -> Any:
    """Return path, relevant columns and content hash of every image, in order."""
    frame = prepared.samples.frame
    hashes = [prepared.hashes.of_file(path) for path in frame["path"]]
    content = [((one and one.content) or "")[:_DIGITS] for one in hashes]
    table = frame.reindex(columns=["path", *_NAMED], fill_value="")
    return table.astype(str).assign(content=content).reset_index(drop=True)


def _changes(run: RunFolder, prepared: Prepared) -> list[str]:
    """Return a sentence for every image that is gone, new, or changed."""
    if not run.inputs.exists():
        return []
    was_table = read_written(run.inputs).astype(object)
    unknown = [str(name) for name in was_table if name not in {"path", "content", *_NAMED}]
    if unknown or not {"path", "content"} <= set(was_table):
        raise damaged(run.inputs, f"its columns are {', '.join(map(repr, was_table))}")
    # A run of an earlier version noted fewer columns.
    now_table = _data(prepared)[list(was_table)].astype(object)
    if was_table.equals(now_table):
        return []
    cleaned = _clean_noted(was_table, now_table)
    if run.metrics.exists() or _divides_equally(was_table, cleaned):
        was_table = cleaned
    if was_table.equals(now_table):
        return []
    names = [str(name) for name in was_table if name != "path"]
    before, after = _by_path(was_table), _by_path(now_table)
    found = [f"{path} is missing or can no longer be read" for path in before.keys() - after.keys()]
    found += [f"{path} is new" for path in after.keys() - before.keys()]
    for path in before.keys() & after.keys():
        if len(before[path]) != len(after[path]):
            found.append(f"{path} is listed {len(after[path])} times, was {len(before[path])}")
        for was, now in zip(before[path], after[path], strict=False):
            found += _differences(path, names, was, now)
    # Order and augmentation depend on an image's row in the table.
    return sorted(found) or ["the rows are in another order"]


def _has_fingerprint(run: RunFolder, fingerprint: str) -> bool:
    return read_document(run.environment, Environment).data_fingerprint == fingerprint


def _is_noted_in_full(run: RunFolder) -> bool:
    """Return True if a run noted every column that the fingerprint covers."""
    return run.inputs.exists() and set(read_written(run.inputs)) >= _FINGERPRINTED


def _clean_noted(was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Clean a run's noted columns as tables are cleaned today; earlier versions kept them raw."""
    cleaned = was.copy()
    with suppress(ManifestError):  # an invalid cell stays: today's table differs, or is refused
        clean_cells(cleaned, "label", "the run's table")
    if list(was["path"]) == list(now["path"]):
        for column in cleaned.columns.difference(["path", "content"]):
            # Of whole numbers in a column of floats, earlier versions noted "7.0".
            integers = cleaned[column].str.removesuffix(".0")
            cleaned[column] = cleaned[column].where(integers != now[column], now[column])
    if "group" in was:
        cleaned["group"] = cleaned["group"].mask(was["group"] == was["path"], was["path"])
        for fallback in (name for name in ("patient", "path") if name in cleaned):
            empty = cleaned["group"] == ""
            cleaned["group"] = cleaned["group"].mask(empty, cleaned[fallback])
    return cleaned.astype(object)


def _divides_equally(was: pd.DataFrame, cleaned: pd.DataFrame) -> bool:
    """Return True if cleaning changed neither the grouping of rows nor the order of names.

    Otherwise an unfinished run would continue with another split than it was started with.
    """
    return all(
        (was[column].rank(method="dense") == cleaned[column].rank(method="dense")).all()
        for column in was.columns.intersection(list(_DIVIDING))
    )


def _by_path(table: Any) -> dict[str, list[tuple[str, ...]]]:
    """Return the other columns of each row by path, which a table may list twice."""
    found = defaultdict(list)
    for path, *cells in sorted(table.itertuples(index=False)):
        found[path].append(tuple(cells))
    return found


def _differences(
    path: str, names: list[str], was: tuple[str, ...], now: tuple[str, ...]
) -> list[str]:
    return [
        f"the content of {path} has changed"
        if name == "content"
        else f"the {name} of {path} was {a!r}, is {b!r}"
        for name, a, b in zip(names, was, now, strict=True)
        if a != b
    ]
