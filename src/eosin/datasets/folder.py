"""Any folder with one subfolder a class, and optionally one a patient below it.

``ROOT/<class>/image.png`` or ``ROOT/<class>/<patient>/…/image.png``. Where there is no patient
level, every image is its own group: the run then cannot promise that no patient crosses a split,
and the audit says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.core.errors import DataError
from eosin.core.text import clean_name
from eosin.datasets.base import DATASETS, LEFT_OUT, NOTES, DataSet, DataSetFacts
from eosin.datasets.listing import describe_left_out, list_files
from eosin.datasets.options import check_options
from eosin.datasets.tables import count_images

#: Folders of these names hold the parts of a data set, whose classes lie one level below.
_PARTS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def collect_folder(root: Path, options: Mapping[str, Any]) -> Any:
    """List the images of a class-per-folder tree.

    Args:
        root: The folder that holds one subfolder a class.
        options: None are known.

    Returns:
        A manifest table; ``patient`` is the folder below the class, if there is one.

    Raises:
        DataError: There is no class folder, or no image, or what should be classes are parts.
    """
    check_options("folder", options)
    rows, loose = [], 0
    found = list_files(root)
    for path in found.files:
        label, *below = path.split("/")
        if below:
            rows.append((path, label, below[0] if len(below) > 1 else ""))
        else:
            loose += 1
    left_out = describe_left_out(found.left_out)
    if not rows:
        raise DataError(
            ". ".join(filter(None, [f"{root} holds no images in class folders", left_out])),
            mend="Lay them out as ROOT/<class>/<patient>/image.png",
        )
    if {clean_name(label).casefold() for _, label, _ in rows} <= _PARTS:
        raise DataError(
            f"{root} is divided into {', '.join(sorted({row[1] for row in rows}))}: these are "
            "parts, not classes",
            mend="Name one of them, or write a manifest that tells the part in a column split",
        )
    table = pd.DataFrame(rows, columns=["path", "label", "patient"], dtype=object)
    table.attrs[NOTES] = _notes(loose, sum(not patient for _, _, patient in rows), len(rows))
    table.attrs[LEFT_OUT] = left_out
    return table


def _notes(loose: int, unknown: int, total: int) -> list[str]:
    notes = []
    if unknown:
        some = "no patient folders" if unknown == total else f"no patient folder for {unknown:,}"
        notes.append(f"{some}: each such image is its own group")
    if loose:
        notes.append(f"{count_images(loose)} beside the class folders: left out")
    return notes


DATASETS.add(
    "folder",
    DataSet(
        facts=DataSetFacts(
            name="folder",
            title="Images in one folder a class",
            licence="unknown",
            citation="none",
        ),
        collect=collect_folder,
    ),
)
