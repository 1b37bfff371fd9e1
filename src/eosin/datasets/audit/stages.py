"""Whether an earlier training saw what a later one is judged on."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from eosin.artifacts.audit import Finding
from eosin.artifacts.manifest import relocated
from eosin.core.types import Samples
from eosin.datasets.audit.album import Alike
from eosin.datasets.audit.hashes import FileHashes
from eosin.datasets.audit.inspection import audit_samples
from eosin.datasets.bundles import single_images

_COLUMNS = ("path", "label", "group", "cluster", "accession")
#: Names that mean the same thing only within one data set.
_OWN_NAMES = ("group", "cluster", "accession")


def audit_stage(
    name: str,
    stage: tuple[Samples, FileHashes],
    judged: tuple[Samples, FileHashes],
    *,
    is_same_source: bool,
    alike: Alike | None = None,
) -> list[Finding]:
    """Look for material of a stage among the images that the last training is judged on.

    Args:
        name: Of the stage.
        stage: All its samples, its own validation and test parts too: they chose its weights.
        judged: The images that are judged.
        is_same_source: Whether a group of the one may be a group of the other; of different
            data sets the names of groups mean nothing to each other.
        alike: Images of the stage that show what judged images show; a cell of the stage's comes
            first in each match.

    Returns:
        The leaks, and nothing else.
    """
    target, hashes = judged
    own = single_images(stage[0])
    moved = relocated(own, target.root)
    part = f"stage {name}"
    mine = _columns(moved, part)
    if not is_same_source:
        for column in _OWN_NAMES:
            mine[column] = [f"{part}: {cell}" if cell else "" for cell in mine[column]]
    files = dict(hashes.files)
    places = dict(zip(own.frame["path"], moved.frame["path"], strict=True))
    for cell, place in places.items():
        if (found := stage[1].of_file(cell)) is not None:
            files[place] = found
    judged_images = _columns(single_images(target), "test")
    frame = pd.concat([mine, judged_images], ignore_index=True)
    matches = alike.matches if alike is not None else ()
    near = Alike(tuple(replace(one, a=places.get(one.a, one.a)) for one in matches))
    table = replace(target, frame=frame)
    report = audit_samples(table, hashes=FileHashes(files), alike=near)
    return [finding for finding in report.findings if finding.severity == "leak"]


def _columns(samples: Samples, part: str) -> pd.DataFrame:
    table: pd.DataFrame = samples.frame.reindex(columns=list(_COLUMNS), fill_value="")
    return table.astype(str).assign(split=part)
