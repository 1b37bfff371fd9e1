"""Whether an earlier training saw what a later one, or a model from outside, is judged on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pandas as pd

from eosin.artifacts.audit import AuditReport, Finding
from eosin.artifacts.manifest import relocated
from eosin.core.text import spelling_key
from eosin.core.types import Samples
from eosin.datasets.audit.album import Alike
from eosin.datasets.audit.hashes import FileHashes
from eosin.datasets.audit.inspection import audit_samples
from eosin.datasets.bundles import single_images

_COLUMNS = ("path", "label", "patient", "group", "cluster", "accession")
#: Names that mean the same thing only within one data set.
_OWN_NAMES = ("group", "cluster", "accession")
#: Begins the group of an image of which no group is known.
_ALONE = "\0"
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
    # An image without a group has its path as one, from the folder of its own table.
    paths = {*own.frame["path"], *judged_images["path"]}
    frame = _join_spellings(pd.concat([mine, judged_images], ignore_index=True), paths)
    matches = alike.matches if alike is not None else ()
    near = Alike(tuple(replace(one, a=places.get(one.a, one.a)) for one in matches))
    table = replace(target, frame=frame)
    report = audit_samples(table, hashes=FileHashes(files), alike=near)
    return [finding for finding in report.findings if finding.severity == "leak"]


def audit_outside(
    trained: tuple[Samples, FileHashes], outside: tuple[Samples, FileHashes], root: Path
) -> AuditReport:
    """Look for outside images, and their groups, among those that a model was trained on.

    Args:
        trained: What the training saw.
        outside: What is judged.
        root: The folder that paths of the report start from.

    Returns:
        The leaks; warnings where not one image is shared but names of groups are.
    """
    tables, files = [], {}
    for part, (samples, hashes) in zip((_TRAINED, _OUTSIDE), (trained, outside), strict=True):
        own = single_images(samples)
        # An image without a patient has its path as its group, which is relative to a folder.
        group = own.frame["group"].where(own.frame["group"] != own.frame["path"], "")
        moved = relocated(replace(own, frame=own.frame.assign(group=group)), root)
        for cell, place in zip(own.frame["path"], moved.frame["path"], strict=True):
            if (found := hashes.of_file(cell)) is not None:
                files[place] = found
        table = _columns(moved, part)
        alone = f"{_ALONE}{part}: " + table["path"]
        tables.append(table.assign(group=table["group"].where(table["group"] != "", alone)))
    frame = pd.concat(tables, ignore_index=True)
    alone_names = {name for name in frame["group"] if name.startswith(_ALONE)}
    frame = _join_spellings(frame, alone_names)
    report = audit_samples(replace(outside[0], frame=frame, root=root), hashes=FileHashes(files))
    leaks, reach = report.leaks, [_LOOKED]
    lost = len(trained[1].unreadable)
    reach += [f"{lost:,} images of the training could not be read."] if lost else []
    if leaks and all(leak.kind.removeprefix("same_") in _OWN_NAMES for leak in leaks):
        leaks = [leak.model_copy(update={"severity": "warning"}) for leak in leaks]
        reach.append(_NAMES_ALONE)
    return report.model_copy(update={"findings": leaks, "reach": tuple(reach)})


def _join_spellings(frame: pd.DataFrame, apart: Collection[str]) -> pd.DataFrame:
    """Give names that differ only in spelling one name, which shows them: ``P01 = p01``.

    Args:
        frame: The images of both sides.
        apart: Names of images that are their own group: they hold a path, which has no spelling.
    """
    for column in _OWN_NAMES:
        spellings: dict[str, set[str]] = defaultdict(set)
        for name in set(frame[column]).difference(apart, {""}):
            spellings[spelling_key(name)].add(name)
        joined = {
            name: " = ".join(sorted(names))
            for names in spellings.values()
            if len(names) > 1
            for name in names
        }
        if joined:
            frame[column] = frame[column].map(lambda name: joined.get(name, name))  # noqa: B023
    return frame


def _columns(samples: Samples, part: str) -> pd.DataFrame:
    table: pd.DataFrame = samples.frame.reindex(columns=list(_COLUMNS), fill_value="")
    return table.astype(str).assign(split=part)
