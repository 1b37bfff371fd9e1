"""PatchCamelyon of the Kaggle competition: single TIFFs and a table of labels.

``train_labels.csv`` (id, label) and ``train/<id>.tif``. Exact duplicates were removed; the slides
are unknown, and the images of ``test/`` have no labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.core.errors import DataError
from eosin.data.download.source import Source
from eosin.data.sources.base import (
    NOTES,
    Count,
    DataSetFacts,
    check_options,
    count_images,
    note_differences,
    read_text_table,
    register,
)
from eosin.data.sources.pcam import CLASSES, MPP
from eosin.images.references import list_files

_TABLE = "train_labels.csv"


def collect_pcam_kaggle(root: Path, options: Mapping[str, Any]) -> Any:
    """List the labelled images.

    Args:
        root: The folder with ``train_labels.csv`` and ``train``.
        options: None are known.

    Returns:
        A manifest table, a row a label; a label without a file stays, to be listed as skipped.

    Raises:
        DataError: The table or the images are absent, or a label is invalid or listed twice.
    """
    check_options("pcam_kaggle", options)
    if not (root / _TABLE).is_file() or not (root / "train").is_dir():
        raise DataError(
            f"{root} holds no {_TABLE} with a folder train beside it",
            hint="Name the folder that the competition's archive was unpacked into",
        )
    labels = read_text_table(root / _TABLE, ["id", "label"])
    _check_labels(root / _TABLE, labels)
    table = pd.DataFrame(
        {
            "path": "train/" + labels["id"] + ".tif",
            "label": labels["label"].map({"0": CLASSES[0], "1": CLASSES[1]}),
        },
        dtype=object,
    )
    table["mpp"] = str(MPP)
    table.attrs[NOTES] = _notes(root, table)
    return table


def _check_labels(path: Path, labels: Any) -> None:
    odd = labels[~labels["label"].isin(["0", "1"])]
    if len(odd):
        row = odd.iloc[0]
        raise DataError(f"{path}: the label of {row['id']} must be 0 or 1, got {row['label']!r}")
    twice = labels[labels["id"].duplicated()]
    if len(twice):
        raise DataError(f"{path}: {twice.iloc[0]['id']} is told twice")


def _notes(root: Path, table: Any) -> list[str]:
    there = {f"train/{path}" for path in list_files(root / "train", [".tif"]).files}
    notes = ["no slides are known: each image is its own group"]
    notes += note_differences(table["path"], there, _TABLE, "of train ")
    if (root / "test").is_dir():
        unlabelled = len(list_files(root / "test", [".tif"]).files)
        notes.append(f"{count_images(unlabelled)} of test left out: they have no labels")
    return notes


_HOMEPAGE = "https://www.kaggle.com/c/histopathologic-cancer-detection"


register(
    DataSetFacts(
        name="pcam_kaggle",
        title="PatchCamelyon without duplicates (Kaggle), H&E",
        licence="Kaggle's rules",
        citation="Veeling et al., Rotation Equivariant CNNs for Digital Pathology, MICCAI 2018",
        positive="tumour",
        classes=CLASSES,
        counts=(Count(130_908, "normal"), Count(89_117, "tumour")),
        mpp=MPP,
        homepage=_HOMEPAGE,
    ),
    collect_pcam_kaggle,
    Source(
        name="pcam_kaggle",
        title="Histopathologic Cancer Detection (PCam without its duplicates)",
        homepage=_HOMEPAGE,
        licence="the competition's rules; PCam itself is CC0 1.0",
        citation="Veeling et al., Rotation Equivariant CNNs for Digital Pathology, MICCAI 2018",
        unpacks_to="train/*.tif, train_labels.csv (220,025 images) and test/ without labels",
        obstacle="Kaggle gives it only to those who are logged in and have accepted its rules",
        instruction=(
            "Log in, accept the rules and download the data at "
            "https://www.kaggle.com/c/histopathologic-cancer-detection/data"
        ),
    ),
)
