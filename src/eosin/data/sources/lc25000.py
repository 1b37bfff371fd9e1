"""LC25000: lung and colon tissue, five classes, grouped by the tile that each image was made from.

Source: Borkowski et al., "Lung and Colon Cancer Histopathological Image Dataset (LC25000)", 2019.
Its 25,000 images are rotated and flipped copies of far fewer tiles: a split by image tests on
copies of training images. ``clusters.csv`` (path, class, cluster) lists which images are copies of
one tile; its numbers start anew in each class, so a group is ``<class>/<cluster>``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.core.errors import DataError
from eosin.core.text import clean_name
from eosin.data.download.source import Source
from eosin.data.sources.base import (
    NOTES,
    Count,
    DataSetFacts,
    check_options,
    note_counts,
    read_text_table,
    register,
    take_choice,
    take_file,
)
from eosin.images.references import list_files

CLASSES = ("colon_aca", "colon_n", "lung_aca", "lung_n", "lung_scc")
_TABLE = "clusters.csv"
_SUFFIXES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")


def collect_lc25000(root: Path, options: Mapping[str, Any]) -> Any:
    """List the images of LC25000; ``group`` and ``cluster`` where the copies are known.

    Options: ``part`` is ``"lung"``, ``"colon"`` or ``"all"`` (default: what is there); ``clusters``
    is the table of copies, ``clusters.csv`` by default. Raises DataError if no class folder is
    found, or the table contradicts itself; RecipeError for a wrong option.
    """
    check_options("lc25000", options, ["clusters", "part"])
    part = take_choice(options, "part", "all", ("lung", "colon", "all"))
    wanted = {name for name in CLASSES if part in {"all", name.split("_")[0]}}
    rows, odd = [], 0
    found = list_files(root, _SUFFIXES)
    for path in found.files:
        label = clean_name(f"{root.name}/{path}".split("/")[-2])
        if label in wanted:
            rows.append((path, label))
        odd += label not in CLASSES
    if not rows:
        raise DataError(
            f"{root} contains no images in the class folders {', '.join(sorted(wanted))}",
            hint="Name the folder that contains lung_colon_image_set",
        )
    table = pd.DataFrame(rows, columns=["path", "label"], dtype=object)
    clusters = take_file(root, options, "clusters", _TABLE)
    notes = _add_clusters(table, clusters, wanted)
    left_out = found.left_out
    if clusters.is_file() and root in clusters.parents:
        left_out = left_out - Counter({clusters.suffix.lower(): 1})  # it was read
    notes += note_counts([(odd, "outside the known class folders: left out")], left_out)
    table.attrs[NOTES] = notes
    return table


def _add_clusters(table: Any, path: Path, wanted: set[str]) -> list[str]:
    """Fill in ``cluster`` and ``group``; return notes on what the table of copies leaves open."""
    leak = "copies of one tile will be in several subsets"
    if not path.is_file():
        return [
            f"no table of copies ({_TABLE}, or what the option clusters names): each image is its "
            f"own group, and {leak}"
        ]
    clusters = _read_clusters(path)
    # By class and file name: the table may have been made from another folder of the tree.
    keys = [
        (label, clean_name(cell.rpartition("/")[2]))
        for cell, label in zip(table["path"], table["label"], strict=True)
    ]
    table["cluster"] = [f"{key[0]}/{clusters[key]}" if key in clusters else "" for key in keys]
    table["group"] = table["cluster"]
    unknown = sum(key not in clusters for key in keys)
    absent = {key for key in clusters if key[0] in wanted} - set(keys)
    return note_counts(
        [
            (unknown, f"not in {path.name}: each its own group, and {leak}"),
            (len(absent), f"of {path.name} missing"),
        ]
    )


def _read_clusters(path: Path) -> dict[tuple[str, str], str]:
    table = read_text_table(path, ["path", "class", "cluster"])
    clusters: dict[tuple[str, str], str] = {}
    for cell, label, cluster in zip(table["path"], table["class"], table["cluster"], strict=True):
        key = (label, clean_name(cell.replace("\\", "/").rpartition("/")[2]))
        if clusters.setdefault(key, cluster) != cluster:
            raise DataError(f"{path}: {cell} is in the clusters {clusters[key]} and {cluster}")
        if not cluster:
            raise DataError(f"{path}: {cell} has no cluster", hint="Drop its row if unknown")
    return clusters


_HOMEPAGE = "https://github.com/tampapath/lung_colon_image_set"

register(
    DataSetFacts(
        name="lc25000",
        title="LC25000: lung and colon carcinoma, H&E",
        licence="none stated",
        citation="Borkowski et al., Lung and Colon Cancer Histopathological Image Dataset "
        "(LC25000), arXiv:1912.12142, 2019",
        classes=CLASSES,
        counts=tuple(Count(5000, label) for label in CLASSES),
        homepage=_HOMEPAGE,
    ),
    collect_lc25000,
    Source(
        name="lc25000",
        title="Lung and Colon Cancer Histopathological Images (LC25000)",
        homepage=_HOMEPAGE,
        licence="free for AI researchers, according to its authors; no licence is stated",
        citation=(
            "Borkowski et al., Lung and Colon Cancer Histopathological Image Dataset (LC25000), "
            "arXiv:1912.12142, 2019"
        ),
        unpacks_to="lung_colon_image_set/{lung,colon}_image_sets/<class>/*.jpeg: "
        "25,000, 768 × 768 px",
        obstacle="its authors provide it as a torrent, and other copies need an account",
        instruction=(
            "Get LC25000.zip (1.85 GB) with a torrent program from "
            "https://academictorrents.com/details/7a638ed187a6180fd6e464b3666a6ea0499af4af"
        ),
    ),
    layout=rf"(?:lung_colon_image_set/)?(?:(?:lung|colon)_image_sets/)?(?:{'|'.join(CLASSES)})/[^/]+",
)
