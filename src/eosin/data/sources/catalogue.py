"""Catalogue of data sets, and their verification against declared facts.

Importing this module registers all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np

from eosin.core.types import Samples
from eosin.data import sources
from eosin.data.download.source import SOURCES
from eosin.data.sources.base import DATASETS, Count, DataSetFacts, count_images

for _module in iter_modules(sources.__path__, f"{sources.__name__}."):
    import_module(_module.name)

__all__ = ["DATASETS", "SOURCES", "find_datasets", "verify"]

#: Bounds of the search for data sets: levels of folders, entries read of each, files looked at.
_DEEPEST, _MOST_ENTRIES, _MOST_FILES = 12, 5000, 50
#: Few files of these kinds hold or describe a whole data set.
_ALWAYS = (".csv", ".h5", ".gz")


def find_datasets(root: Path) -> dict[str, list[Path]]:
    """Find data sets below a folder by the names of their files, whatever their folders are called.

    Only part of a large folder is read; links to folders are followed. Data sets whose files have
    no names of their own, such as ``folder``, are not found.

    Returns:
        The folders of each data set that was found, by registered name.
    """
    layouts = {name: layout for name in DATASETS if (layout := DATASETS.get(name).layout)}
    found: dict[str, dict[Path, None]] = {}
    for path in _some_files(root, "", frozenset()):
        for name, layout in layouts.items():
            if match := layout.fullmatch(path):
                found.setdefault(name, {})[root / match["root"]] = None
    return {name: list(folders) for name, folders in found.items()}


def _some_files(folder: Path, prefix: str, above: frozenset[Path]) -> Iterator[str]:
    """Yield paths of some files below a folder, relative to where the search began.

    ``above`` are the folders that lead here: a link back to one of them is not followed.
    """
    try:
        real = folder.resolve()
        with os.scandir(folder) as entries:
            some = list(islice(entries, _MOST_ENTRIES))
        folders = {entry.name for entry in some if entry.is_dir()}
    except OSError:
        return  # a folder that cannot be read holds nothing for this user
    if real in above:
        return
    files = [entry.name for entry in some if entry.name not in folders]
    telling = [name for name in files if name.lower().endswith(_ALWAYS)]
    yield from (prefix + name for name in dict.fromkeys([*telling, *files[:_MOST_FILES]]))
    if len(above) < _DEEPEST:
        for name in sorted(folders):
            yield from _some_files(folder / name, f"{prefix}{name}/", above | {real})


def verify(name: str, samples: Samples) -> list[str]:
    """Compare a data set with its declared facts: present, missing and unexpected images.

    Returns sentences without a full stop; none if nothing is declared and nothing is unexpected.
    ``samples`` are those of its adapter, under the data set's own labels.
    """
    facts = DATASETS.get(name).facts
    frame = samples.frame
    notes = list(samples.notes)
    labels = set(frame["label"])
    if facts.classes and not labels & set(facts.classes):
        # Labels of another column, such as BreakHis's subtype, have no published counts.
        return notes
    return [*_format_counts(facts, frame), *_format_classes(facts, labels), *notes]


def _format_classes(facts: DataSetFacts, labels: set[str]) -> Iterable[str]:
    if not facts.classes:
        return
    counted = {count.label for count in facts.counts if count.label}
    absent = [label for label in facts.classes if label not in labels | counted]
    if absent:
        yield f"absent: {', '.join(absent)}"
    for label in sorted(labels - set(facts.classes)):
        yield f"{label!r} is not a class of {facts.name}"


def _format_counts(facts: DataSetFacts, frame: Any) -> list[str]:
    """Compare with the published counts: one sentence if all fit, else one per difference."""
    counts = facts.counts if facts.parts in frame else _whole(facts.counts)
    if not counts:
        return []
    found = [_find(count, facts.parts, frame) for count in counts]
    if all(number == count.images for number, count in zip(found, counts, strict=True)):
        return [f"complete: all {sum(found):,} images of {facts.name} are present"]
    pairs = list(zip(counts, found, strict=True))
    shown = [
        _format(count, number, facts.parts) for count, number in pairs if number != count.images
    ]
    sentences = [sentence for sentence in shown if sentence]
    for word, picked in (
        ("complete", [count for count, number in pairs if number == count.images]),
        ("absent", [count for count, number in pairs if number == 0]),
    ):
        if picked:
            sentences.append(f"{word}: {', '.join(_merge(picked, counts, facts.parts))}")
    return sentences


def _merge(picked: list[Count], counts: Iterable[Count], parts: str) -> Iterable[str]:
    """Return the names of counts, a part only once if all of its classes were picked."""
    for part in dict.fromkeys(count.part for count in picked):
        mine = [count for count in picked if count.part == part]
        if part and len(mine) == sum(count.part == part for count in counts):
            yield _name(Count(0, part=part), parts)
        else:
            yield from (_name(count, parts) for count in mine)


def _whole(counts: Iterable[Count]) -> list[Count]:
    """Sum over parts: the images found do not record their part."""
    total: dict[str, int] = {}
    for count in counts:
        total[count.label] = total.get(count.label, 0) + count.images
    return [Count(images, label) for label, images in total.items()]


def _find(count: Count, parts: str, frame: Any) -> int:
    mask = np.ones(len(frame), dtype=bool)
    if count.label:
        mask &= np.asarray(frame["label"] == count.label)
    if count.part:
        mask &= np.asarray(frame[parts] == count.part)
    return int(mask.sum())


def _name(count: Count, parts: str) -> str:
    # "valid" is clear by itself, "200" needs its "magnification".
    part = count.part if parts in {"part", "split"} or not count.part else f"{parts} {count.part}"
    return " of ".join(text for text in (count.label, part) if text) or "all"


def _format(count: Count, found: int, parts: str) -> str:
    name = _name(count, parts)
    if found > count.images:
        return f"{name}: {count_images(found)}, {found - count.images:,} more than published"
    return f"{name}: {found:,} of {count.images:,} images" if found else ""
