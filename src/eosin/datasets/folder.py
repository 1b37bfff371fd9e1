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

from eosin.core.errors import DataError, UsageError
from eosin.datasets.base import DATASETS, DataSet, DataSetFacts
from eosin.inference.decode import IMAGE_SUFFIXES


def collect_folder(root: Path, options: Mapping[str, Any]) -> Any:
    """List the images of a class-per-folder tree.

    Args:
        root: The folder that holds one subfolder a class.
        options: None are known.

    Returns:
        A manifest table; ``patient`` is the folder below the class, if there is one.

    Raises:
        DataError: There is no class folder, or no image.
    """
    if options:
        raise UsageError(f"folder takes no options, got {sorted(options)[0]!r}")
    classes = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    rows = []
    for folder in classes:
        for path in sorted(folder.rglob("*")):
            below = path.relative_to(folder).parts
            hidden = any(part.startswith(".") for part in below)
            if path.suffix.lower() not in IMAGE_SUFFIXES or hidden:
                continue
            if "#" in path.relative_to(root).as_posix():
                raise DataError(
                    f"{path} has a '#' in its name, which a manifest keeps for images inside files",
                    mend="Rename it",
                )
            rows.append(
                {
                    "path": path.relative_to(root).as_posix(),
                    "label": folder.name,
                    "patient": below[0] if len(below) > 1 else "",
                }
            )
    if not rows:
        raise DataError(
            f"{root} holds no images in class folders",
            mend="Lay them out as ROOT/<class>/<patient>/image.png",
        )
    return pd.DataFrame(rows, dtype=object)


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
