"""Phantom as a registered data set: simulated once per set of options, then reused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.artifacts.manifest import write_table
from eosin.core.errors import DataError, RecipeError
from eosin.core.files import read_json, write_json
from eosin.data.phantom.patients import PhantomOptions, draw_patient
from eosin.data.phantom.simulation import render_nuclei, write_phantom
from eosin.data.sources.base import DataSetFacts, check_options, register

#: Increase this when a change of the renderer changes its images.
RENDERER_VERSION = 2
#: Lists, beside the manifest, the options that made the images.
OPTIONS_FILE = "phantom.json"
#: Names that :func:`write_phantom` gives to files.
_NAME = re.compile(
    r"P(?P<patient>\d+)-(?P<section>[A-Z])-(?P<magnification>\d+)-(?P<index>\d+)\.png"
)
#: A pixel belongs to a nucleus if it is covered by this share or more.
_COVERED = 0.5


def parse_options(options: Mapping[str, Any]) -> PhantomOptions:
    """Parse ``[data.options]``; raises RecipeError for an unknown key or a value out of range."""
    check_options("the phantom", options, {field.name for field in fields(PhantomOptions)})
    values = dict(options)
    if isinstance(values.get("magnifications"), list):
        values["magnifications"] = tuple(values["magnifications"])
    try:
        return PhantomOptions(**values)
    except DataError as error:
        raise RecipeError(f"'data.options': {error.message}", hint=error.hint) from error


def collect_phantom(root: Path, options: Mapping[str, Any]) -> Any:
    """Simulate the images below ``root``, or reuse what is there from the same options.

    The options are arguments of :class:`PhantomOptions`. Raises DataError if the folder holds a
    phantom of other options.
    """
    asked = {"renderer": RENDERER_VERSION, **asdict(parse_options(options))}
    asked["magnifications"] = list(asked["magnifications"])
    table_path, options_path = root / "manifest.csv", root / OPTIONS_FILE
    if table_path.is_file() and options_path.exists():
        if read_json(options_path) != asked:
            raise DataError(
                f"{root} contains a phantom with other options",
                hint="Choose another data.root, or delete that folder",
            )
        return pd.read_csv(table_path, dtype=str, keep_default_na=False)
    table = write_phantom(parse_options(options), root)
    write_json(options_path, asked)
    # Written last: a folder with a manifest is complete.
    write_table(table_path, table)
    return table.astype(str)


def find_nuclei(path: Path, size_px: int) -> Any:
    """Return where the nuclei of an image of a phantom are: a mask (size_px, size_px).

    The image's file is not read: the field is simulated once more, from the options beside the
    manifest. None if the path is not one of a phantom that this version simulates.
    """
    found = _NAME.fullmatch(path.name)
    options_path = path.parents[2] / OPTIONS_FILE if len(path.parents) > 2 else path
    if found is None or not options_path.is_file():
        return None
    options = dict(read_json(options_path))
    if options.pop("renderer", None) != RENDERER_VERSION:
        return None
    patient = draw_patient(parse_options(options), int(found["patient"]))
    section = ord(found["section"]) - ord("A")
    cover = render_nuclei(patient, section, found["magnification"], int(found["index"]), size_px)
    return cover >= _COVERED


register(
    DataSetFacts(
        name="phantom",
        title="Phantom: simulated H&E, not real tissue",
        licence="Apache-2.0",
        citation="Eosin's phantom, docs/phantom.md",
        positive="malignant",
        classes=("benign", "malignant"),
        simulated=True,
    ),
    collect_phantom,
    needs_root=False,
)
