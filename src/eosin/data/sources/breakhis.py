"""BreakHis: breast tumours, named ``SOB_<B|M>_<type>-<yy>-<number><letters>-<mag>-<seq>.png``.

Source: Spanhol et al., IEEE Trans. Biomed. Eng. 63(7), 2016. The slide id carries section
letters: ``14-22549AB``, ``14-22549CD`` and ``14-22549G`` are sections of accession 22549, so only
the digits name what must not cross a split. The year is not always 14 (``15-190EF``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from eosin.core.errors import DataError
from eosin.data.download.source import RemoteFile, Source
from eosin.data.sources.base import (
    NOTES,
    Count,
    DataSetFacts,
    check_foreign_folders,
    check_options,
    note_counts,
    register,
)
from eosin.images.references import list_files

_NAME = re.compile(
    r"SOB_(?P<class_letter>[BM])_(?P<subtype_code>A|F|PT|TA|DC|LC|MC|PC)"
    r"-(?P<year>\d{2})-(?P<number>\d+)(?P<letters>[A-Z]*)"
    r"-(?P<magnification>\d+)-(?P<sequence>\d+)(?:\.[A-Za-z0-9]+)?",
    re.ASCII,
)
_CLASSES = {"B": "benign", "M": "malignant"}
_SUBTYPES = {
    "A": "adenosis",
    "F": "fibroadenoma",
    "PT": "phyllodes_tumor",
    "TA": "tubular_adenoma",
    "DC": "ductal_carcinoma",
    "LC": "lobular_carcinoma",
    "MC": "mucinous_carcinoma",
    "PC": "papillary_carcinoma",
}
#: Folders of the published archive and of its copies.
_FOLDERS = re.compile(
    r".*breakhis.*|histology_slides|breast|SOB(_.*)?|(benign|malignant)(_\w+)?|"
    rf"[BM]|{'|'.join((*_SUBTYPES, *_SUBTYPES.values()))}|phyllodes_tumou?r",
    re.IGNORECASE,
)
# 6.5 µm camera pixel behind a 3.3x relay lens and the objective, for the original 700 × 460
# field. An anisotropically resized copy has no single value: the manifest leaves it empty.
_MPP = {"40": 0.49, "100": 0.20, "200": 0.10, "400": 0.05}
_ORIGINAL_PX = (700, 460)
# Benign and malignant images at each magnification.
_PUBLISHED = {"40": (625, 1370), "100": (644, 1437), "200": (623, 1390), "400": (588, 1232)}


@dataclass(frozen=True)
class BreakHisName:
    """Parts of a BreakHis file name; all text, so that ``001`` stays ``001``."""

    class_letter: str  # ``B`` (benign) or ``M`` (malignant)
    subtype_code: str  # ``A``, ``F``, ``PT``, ``TA``, ``DC``, ``LC``, ``MC`` or ``PC``
    year: str  # two digits
    slide: str  # year, number and section letters, e.g. ``14-22549AB``.
    accession: str  # the digits of the slide's number, e.g. ``22549``.
    magnification: str  # ``40``, ``100``, ``200`` or ``400``
    sequence: str  # running number of the field, e.g. ``001``.


def parse_breakhis_name(filename: str) -> BreakHisName | None:
    """Parse a BreakHis file name, with or without folders and suffix; None for other names."""
    found = _NAME.fullmatch(re.split(r"[/\\]", filename)[-1])
    if found is None:
        return None
    year, number, letters = found["year"], found["number"], found["letters"]
    return BreakHisName(
        class_letter=found["class_letter"],
        subtype_code=found["subtype_code"],
        year=year,
        slide=f"{year}-{number}{letters}",
        accession=number,
        magnification=found["magnification"],
        sequence=found["sequence"],
    )


def collect_breakhis(root: Path, options: Mapping[str, Any]) -> Any:
    """List the images of a BreakHis tree, or any part of it, at any image size.

    Raises DataError if no file below ``root`` has a BreakHis name, or folders name other classes.
    """
    check_options("breakhis", options)
    rows, odd, moved = [], 0, 0
    found = list_files(root, [".png"])
    for path in found.files:
        name = parse_breakhis_name(path.rpartition("/")[2])
        if name is None:
            odd += 1
            continue
        label = _CLASSES[name.class_letter]
        moved += bool((set(_CLASSES.values()) - {label}) & set(path.split("/")))
        rows.append(
            {
                "path": path,
                "label": label,
                "subtype": _SUBTYPES[name.subtype_code],
                "patient": name.accession,
                "group": name.accession,
                "accession": name.accession,
                "slide": name.slide,
                "magnification": name.magnification,
            }
        )
    if not rows:
        raise DataError(
            f"{root} contains no BreakHis image (SOB_<B|M>_<type>-<yy>-<id>-<mag>-<seq>.png)",
            hint="Name the folder that contains BreaKHis_v1, or read class folders: "
            "--set data.dataset=folder",
        )
    paths = (row["path"] for row in rows)
    check_foreign_folders("breakhis", root, paths, _FOLDERS, " and ".join(_CLASSES.values()))
    table = pd.DataFrame(rows, dtype=object)
    table["mpp"] = _scales(root, table)
    counts = (
        (odd, "with other file names: left out"),
        (moved, "in the folder of the other class: the class in the file name is used"),
    )
    table.attrs[NOTES] = note_counts(counts, found.left_out)
    return table


def _scales(root: Path, table: Any) -> list[str]:
    """Return µm per pixel of each image if the images have the camera's own size, else nothing.

    The first image that opens stands for all; unreadable ones are listed when images are read.
    """
    size = next(filter(None, (_size(root / path) for path in table["path"])), None)
    if size != _ORIGINAL_PX:
        return [""] * len(table)
    return [str(_MPP.get(magnification, "")) for magnification in table["magnification"]]


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError):
        return None


_HOMEPAGE = (
    "https://web.inf.ufpr.br/vri/databases/breast-cancer-histopathological-database-breakhis/"
)

register(
    DataSetFacts(
        name="breakhis",
        title="BreakHis: breast tumours, H&E, 4 magnifications",
        licence="CC BY 4.0",
        citation="Spanhol et al., IEEE Trans. Biomed. Eng. 63(7):1455-1462, 2016",
        positive="malignant",
        classes=("benign", "malignant"),
        counts=tuple(
            Count(images, label, magnification)
            for magnification, both in _PUBLISHED.items()
            for label, images in zip(("benign", "malignant"), both, strict=True)
        ),
        parts="magnification",
        homepage=_HOMEPAGE,
    ),
    collect_breakhis,
    Source(
        name="breakhis",
        title="Breast Cancer Histopathological Image Classification (BreakHis)",
        homepage=_HOMEPAGE,
        licence="CC BY 4.0",
        citation=(
            "Spanhol et al., A Dataset for Breast Cancer Histopathological Image Classification, "
            "IEEE Trans. Biomed. Eng. 63(7), 2016"
        ),
        unpacks_to="BreaKHis_v1/: 7,909 images of 700 × 460 px at 40, 100, 200 and 400×; "
        "about 4 GB",
        # From the server of its authors; neither size nor checksum is published.
        files=(
            RemoteFile(
                name="BreaKHis_v1.tar.gz",
                urls=("http://www.inf.ufpr.br/vri/databases/BreaKHis_v1.tar.gz",),
                unpack=True,
                unpacked_bytes=4_000_000_000,
            ),
        ),
    ),
    layout=(
        r"(?:(?:BreaKHis_v\d+|histology_slides|breast|benign|malignant|SOB(?:_[^/]*)?|\d+X|"
        rf"{'|'.join(_SUBTYPES.values())})/)*{_NAME.pattern}"
    ),
)
