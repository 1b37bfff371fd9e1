"""Fluorescence images of cells, from a table with the plate and field of each.

Wells of one plate share a staining and a day at the microscope: a classifier that is evaluated on
a plate of its training is too optimistic. So the plate is the group by default; a ``field``, one
look through the microscope, is the weaker choice where there are too few plates.

``mcf7`` is such a table of BBBC021, "Human MCF7 cells - compound-profiling experiment": Caie et
al., Mol. Cancer Ther. 9(6), 2010; Ljosa et al., Nat. Methods 9(7), 2012. ``cells`` is any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eosin.core.errors import DataError, RecipeError, close_matches
from eosin.core.text import quantity
from eosin.core.types import CONTAINER_SUFFIXES
from eosin.data.download.source import RemoteFile, Source
from eosin.data.sources.base import (
    NOTES,
    DataSetFacts,
    check_options,
    note_differences,
    read_text_table,
    register,
    take_choice,
    take_file,
    take_text,
    take_texts,
)
from eosin.images.decode import IMAGE_SUFFIXES
from eosin.images.references import list_files

_OPTIONS = ("channels", "group", "label", "table", "test_plates")
_TABLE = "cells.csv"


def collect_cells(name: str, root: Path, options: Mapping[str, Any]) -> Any:
    """List the cells of a table, for ``cells`` or ``mcf7``; every further column stays.

    Options: ``table`` (``cells.csv``, from ``root``), ``label`` (the column of the class,
    ``class``), ``group`` (``plate`` or ``field``), ``test_plates`` (plates that make up the split
    ``test``, the others ``train``), ``channels`` (what each channel shows).

    Raises DataError if the table is absent, or lacks a column or a value; RecipeError for a wrong
    option.
    """
    check_options(name, options, _OPTIONS)
    take_texts(options, "channels")
    file = take_file(root, options, "table", _TABLE)
    label = take_text(options, "label", "class")
    group = take_choice(options, "group", "plate", ("plate", "field"))
    if not file.is_file():
        raise DataError(
            f"{root} contains no {_TABLE}",
            hint="Name another with the option table, from that folder",
        )
    needed = ["path", label, "plate", *(["field"] if group == "field" else [])]
    table = read_text_table(file, needed)
    table["path"] = [_clean(file, cell) for cell in table["path"]]
    _check_cells(file, table, needed)
    table["label"] = table[label]
    table["group"] = table["plate"]
    if group == "field":
        table["group"] = table["plate"] + "/" + table["field"]
    _add_split(table, take_texts(options, "test_plates"))
    there = list_files(root, IMAGE_SUFFIXES | CONTAINER_SUFFIXES).files
    notes = note_differences(table["path"], there, file.name)
    table.attrs[NOTES] = [*notes, *_note_plates(table, group)]
    return table


def _check_cells(file: Path, table: Any, needed: list[str]) -> None:
    for column in needed:
        empty = np.flatnonzero((table[column].str.strip() == "").to_numpy())
        if empty.size:
            raise DataError(f"{file}: row {int(empty[0]) + 2} has no {column}")
    twice = table[table["path"].duplicated()]
    if len(twice):
        raise DataError(f"{file}: {twice.iloc[0]['path']} is listed twice")


def _clean(file: Path, cell: str) -> str:
    path = cell.replace("\\", "/")
    if path.startswith("/") or ":" in path.split("/")[0] or ".." in path.split("/"):
        raise DataError(f"{file}: the path {cell!r} leads out of the data set's folder")
    return path.removeprefix("./")


def _add_split(table: Any, test_plates: tuple[str, ...]) -> None:
    if not test_plates:
        return
    plates = sorted(set(table["plate"]))
    for plate in test_plates:
        if plate not in plates:
            raise RecipeError(
                f"'data.options.test_plates': there is no plate {plate!r}",
                hint=close_matches(plate, plates),
            )
    if set(test_plates) == set(plates):
        raise RecipeError("'data.options.test_plates' leaves no plate to train on")
    table["split"] = np.where(table["plate"].isin(test_plates), "test", "train")


def _note_plates(table: Any, group: str) -> list[str]:
    if group == "field":
        return [] if "split" in table else ["grouped by field: a plate can be in several subsets"]
    plates = table["plate"].nunique()
    if plates > 2:
        return []
    count = quantity(plates, "plate")
    return [f'only {count}: the option group = "field" makes more groups, which share plates']


_HOMEPAGE = "https://bbbc.broadinstitute.org/BBBC021"
# The first of its 55 plates, which have more than 40 GB. No checksums are published.
_FOLDER = "https://data.broadinstitute.org/bbbc/BBBC021"
_PLATE = "BBBC021_v1_images_Week1_22123.zip"
_TABLES = ("BBBC021_v1_image.csv", "BBBC021_v1_compound.csv", "BBBC021_v1_moa.csv")

register(
    DataSetFacts(
        name="cells",
        title="Fluorescence images of cells, from a table",
        licence="unknown",
        citation="none",
        modality="fluorescence",
        channels=(),
    ),
    partial(collect_cells, "cells"),
)
register(
    DataSetFacts(
        name="mcf7",
        title="MCF-7 breast cancer cells under compounds",
        licence="CC BY-NC-SA 3.0",
        citation="Image set BBBC021v1, Broad Bioimage Benchmark Collection: Caie et al., "
        "Mol. Cancer Ther. 9(6):1913-1926, 2010; Ljosa et al., Nat. Methods 9(7):637, 2012",
        modality="fluorescence",
        positive="protein_synthesis_inhibitor",
        channels=("DNA", "actin", "tubulin"),
        homepage=_HOMEPAGE,
    ),
    partial(collect_cells, "mcf7"),
    Source(
        name="mcf7",
        title="MCF-7 cells under compounds, BBBC021v1, plate Week1_22123",
        homepage=_HOMEPAGE,
        licence="CC BY-NC-SA 3.0 as commonly cited; its page has the binding terms",
        citation=(
            "Caie et al., Mol. Cancer Ther. 9(6), 2010; Ljosa et al., Nature Methods 9(7):637, 2012"
        ),
        unpacks_to="one plate of 16-bit TIFF (DNA, actin, tubulin in files of their own), "
        "three tables",
        preparation="cut single cells out of the fields and list them in cells.csv (docs/data.md)",
        files=(
            RemoteFile(name=_PLATE, urls=(f"{_FOLDER}/{_PLATE}",), unpack=True),
            *(RemoteFile(name=table, urls=(f"{_FOLDER}/{table}",)) for table in _TABLES),
        ),
    ),
    layout=r"[^/]+/Week\d+_\d+_[^/]+\.tiff?",
)
