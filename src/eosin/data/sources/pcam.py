"""PatchCamelyon as its authors publish it, and as the Kaggle competition does.

``pcam`` is six HDF5 files, and one table of slides a part:
``camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5`` and ``…_meta.csv``. The tables list the
CAMELYON16 slide of each patch; without them no group is known.

``pcam_kaggle`` is single TIFFs and a table of labels: ``train_labels.csv`` (id, label) and
``train/<id>.tif``. Exact duplicates were removed; the slides are unknown, and the images of
``test/`` have no labels.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.core.errors import DataError, RecipeError
from eosin.core.text import clean_name
from eosin.core.types import ImageReference, IntArray
from eosin.data.download.source import RemoteFile, Source
from eosin.data.sources.base import (
    NOTES,
    Count,
    DataSetFacts,
    check_options,
    count_images,
    note_counts,
    note_differences,
    read_text_table,
    register,
    take_choice,
)
from eosin.images.containers import count_items, read_labels
from eosin.images.references import list_files

PARTS = ("train", "valid", "test")
CLASSES = ("normal", "tumour")
_STEM = "camelyonpatch_level_2_split_"
#: CAMELYON16's slides at level 2, 10×.
MPP = 0.972
_FOLDERS = {"0": CLASSES[0], "1": CLASSES[1]}
_PARTS = {"train": "train", "valid": "valid", "val": "valid", "test": "test"}
_SPLITS = {"train": "train", "valid": "val", "test": "test"}
_PUBLISHED = dict(zip(PARTS, (262_144, 32_768, 32_768), strict=True))
_TABLE = "train_labels.csv"


def find_official(root: Path) -> Path | None:
    """Return the folder of the official files, if any; raises DataError if they are packed."""
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    there = [folder for folder in folders if any(folder.glob(f"{_STEM}*_[xy].h5"))][:1]
    for folder in there or folders:
        packed = [
            path for path in folder.glob(f"{_STEM}*.h5.gz") if not path.with_suffix("").exists()
        ]
        if packed:
            raise DataError(
                f"{min(packed)} is still packed",
                hint=f"Unpack it: gunzip {shlex.quote(str(folder))}/*.h5.gz",
            )
    return there[0] if there else None


def collect_official(root: Path, folder: Path) -> tuple[Any, list[str]]:
    """List the images of the official files in ``folder``; paths start from ``root``.

    Returns path, label, part, slide, group, x, y, and sentences on oddities. Raises DataError if no
    part is whole, or images and labels do not match.
    """
    notes: list[str] = []
    lead = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    tables = [
        _collect_part(folder, lead, part, notes) for part in PARTS if _is_whole(folder, part, notes)
    ]
    if not tables:
        reason = notes[0] if notes else f"none of its {_STEM}*.h5 is a file of train, valid or test"
        raise DataError(f"{folder} has no subset with images and labels: {reason}")
    table = pd.concat(tables, ignore_index=True)
    if not (table["slide"] != "").any():
        table = table.drop(columns=["slide", "x", "y"])
    return table, notes


def _is_whole(folder: Path, part: str, notes: list[str]) -> bool:
    there = {half: (folder / f"{_STEM}{part}_{half}.h5").is_file() for half in "xy"}
    if there["x"] != there["y"]:
        lacking = "y" if there["x"] else "x"
        what = "labels" if there["x"] else "images"
        notes.append(f"{part}: left out, because its {what} {_STEM}{part}_{lacking}.h5 are missing")
    return all(there.values())


def _collect_part(folder: Path, lead: str, part: str, notes: list[str]) -> Any:
    images = folder / f"{_STEM}{part}_x.h5"
    targets = read_labels(folder / f"{_STEM}{part}_y.h5")
    n_images = count_items(images)
    if n_images != len(targets):
        raise DataError(
            f"{images} has {n_images} images, but there are {len(targets)} labels",
            hint="Download the images and labels of this part again",
        )
    if not np.isin(targets, (0, 1)).all():
        odd = int(targets[~np.isin(targets, (0, 1))][0])
        raise DataError(f"{folder / f'{_STEM}{part}_y.h5'} has the label {odd}; it must be 0 or 1")
    slides = _read_slides(folder, part, targets, notes)
    return pd.DataFrame(
        {
            "path": [str(ImageReference(lead + images.name, str(i))) for i in range(n_images)],
            "label": np.array(CLASSES, dtype=object)[targets],
            "part": part,
            "slide": "" if slides is None else slides["wsi"],
            "group": "" if slides is None else slides["wsi"],
            "x": "" if slides is None else slides.get("coord_x", ""),
            "y": "" if slides is None else slides.get("coord_y", ""),
        },
        dtype=object,
    )


def _read_slides(folder: Path, part: str, targets: IntArray, notes: list[str]) -> Any:
    """Read the slides of a part; None if the table is absent or of other images."""
    files = (folder / f"{_STEM}{part}_meta.{suffix}" for suffix in ("csv", "csv.gz"))
    path = next(filter(Path.is_file, files), None)
    own = "each image is its own group, and one slide can be in several subsets"
    if path is None:
        notes.append(f"{part}: no slides are known ({_STEM}{part}_meta.csv is missing): {own}")
        return None
    table = read_text_table(path, ["wsi"])
    if len(table) != len(targets):
        rows = f"{len(table):,} rows for {count_images(len(targets))}"
        notes.append(f"{part}: the slides of {path.name} are not used, it has {rows}: {own}")
        return None
    if "center_tumor_patch" in table:
        shown = table["center_tumor_patch"].str.lower().isin(["true", "1"]).to_numpy()
        differing = int((shown != (targets == 1)).sum())
        if differing:
            notes.append(
                f"{part}: the slides of {path.name} are not used, it contradicts "
                f"{differing:,} labels, so its order is another: {own}"
            )
            return None
    unknown = int((table["wsi"] == "").sum())
    if unknown:
        notes.append(f"{part}: no slide is known for {count_images(unknown)}")
    return table


def collect_pcam(root: Path, options: Mapping[str, Any]) -> Any:
    """List PatchCamelyon's images: HDF5 files, or class folders, maybe below part folders.

    Option ``evaluate_on``: ``"test"`` (default) takes the official parts; ``"valid"`` makes
    the valid subset the split ``test`` and leaves the official test subset out. ``part`` is the
    official part, ``slide`` is there if it is known. Raises DataError if none of the forms is
    found, RecipeError for a wrong option.
    """
    if "judge" in options:  # its former name
        options = {"evaluate_on": options["judge"], **options}
        del options["judge"]
    check_options("pcam", options, ["evaluate_on"])
    evaluate_on = take_choice(options, "evaluate_on", "test", ("test", "valid"))
    folder = find_official(root)
    if folder is not None:
        table, notes = collect_official(root, folder)
    else:
        table, notes = _collect_folders(root)
    table = _assign_splits(root, table, evaluate_on, notes)
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
            f"{root} contains no PatchCamelyon: neither camelyonpatch_level_2_split_*_x.h5, nor "
            "the class folders 0 and 1, nor these inside train, valid, test",
            hint="Name the folder that contains them",
        )
    notes = [
        "no slides are known: each image is its own group",
        *note_counts([(left_out, "outside the class folders 0 and 1: left out")], found.left_out),
    ]
    table = pd.DataFrame(rows, columns=["path", "label", "part"], dtype=object)
    return (table if has_parts else table.drop(columns="part")), notes


def _assign_splits(root: Path, table: Any, evaluate_on: str, notes: list[str]) -> Any:
    """Map official parts to splits; without parts there is no split."""
    parts = set(table["part"]) if "part" in table else set()
    if evaluate_on == "valid":
        if "valid" not in parts:
            raise RecipeError(
                f"'data.options.evaluate_on' is \"valid\", but {root} has no subset valid"
            )
        if "test" in parts:
            kept = table["part"] != "test"
            notes.append(
                f"{count_images(int((~kept).sum()))} of test left out: valid is evaluated instead"
            )
            table = table[kept].reset_index(drop=True)
        table["split"] = table["part"].map({"train": "train", "valid": "test"})
    elif parts:
        table["split"] = table["part"].map(_SPLITS)
        if "test" not in parts and "valid" in parts:
            notes.append('no subset test: the option evaluate_on = "valid" evaluates valid instead')
    return table


_HOMEPAGE = "https://github.com/basveeling/pcam"
_RECORD = "https://zenodo.org/record/2546921/files"
_PATCH_BYTES = 96 * 96 * 3
# Sizes and SHA-256 of the HDF5 files are those that TensorFlow Datasets publishes for the same
# addresses. For two of the three tables of slides the authors' page and other copies give different
# MD5 sums, so only the undisputed one is listed.
_SUMS = {
    "train_x": (6_421_353_462, "d619e741468a7ab35c7e4a75e6821b7e7e6c9411705d45708f2a0efc8960656c"),
    "train_y": (21_378, "b74126d2c01b20d3661f9b46765d29cf4e4fba6faba29c8e0d09d406331ab75a"),
    "valid_x": (805_965_320, "f82ee1670d027b4ec388048d9eabc2186b77c009655dae76d624c0ecb053ccb2"),
    "valid_y": (3_038, "ce1ae30f08feb468447971cfd0472e7becd0ad96d877c64120c72571439ae48c"),
    "test_x": (800_875_929, "79174c2201ad521602a5888be8f36ee10875f37403dd3f2086caf2182ef87245"),
    "test_y": (3_040, "0a522005fccc8bbd04c5a117bfaf81d8da2676f03a29d7499f71d0a0bd6068ef"),
}
_TABLE_SUMS = {"train": "md5:5a3dd671e465cfd74b5b822125e65b0a"}


def _list_remote_files() -> Iterator[RemoteFile]:
    for key, (size, digest) in _SUMS.items():
        part, half = key.split("_")
        name = f"{_STEM}{key}.h5.gz"
        yield RemoteFile(
            name=name,
            urls=(f"{_RECORD}/{name}",),
            size=size,
            checksum=f"sha256:{digest}",
            unpack=True,
            unpacked_bytes=_PUBLISHED[part] * (_PATCH_BYTES if half == "x" else 1),
        )
    for part in PARTS:
        name = f"{_STEM}{part}_meta.csv"
        yield RemoteFile(name, (f"{_RECORD}/{name}",), checksum=_TABLE_SUMS.get(part))


register(
    DataSetFacts(
        name="pcam",
        title="PatchCamelyon: lymph node metastases, H&E",
        licence="CC0 1.0",
        citation="Veeling et al., Rotation Equivariant CNNs for Digital Pathology, MICCAI 2018",
        positive="tumour",
        classes=CLASSES,
        counts=tuple(Count(images, part=part) for part, images in _PUBLISHED.items()),
        parts="part",
        mpp=MPP,
        homepage=_HOMEPAGE,
    ),
    collect_pcam,
    Source(
        name="pcam",
        title="PatchCamelyon (PCam)",
        homepage=_HOMEPAGE,
        licence="CC0 1.0",
        citation=(
            "Veeling et al., Rotation Equivariant CNNs for Digital Pathology, MICCAI 2018; "
            "Ehteshami Bejnordi et al., JAMA 318(22), 2017"
        ),
        unpacks_to="six HDF5 files (images and labels of train, valid, test), three tables of "
        "slides",
        files=tuple(_list_remote_files()),
    ),
    layout=rf"(?:{_STEM}(?:train|valid|test)_[xy]\.h5(?:\.gz)?|(?:train|valid|val|test)/[01]/[^/]+)",
)


def collect_pcam_kaggle(root: Path, options: Mapping[str, Any]) -> Any:
    """List the labelled images, a row a label; one without a file stays, to be listed as skipped.

    Raises DataError if the table or the images are absent, or a label is invalid or listed twice.
    """
    check_options("pcam_kaggle", options)
    if not (root / _TABLE).is_file() or not (root / "train").is_dir():
        raise DataError(
            f"{root} contains no {_TABLE} with a folder train beside it",
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
        raise DataError(f"{path}: {twice.iloc[0]['id']} is listed twice")


def _notes(root: Path, table: Any) -> list[str]:
    there = {f"train/{path}" for path in list_files(root / "train", [".tif"]).files}
    notes = ["no slides are known: each image is its own group"]
    notes += note_differences(table["path"], there, _TABLE, "of train ")
    if (root / "test").is_dir():
        unlabelled = len(list_files(root / "test", [".tif"]).files)
        notes.append(f"{count_images(unlabelled)} of test left out: they have no labels")
    return notes


_KAGGLE = "https://www.kaggle.com/c/histopathologic-cancer-detection"

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
        homepage=_KAGGLE,
    ),
    collect_pcam_kaggle,
    Source(
        name="pcam_kaggle",
        title="Histopathologic Cancer Detection (PCam without its duplicates)",
        homepage=_KAGGLE,
        licence="the competition's rules; PCam itself is CC0 1.0",
        citation="Veeling et al., Rotation Equivariant CNNs for Digital Pathology, MICCAI 2018",
        unpacks_to="train/*.tif, train_labels.csv (220,025 images) and test/ without labels",
        obstacle="Kaggle requires a login and acceptance of the rules",
        instruction=(
            "Log in, accept the rules and download the data at "
            "https://www.kaggle.com/c/histopathologic-cancer-detection/data"
        ),
    ),
    layout=r"train_labels\.csv",
)
