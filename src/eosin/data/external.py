"""Manifest of external images: labels mapped to a model's classes, and its validation.

All of it precedes any prediction: a figure on images that a model cannot predict is worse than
none.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from eosin.artifacts.columns import Columns
from eosin.artifacts.model import Embedding, ModelInfo, Planes
from eosin.core.errors import DataError, ImageError, ManifestError, UsageError, close_matches
from eosin.core.text import clean_name, quantity, some
from eosin.core.types import Samples
from eosin.data.labelled import read_labelled
from eosin.data.quality import decode_stored
from eosin.images.failures import isolated
from eosin.images.planes import decode_planes
from eosin.images.spacing import check_scale
from eosin.images.stacks import stack_samples

_LOG = logging.getLogger(__name__)

#: Name of the split of external images.
EXTERNAL = "external"
#: Column of the original labels, if they were mapped.
GIVEN = "label_given"
#: Most files that are read to check the number of channels.
_LOOKED_AT = 9
_MOST_NAMED = 6
#: Placeholder for a class that only the user knows.
_CLASS = "CLASS"


def parse_labels(pairs: Iterable[str]) -> dict[str, str]:
    """Parse ``theirs=ours`` pairs; an empty ``ours`` leaves out the rows of that label.

    Raises UsageError if a pair lacks ``=``, or a label is mapped twice.
    """
    labels: dict[str, str] = {}
    for pair in pairs:
        theirs, sign, ours = map(clean_name, pair.rpartition("="))
        if not sign or not theirs:
            raise UsageError(
                f"--map takes THEIRS=OURS, got {pair!r}", hint="For example: --map tumour=malignant"
            )
        if labels.setdefault(theirs, ours) != ours:
            raise UsageError(f"--map names {theirs!r} twice: as {labels[theirs]!r} and as {ours!r}")
    return labels


def read_external(
    manifest: Path | str | pd.DataFrame,
    info: ModelInfo,
    *,
    labels: Mapping[str, str] | None = None,
    label: str = "label",
    columns: Columns | None = None,
) -> Samples:
    """Read external images, a folder, a table file or a pandas table, for a model.

    ``labels`` is the model's class for each label of another name; an empty class leaves out its
    rows. ``label`` and ``columns`` name the table's columns. Returns the samples under the split
    name ``external``, with the model's classes; magnification stacks if the model takes them.
    Raises EosinError if labels, channels or scale do not fit the model.
    """
    # All of it is external, whatever its split.
    samples, _ = read_labelled(manifest, label=label, columns=columns, reads_split=False)
    samples = _map_labels(samples, info, dict(labels or {}))
    samples = stack_samples(samples, info.preprocessing.magnifications)
    if not isinstance(info.preprocessing, Embedding):
        _check_kind(samples, info)
        check_scale(samples, info)
    frame = samples.frame.assign(split=EXTERNAL)
    return replace(samples, frame=frame, class_names=info.class_names, positive=info.positive)


def _map_labels(samples: Samples, info: ModelInfo, labels: dict[str, str]) -> Samples:
    given = samples.frame["label"]
    known = sorted(set(given))
    _check_map(labels, known, info.class_names)
    foreign = [one for one in known if one not in labels and one not in info.class_names]
    if foreign:
        named = "labels" if len(foreign) > 1 else "label"
        named += f" {some([*map(repr, foreign)], _MOST_NAMED, counted=True)}"
        raise ManifestError(
            f"{samples.name}: the model does not know the {named} "
            f"(its classes: {', '.join(info.class_names)})",
            hint=_example(foreign, info.class_names),
        )
    mapped = given.map(lambda one: labels.get(one, one))
    kept = (mapped != "").to_numpy()
    for one in (one for one, ours in labels.items() if not ours):
        _LOG.info(f"Excluded {int((given == one).sum())} rows with the label {one!r}")
    if not kept.any():
        raise ManifestError(f"{samples.name}: --map leaves no row", hint="Name a class for a label")
    frame = samples.frame.assign(label=mapped, **({GIVEN: given} if labels else {}))
    return replace(samples, frame=frame, class_names=info.class_names).where(kept)


def _check_map(labels: Mapping[str, str], known: Sequence[str], classes: Sequence[str]) -> None:
    for theirs, ours in labels.items():
        if theirs not in known:
            raise UsageError(
                f"--map {theirs}={ours}: the table has no label {theirs!r}",
                hint=close_matches(theirs, known),
            )
        if ours and ours not in classes:
            raise UsageError(
                f"--map {theirs}={ours}: the model has no class {ours!r}",
                hint=close_matches(ours, classes),
            )


def _example(foreign: Sequence[str], classes: Sequence[str]) -> str:
    """Return the options to add, with the most similarly named class if there is one."""
    by_name = {name.casefold(): name for name in classes}
    pairs = []
    for one in foreign[:_MOST_NAMED]:
        near = get_close_matches(one.casefold(), by_name, n=1)
        pairs.append(f"--map {shlex.quote(f'{one}={by_name[near[0]] if near else _CLASS}')}")
    return f"Map each to a class: {' '.join(pairs)} (nothing after the = excludes its rows)"


def _check_kind(samples: Samples, info: ModelInfo) -> None:
    """Raise a DataError if none of the images checked has the model's channels."""
    planes, cells = info.preprocessing.planes, samples.image_cells
    odd = ""
    for cell in cells[:: max(1, len(cells) // _LOOKED_AT)]:
        try:
            with isolated(cell):
                found = _find_other_kind(*samples.locate(cell), planes)
        except ImageError:
            continue  # reported with its reason when all are read
        if not found:
            return
        odd = f"{cell} has {found}"
    if not odd:
        return
    sees = "brightfield images, RGB"
    if planes is not None:
        stored = f"{planes.n_stored} channels of {planes.bits} bits"
        sees = f"fluorescence images of {stored} ({', '.join(info.preprocessing.channels)})"
    raise DataError(
        f"{samples.name}: the model takes {sees}, but {odd}",
        hint="Name images of the same kind, or a model that was trained on these",
    )


def _find_other_kind(path: Path, index: int | None, planes: Planes | None) -> str:
    """Return the channels of an image that do not fit the model; empty if they fit."""
    if planes is None:
        image, is_rgb = decode_stored(path, index)
        fits = is_rgb or image.shape[2] == 1
    else:
        image = decode_planes(path, index)
        fits = (image.shape[2], 8 * image.dtype.itemsize) == (planes.n_stored, planes.bits)
    bits = 8 * np.dtype(image.dtype).itemsize
    return "" if fits else f"{quantity(image.shape[2], 'channel')} of {bits} bits"
