"""Catalogue of data sets, and their verification against declared facts.

Importing this module registers all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

from eosin.core.types import Samples
from eosin.data import sources
from eosin.data.download.source import SOURCES
from eosin.data.sources.base import DATASETS, Count, DataSetFacts, count_images

for _module in iter_modules(sources.__path__, f"{sources.__name__}."):
    import_module(_module.name)

__all__ = ["DATASETS", "SOURCES", "verify"]


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
        yield f"{label!r} is no class of {facts.name}"


def _format_counts(facts: DataSetFacts, frame: Any) -> list[str]:
    """Compare with the published counts: one sentence if all fit, else one per difference."""
    counts = facts.counts if facts.parts in frame else _whole(facts.counts)
    if not counts:
        return []
    found = [_find(count, facts.parts, frame) for count in counts]
    if all(number == count.images for number, count in zip(found, counts, strict=True)):
        return [f"complete: all {sum(found):,} images of {facts.name} are here"]
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
