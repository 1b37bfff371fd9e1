"""IDC: invasive ductal carcinoma of the breast, patches of 50 px in one folder per patient.

Sources: Cruz-Roa et al., "Automatic detection of invasive ductal carcinoma in whole slide images
with convolutional neural networks", SPIE Medical Imaging 2014; Janowczyk and Madabhushi, J. Pathol.
Inform. 7:29, 2016. Tree: ``<patient>/{0,1}/<patient>_idx5_x1051_y751_class0.png``. At a slide's
border patches are smaller than 50 × 50.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

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

CLASSES = ("normal", "idc")
#: Folders of the published archive: itself, and the patients.
_FOLDERS = re.compile(r"IDC_regular.*|idc\d*|\d+")
_NAME = re.compile(r"(?P<patient>\d+)_idx\d+_x(?P<x>\d+)_y(?P<y>\d+)_class(?P<digit>[01])\.png")


def collect_idc(root: Path, options: Mapping[str, Any]) -> Any:
    """List the patches by their names: the group is the patient, ``x`` and ``y`` the position.

    Raises DataError if no file has a name of IDC, or folders name other classes.
    """
    check_options("idc", options)
    # The published archive holds every patient twice, once in a folder of its own name.
    found = list_files(root, [".png"])
    paths = sorted(found.files, key=lambda path: (path.count("/"), path))
    rows, seen, copies, odd, moved = [], set(), 0, 0, 0
    for path in paths:
        name = path.rpartition("/")[2]
        match = _NAME.fullmatch(name)
        if match is None:
            odd += 1
        elif name in seen:
            copies += 1
        else:
            seen.add(name)
            patient, x, y, digit = match.groups()
            moved += path.split("/")[-2:-1] == [str(1 - int(digit))]
            rows.append((path, CLASSES[int(digit)], patient, patient, x, y))
    if not rows:
        raise DataError(
            f"{root} contains no IDC patch (<patient>_idx5_x<x>_y<y>_class<0|1>.png)",
            hint="Name the folder that contains one folder per patient, or read class folders: "
            "--set data.dataset=folder",
        )
    check_foreign_folders("idc", root, (row[0] for row in rows), _FOLDERS, " and ".join(CLASSES))
    columns = ["path", "label", "patient", "group", "x", "y"]
    table = pd.DataFrame(sorted(rows), columns=columns, dtype=object)
    counts = (
        (copies, "with a duplicate file name: left out"),
        (odd, "with other file names: left out"),
        (moved, "in the folder of the other class: the class in the file name is used"),
    )
    table.attrs[NOTES] = note_counts(counts, found.left_out)
    return table


_HOMEPAGE = "http://www.andrewjanowczyk.com/use-case-6-invasive-ductal-carcinoma-idc-segmentation/"

register(
    DataSetFacts(
        name="idc",
        title="IDC: invasive ductal carcinoma patches, H&E",
        licence="CC0 on Kaggle",
        citation="Cruz-Roa et al., SPIE Medical Imaging 2014; "
        "Janowczyk and Madabhushi, J. Pathol. Inform. 7:29, 2016",
        positive="idc",
        classes=CLASSES,
        counts=(Count(198_738, "normal"), Count(78_786, "idc")),
        homepage=_HOMEPAGE,
    ),
    collect_idc,
    Source(
        name="idc",
        title="Invasive ductal carcinoma patches (IDC)",
        homepage=_HOMEPAGE,
        licence="none is stated where it is published; a copy on Kaggle is marked CC0",
        citation=(
            "Cruz-Roa et al., SPIE Medical Imaging 9041, 2014; "
            "Janowczyk & Madabhushi, J. Pathol. Inform. 7:29, 2016"
        ),
        unpacks_to="IDC_regular_ps50_idx5/<patient>/{0,1}/*.png: 277,524 patches of 50 × 50 px",
        # From the page of the tutorial that published them, without size or checksum.
        files=(
            RemoteFile(
                name="IDC_regular_ps50_idx5.zip",
                urls=("http://andrewjanowczyk.com/wp-static/IDC_regular_ps50_idx5.zip",),
                unpack=True,
            ),
        ),
    ),
    layout=rf"(?:IDC_regular[^/]*/)?(?:\d+/)?(?:[01]/)?{_NAME.pattern}",
)
