"""Breast cell lines by their actin: one folder each of MCF-10A, MCF-7 and MDA-MB-231.

Source: Oei et al., "Convolutional neural network for cell classification using microscope images
of intracellular actin networks", PLoS ONE 14(3):e0213626, 2019. The layout of the images is not
published: a folder named after a cell line, in any spelling, is taken as its class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.core.errors import DataError
from eosin.data.download.source import Source
from eosin.data.sources.base import NOTES, DataSetFacts, check_options, note_counts, register
from eosin.images.references import list_files

CLASSES = ("MCF-10A", "MCF-7", "MDA-MB-231")
_KNOWN = {re.sub("[^a-z0-9]", "", name.lower()): name for name in CLASSES}


def collect_oei(root: Path, options: Mapping[str, Any]) -> Any:
    """List the images of the three cell lines; no group is known, so every image is its own.

    Raises DataError if there is no folder of a cell line, or no image in one.
    """
    check_options("oei", options)
    rows, odd = [], 0
    found = list_files(root)
    for path in found.files:
        label = _KNOWN.get(re.sub("[^a-z0-9]", "", path.split("/")[0].lower()))
        if label is None or "/" not in path:
            odd += 1
        else:
            rows.append((path, label))
    if not rows:
        raise DataError(
            f"{root} contains no images in folders named {', '.join(CLASSES)}",
            hint="Name the folder that contains one folder per cell line",
        )
    table = pd.DataFrame(rows, columns=["path", "label"], dtype=object)
    table.attrs[NOTES] = [
        "no plates or dishes are known: each image is its own group",
        *note_counts([(odd, "outside the known class folders: left out")], found.left_out),
    ]
    return table


_HOMEPAGE = "https://doi.org/10.1371/journal.pone.0213626"

register(
    DataSetFacts(
        name="oei",
        title="Actin networks of 3 breast cell lines",
        licence="unknown",
        citation="Oei et al., PLoS ONE 14(3):e0213626, 2019",
        modality="fluorescence",
        classes=CLASSES,
        channels=("actin",),
        homepage=_HOMEPAGE,
    ),
    collect_oei,
    Source(
        name="oei",
        title="Actin networks of MCF-10A, MCF-7 and MDA-MB-231 cells",
        homepage=_HOMEPAGE,
        licence="the one stated on its figshare page",
        citation=(
            "Oei et al., Convolutional neural network for cell classification using microscope "
            "images of intracellular actin networks, PLoS ONE 14(3) e0213626, 2019"
        ),
        unpacks_to="fluorescence images of three cell lines",
        obstacle="its address on figshare is not known to this version",
        instruction=(
            "Follow the figshare link in the data availability statement of "
            "https://doi.org/10.1371/journal.pone.0213626"
        ),
    ),
    layout=r"(?:MCF\W*10A|MCF\W*7|MDA\W*MB\W*231)/[^/]+\.(?:tiff?|png|jpe?g|bmp)",
)
