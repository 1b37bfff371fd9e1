"""Images to explain, and their labels where these are known."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts.model import ModelInfo
from eosin.artifacts.tables import folder_of, is_pipe, is_table, read_table
from eosin.core.errors import EosinError, UsageError
from eosin.core.types import change_parts
from eosin.data.labelled import read_labelled
from eosin.inference.given import Given, Images, list_given
from eosin.runs.finished import FinishedRun

#: Images of a run that are explained by default, wrong and right ones each.
_EACH = 6


@dataclass(frozen=True)
class Subjects:
    """Images to explain.

    Attributes:
        given: The images.
        labels: Their classes by absolute path; none where they are unknown.
        rule: How they were chosen, in a sentence; empty for the user's own.
    """

    given: Given
    labels: Mapping[str, str] = field(default_factory=dict)
    rule: str = ""

    def label_of(self, cell: str) -> str:
        """Return the class of an image reference; empty where it is unknown."""
        return self.labels.get(_key(cell), "") if self.labels else ""


def choose_subjects(
    run_or_model: Path, images: Images | Iterable[Images] | None, info: ModelInfo
) -> Subjects:
    """Return the images that were given, else a run's most confident wrong and right decisions.

    Labels are those of a table's column ``label``, or of folders that a training reads as classes;
    others than the model's classes are left out.

    Raises:
        UsageError: No image was given, and the run has none of its own, or has folds.
    """
    if images is not None:
        given = list_given(images)
        labels = {cell: label for entry in given.entries for cell, label in _labels_of(entry)}
        known = {cell: label for cell, label in labels.items() if label in info.class_names}
        return Subjects(given, known)
    run = FinishedRun(run_or_model)
    if not run.folder.metrics.exists():
        raise UsageError("no image was given", hint="Name image files, folders or tables")
    return _choose(run)


def _choose(run: FinishedRun) -> Subjects:
    if run.has_folds:
        fold = shlex.quote(str(run.folds[0].root))
        raise UsageError(
            "no image was given, and each image of this run trained some of its networks",
            hint=f"Explain the network of a fold: eosin explain {fold}",
        )
    chosen = [one for role in ("mistake", "correct") for one in run.role(role)[:_EACH]]
    if not chosen:
        raise UsageError(
            "no image was given, and this run kept none", hint="Name image files, folders or tables"
        )
    frame = run.samples.frame
    table = frame.loc[[_row_of(frame["path"], one.path) for one in chosen]]
    table = table.assign(path=[change_parts(path, _from(run.root)) for path in table["path"]])
    labels = {_key(cell): label for cell, label in zip(table["path"], table["label"], strict=True)}
    rule = (
        f"the most confident wrong and right decisions of the run's own {run.split} images, at most"
        f" {_EACH} each"
    )
    return Subjects(list_given(table.reset_index(drop=True)), labels, rule)


def _row_of(paths: Any, path: str) -> Any:
    """Return the row of an image in a run's manifest, whose paths start from the run folder."""
    found = paths[(paths == path) | paths.str.endswith(f"/{path}")]
    if found.empty:
        raise UsageError(
            f"no image was given, and this run's own {path} is not in its manifest",
            hint="Name image files, folders or tables",
        )
    return found.str.len().idxmin()


def _from(folder: Path) -> Callable[[str], str]:
    return lambda part: _key(str(folder / part))


def _key(cell: str) -> str:
    try:
        return os.path.realpath(cell)
    except ValueError:  # a name that no file can have
        return cell


def _labels_of(entry: Path | pd.DataFrame | str) -> Iterator[tuple[str, str]]:
    """Yield the labelled images of a table or of a folder, by :func:`_key`."""
    if isinstance(entry, str):
        return
    if isinstance(entry, pd.DataFrame) or is_table(entry):
        if not isinstance(entry, pd.DataFrame) and is_pipe(entry):
            return  # it can be read only once
        table = read_table(entry)
        if {"path", "label"} <= set(table):
            for path, label in zip(table["path"], table["label"], strict=True):
                yield _key(change_parts(str(path), _from(folder_of(entry)))), str(label)
        return
    if entry.is_dir():
        with suppress(EosinError):  # it has no labels
            samples, _ = read_labelled(entry)
            for path, label in zip(samples.frame["path"], samples.frame["label"], strict=True):
                yield _key(change_parts(path, _from(samples.root))), label
