"""Reader of images with labels, for every command that takes them: a folder or a table."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.columns import Columns
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import make_samples
from eosin.artifacts.tables import folder_of, name_of, read_table
from eosin.core.errors import DataError, UsageError
from eosin.core.text import listing, printable, quantity, some
from eosin.core.types import Samples
from eosin.data.sources.base import collect_samples
from eosin.data.sources.catalogue import find_datasets
from eosin.data.sources.folder import recognise_layout

_LOG = logging.getLogger(__name__)

#: Most classes that are named.
_SHOWN = 8
_LAYOUTS = {
    "class/patient": "one folder per class",
    "patient/class": "one folder per patient, with one per class in it",
    "split/class": "one folder per split, with one per class in it",
    "flat": "one folder, the class at the beginning of each file name",
}
#: The options that read folders as classes.
_BY_CLASS = {"layout": "class/patient"}
#: What hints offer for a recipe, to read folders as classes.
_IN_RECIPE = re.compile(r"(add )?-{2}set data\.(options\.layout|dataset)=.*")


def resolve_source(
    source: Path, own: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], str]:
    """Recognise a folder of images, or a table.

    Args:
        source: The folder or the file.
        own: Keys of ``[data]`` that the user sets.

    Returns:
        The keys of a recipe's ``[data]`` that read it, and how it is read, in words.

    Raises:
        DataError: It contains no image, or nothing names their classes.
    """
    own, place = own or {}, str(source.resolve())
    if not source.is_dir():
        return {"manifest": place}, "read as a table"
    layout = own.get("options", {}).get("layout")
    if layout is None and "dataset" not in own:
        known = {name: roots for name, roots in find_datasets(source).items() if len(roots) == 1}
        if len(known) == 1:
            ((name, (root,)),) = known.items()
            return {"dataset": name, "root": str(root.resolve())}, f"recognised as {name}"
        layout = recognise_layout(source)
    if layout not in _LAYOUTS:
        return {"dataset": "folder", "root": place}, "read as the recipe says"
    data = {"dataset": "folder", "root": place, "options": {"layout": layout}}
    return data, f"read as {_LAYOUTS[layout]}"


def describe_source(
    source: Path | str | pd.DataFrame, samples: Samples, reading: str, options: Any = None
) -> str:
    """Return the sentence on what was found, and how it was read.

    ``reading`` and ``options`` are those of :func:`resolve_source`.
    """
    if options == _BY_CLASS and (samples.frame["patient"] != "").any():
        reading += ", with one per patient in it"
    name = name_of(source) if isinstance(source, pd.DataFrame) else printable(source)
    return f"{name}: {_describe(samples)}; {reading}"


def _describe(samples: Samples) -> str:
    """Return what a table holds, in words."""
    sizes = np.bincount(samples.targets, minlength=len(samples.class_names)).tolist()
    each = [f"{name} {n:,}" for name, n in zip(samples.class_names, sizes, strict=True)]
    few = listing(each) if len(each) <= _SHOWN else some(each, _SHOWN, counted=True)
    classes = f"{quantity(len(each), 'class', 'classes')}, {few}"
    positive = f" (positive: {samples.positive})" if samples.positive else ""
    patients = samples.frame["patient"]
    n_patients = patients[patients != ""].nunique()
    n_unknown = int((patients == "").sum())
    if not n_unknown:
        whose = f"of {quantity(n_patients, 'patient')}"
    elif n_patients:
        whose = f"of {quantity(n_patients, 'known patient')} ({n_unknown:,} without a patient)"
    else:
        whose = "of unknown patients"
    return f"{quantity(len(samples), 'image')} {whose} in {classes}{positive}"


def read_labelled(
    source: Path | str | pd.DataFrame,
    *,
    label: str = "label",
    columns: Columns | None = None,
    reads_split: bool = True,
) -> tuple[Samples, Any]:
    """Read a folder of images, or a table, as a training would; log what was found.

    Args:
        source: Folder, table file or pandas table.
        label: Column of the class.
        columns: Other columns of a table.
        reads_split: False leaves the column ``split`` unchecked.

    Returns:
        The samples, which may be of one class, and the user's table as it is; None for a folder.

    Raises:
        EosinError: The folder or table is invalid.
    """
    columns = columns or Columns()
    table, reading, options = None, "read as a table", None
    if isinstance(source, pd.DataFrame) or not Path(source).is_dir():
        table = read_table(source, pipe=True)
        samples = make_samples(
            table,
            root=folder_of(source),
            label=label,
            name=Path(name_of(source)).stem,
            allow_one_class=True,
            columns=columns,
            reads_split=reads_split,
        )
    else:
        samples, reading, options = _read_folder(Path(source), label, columns)
    _LOG.info(describe_source(source, samples, reading, options))
    for note in samples.notes:
        _LOG.info(f"{samples.name}: {note}")
    return samples, table


def _read_folder(folder: Path, label: str, columns: Columns) -> tuple[Samples, str, Any]:
    """Return a folder's samples, how it was read, and with which options."""
    run = RunFolder(folder)
    if run.recipe.exists():  # its figures and thumbnails are images, too
        raise UsageError(
            f"{folder} is a run folder, not a folder of images",
            hint=f"Name the table of its images: {shlex.quote(str(run.manifest))}",
        )
    try:
        data, reading = resolve_source(folder)
        options = data.get("options", {})
        samples = collect_samples(
            data["dataset"],
            Path(data["root"]),
            options,
            label=label,
            positive=None,
            columns=replace(columns, independent=True),
            allow_one_class=True,
        )
    except DataError as error:
        by_class = (
            f"make a table: eosin data manifest folder {shlex.quote(str(folder))} "
            "-o MANIFEST.csv --set layout=class/patient"
        )
        hint = error.hint and _IN_RECIPE.sub(lambda _: by_class, error.hint)
        raise DataError(error.message, hint=hint) from error
    return replace(samples, name=name_of(folder)), reading, options
