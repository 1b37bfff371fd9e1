"""Whether an earlier training saw what a later one, or a model from outside, is judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from eosin.artifacts.audit import AuditReport, Finding
from eosin.artifacts.manifest import relocated
from eosin.core.types import Samples
from eosin.data.audit.album import Alike
from eosin.data.audit.inspection import audit_samples
from eosin.images.bundles import single_images
from eosin.images.hashes import FileHash, FileHashes

#: Names that mean the same thing only within one data set.
_OWN_NAMES = ("patient", "group", "cluster", "accession")
_COLUMNS = ("path", "label", *_OWN_NAMES)
#: Kinds of finding that compare names and no images.
_BY_NAME = ("same_group", "same_cluster", "same_accession", "alike_names")
#: Parts in the order in which the audit names them.
_TRAINED, _OUTSIDE = "model's training", "outside"
_LOOKED = (
    "The outside images were compared with those that the model was trained and chosen on: by "
    "file, by pixels, and by the names of groups. Changed copies were not looked for."
)
_NAMES_ALONE = (
    "No image is shared, only names: in another data set the same name may mean another patient."
)


def audit_stage(
    name: str,
    stage: tuple[Samples, FileHashes],
    judged: tuple[Samples, FileHashes],
    *,
    is_same_source: bool,
    alike: Alike | None = None,
    distinct: bool = False,
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
        distinct: Whether names that differ only in spelling are different names.

    Returns:
        The leaks, and nothing else.
    """
    target, hashes = judged
    part = f"stage {name}"
    mine, places = _place(stage[0], target.root, part)
    if not is_same_source:
        for column in _OWN_NAMES:
            mine[column] = [f"{part}: {cell}" if cell else "" for cell in mine[column]]
    files = {**hashes.files, **_move(stage[1], places)}
    judged_images, _ = _place(target, target.root, "test")
    matches = alike.matches if alike is not None else ()
    near = Alike(tuple(replace(one, a=places.get(one.a, one.a)) for one in matches))
    table = replace(target, frame=pd.concat([mine, judged_images], ignore_index=True))
    named = () if distinct else _OWN_NAMES
    report = audit_samples(table, hashes=FileHashes(files), alike=near, named=named)
    return report.leaks


def audit_outside(
    trained: tuple[Samples, FileHashes],
    outside: tuple[Samples, FileHashes],
    root: Path,
    *,
    distinct: bool = False,
) -> AuditReport:
    """Look for outside images, and their groups, among those that a model was trained on.

    Args:
        trained: What the training saw.
        outside: What is judged.
        root: The folder that paths of the report start from.
        distinct: Whether names that differ only in spelling are different names.

    Returns:
        The leaks; warnings where not one image is shared but names of groups are.
    """
    tables: list[pd.DataFrame] = []
    files: dict[str, FileHash] = {}
    for part, (samples, hashes) in zip((_TRAINED, _OUTSIDE), (trained, outside), strict=True):
        table, places = _place(samples, root, part)
        tables.append(table)
        files |= _move(hashes, places)
    both = replace(outside[0], frame=pd.concat(tables, ignore_index=True), root=root)
    named = () if distinct else _OWN_NAMES
    report = audit_samples(both, hashes=FileHashes(files), named=named)
    leaks, reach = report.leaks, [_LOOKED]
    lost = len(trained[1].unreadable)
    reach += [f"{lost:,} images of the training could not be read."] if lost else []
    if leaks and all(leak.kind in _BY_NAME for leak in leaks):
        leaks = [leak.model_copy(update={"severity": "warning"}) for leak in leaks]
        reach.append(_NAMES_ALONE)
    return report.model_copy(update={"findings": leaks, "reach": tuple(reach)})


def _place(samples: Samples, root: Path, part: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the images of one side with paths from ``root``, and those of before to those.

    An image without a group stays its own group, whatever folder its path starts from.
    """
    groups = samples.frame["group"].where(samples.frame["group"] != samples.frame["path"], "")
    own = single_images(replace(samples, frame=samples.frame.assign(group=groups)))
    moved = relocated(own, root).frame
    table: pd.DataFrame = moved.reindex(columns=list(_COLUMNS), fill_value="").astype(str)
    table["group"] = table["group"].where(table["group"] != "", table["path"])
    return table.assign(split=part), dict(zip(own.frame["path"], moved["path"], strict=True))


def _move(hashes: FileHashes, places: Mapping[str, str]) -> dict[str, FileHash]:
    found = ((place, hashes.of_file(cell)) for cell, place in places.items())
    return {place: one for place, one in found if one is not None}
