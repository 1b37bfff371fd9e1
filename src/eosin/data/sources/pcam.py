"""PatchCamelyon: lymph node patches of 96 px, with or without metastatic tissue in the middle.

Source: Veeling et al., "Rotation Equivariant CNNs for Digital Pathology", MICCAI 2018. Read as

- the authors' HDF5 files (:mod:`eosin.data.sources.pcam_h5`),
- class folders ``{train,valid,test}/{0,1}/…`` of single images, ``val`` for ``valid`` will do,
- class folders ``{0,1}/…`` without parts.

Rotation-equivariance papers judge on the test part, others on the valid part: the option ``judge``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.core.errors import DataError, RecipeError
from eosin.core.text import clean_name
from eosin.data.sources.base import DATASETS, NOTES, Count, DataSet, DataSetFacts
from eosin.data.sources.options import check_options, take_choice
from eosin.data.sources.pcam_h5 import CLASSES, PARTS, collect_official, find_official
from eosin.data.sources.tables import count_images
from eosin.images.listing import describe_left_out, list_files

#: CAMELYON16's slides at level 2, 10×.
MPP = 0.972
_FOLDERS = {"0": CLASSES[0], "1": CLASSES[1]}
_PARTS = {"train": "train", "valid": "valid", "val": "valid", "test": "test"}
_SPLITS = {"train": "train", "valid": "val", "test": "test"}


def collect_pcam(root: Path, options: Mapping[str, Any]) -> Any:
    """List PatchCamelyon's images, in whichever form they lie there.

    Args:
        root: The folder with the HDF5 files, or with the part or class folders.
        options: ``judge``: ``"test"`` (default) takes the official parts as they are; ``"valid"``
            makes the valid part the split ``test`` and leaves the official test part out.

    Returns:
        A manifest table; ``part`` is the official part, ``slide`` is there where it is known.

    Raises:
        DataError: None of the forms is found.
        RecipeError: An option is wrong.
    """
    check_options("pcam", options, ["judge"])
    judge = take_choice(options, "judge", "test", ("test", "valid"))
    folder = find_official(root)
    if folder is not None:
        table, notes = collect_official(root, folder)
    else:
        table, notes = _collect_folders(root)
    table = _assign_splits(root, table, judge, notes)
    table["mpp"] = str(MPP)
    table.attrs[NOTES] = notes
    return table


def _collect_folders(root: Path) -> tuple[Any, list[str]]:
    rows, left_out = [], 0
    found = list_files(root)
    paths = found.files
    has_parts = any(clean_name(path.split("/")[0]) in _PARTS for path in paths)
    for path in paths:
        above = list(map(clean_name, path.split("/")[:-1]))
        part = _PARTS.get(above[0], "") if has_parts and above else ""
        label = _FOLDERS.get(above[int(has_parts)]) if len(above) > int(has_parts) else None
        if label is None or (has_parts and not part):
            left_out += 1
        else:
            rows.append((path, label, part))
    if not rows:
        raise DataError(
            f"{root} holds no PatchCamelyon: neither camelyonpatch_level_2_split_*_x.h5, nor the "
            "class folders 0 and 1, nor these below train, valid, test",
            mend="Name the folder that holds them",
        )
    notes = ["no slides are known: each image is its own group"]
    if left_out:
        notes.append(f"{count_images(left_out)} outside the class folders 0 and 1: left out")
    notes += filter(None, [describe_left_out(found.left_out)])
    table = pd.DataFrame(rows, columns=["path", "label", "part"], dtype=object)
    return (table if has_parts else table.drop(columns="part")), notes


def _assign_splits(root: Path, table: Any, judge: str, notes: list[str]) -> Any:
    """Turn official parts into splits; without parts there is no split to name."""
    parts = set(table["part"]) if "part" in table else set()
    if judge == "valid":
        if "valid" not in parts:
            raise RecipeError(f"'data.options.judge' is \"valid\", but {root} has no valid part")
        if "test" in parts:
            kept = table["part"] != "test"
            notes.append(f"{count_images(int((~kept).sum()))} of test left out: valid is judged on")
            table = table[kept].reset_index(drop=True)
        table["split"] = table["part"].map({"train": "train", "valid": "test"})
    elif parts:
        table["split"] = table["part"].map(_SPLITS)
        if "test" not in parts and "valid" in parts:
            notes.append('no test part: the option judge = "valid" judges on the valid part')
    return table


_PUBLISHED = dict(zip(PARTS, (262_144, 32_768, 32_768), strict=True))

DATASETS.add(
    "pcam",
    DataSet(
        facts=DataSetFacts(
            name="pcam",
            title="PatchCamelyon: lymph node metastases, H&E",
            licence="CC0 1.0",
            citation="Veeling et al., Rotation Equivariant CNNs for Digital Pathology, MICCAI 2018",
            positive="tumour",
            classes=CLASSES,
            counts=tuple(Count(images, part=part) for part, images in _PUBLISHED.items()),
            parts="part",
            mpp=MPP,
            homepage="https://github.com/basveeling/pcam",
        ),
        collect=collect_pcam,
    ),
)
