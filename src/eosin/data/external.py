"""An outside manifest: its labels mapped to a model's classes; refused by name where it won't fit.

All of this comes before any prediction: a figure on images that a model cannot judge is worse than
none.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from eosin.artifacts.columns import Columns
from eosin.artifacts.manifest import read_manifest
from eosin.artifacts.model import Embedding, ModelInfo, Planes
from eosin.core.errors import DataError, ImageError, ManifestError, UsageError, close_matches
from eosin.core.text import clean_name
from eosin.core.types import Samples
from eosin.data.quality import decode_stored
from eosin.images.failures import isolated
from eosin.images.planes import decode_planes
from eosin.images.spacing import check_scale
from eosin.images.stacks import bundle_samples

#: What outside images are called where a split is named.
EXTERNAL = "external"
#: Column that keeps the table's own labels where they were mapped.
GIVEN = "label_given"
#: Files that are looked at to learn what kind all are.
_LOOKED_AT = 9
_MOST_NAMED = 6
#: Stands for what only the user knows.
_CLASS = "CLASS"


def parse_labels(pairs: Iterable[str]) -> dict[str, str]:
    """Read ``theirs=ours`` pairs; nothing behind the sign leaves rows of that label out.

    Raises:
        UsageError: A pair without ``=``, or a label that is mapped twice.
    """
    labels: dict[str, str] = {}
    for pair in pairs:
        theirs, sign, ours = map(clean_name, pair.rpartition("="))
        if not sign or not theirs:
            raise UsageError(
                f"--map takes THEIRS=OURS, got {pair!r}", mend="For example: --map tumour=malignant"
            )
        if labels.setdefault(theirs, ours) != ours:
            raise UsageError(f"--map names {theirs!r} twice: as {labels[theirs]!r} and as {ours!r}")
    return labels


def read_outside(
    manifest: Path,
    info: ModelInfo,
    *,
    labels: Mapping[str, str] | None = None,
    label: str = "label",
    columns: Columns | None = None,
    say: Callable[[str], None] | None = None,
) -> Samples:
    """Read an outside manifest for a model.

    Args:
        manifest: The table.
        info: What ``model.json`` says.
        labels: The model's class for each label of the table that is called otherwise; empty
            leaves its rows out.
        label: The column that holds the labels.
        columns: The columns that hold the image reference, the patient and the group.
        say: Called with what was changed in reading, and with the number of rows left out.

    Returns:
        The samples under the split name ``external``, with the model's classes; bundles where the
        model takes them.

    Raises:
        EosinError: Labels, channels or scale do not fit the model.
    """
    samples = read_manifest(
        manifest,
        label=label,
        allow_one_class=True,
        columns=columns or Columns(),
        reads_split=False,  # all of it is external
    )
    if say is not None:
        for note in samples.notes:
            say(f"{samples.name}: {note}")
    samples = _map_labels(samples, info, dict(labels or {}), say)
    samples = bundle_samples(samples, info.preprocessing.magnifications)
    if not isinstance(info.preprocessing, Embedding):
        _check_kind(samples, info)
        check_scale(samples, info)
    frame = samples.frame.assign(split=EXTERNAL)
    return replace(samples, frame=frame, class_names=info.class_names, positive=info.positive)


def _map_labels(
    samples: Samples,
    info: ModelInfo,
    labels: dict[str, str],
    say: Callable[[str], None] | None,
) -> Samples:
    given = samples.frame["label"]
    known = sorted(set(given))
    _check_map(labels, known, info.class_names)
    foreign = [one for one in known if one not in labels and one not in info.class_names]
    if foreign:
        raise ManifestError(
            f"{samples.name}: the model does not know the {_named(foreign, 'label')} "
            f"(its classes: {', '.join(info.class_names)})",
            mend=_example(foreign, info.class_names),
        )
    mapped = given.map(lambda one: labels.get(one, one))
    kept = (mapped != "").to_numpy()
    if say is not None:
        for one in (one for one, ours in labels.items() if not ours):
            say(f"Left out {int((given == one).sum())} rows with the label {one!r}")
    if not kept.any():
        raise ManifestError(f"{samples.name}: --map leaves no row", mend="Name a class for a label")
    frame = samples.frame.assign(label=mapped, **({GIVEN: given} if labels else {}))
    return replace(samples, frame=frame, class_names=info.class_names).where(kept)


def _check_map(labels: Mapping[str, str], known: Sequence[str], classes: Sequence[str]) -> None:
    for theirs, ours in labels.items():
        if theirs not in known:
            raise UsageError(
                f"--map {theirs}={ours}: the table has no label {theirs!r}",
                mend=close_matches(theirs, known),
            )
        if ours and ours not in classes:
            raise UsageError(
                f"--map {theirs}={ours}: the model has no class {ours!r}",
                mend=close_matches(ours, classes),
            )


def _named(names: Sequence[str], one: str) -> str:
    told = ", ".join(repr(name) for name in names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{one}{'s' if len(names) > 1 else ''} {told}{more}"


def _example(foreign: Sequence[str], classes: Sequence[str]) -> str:
    """Write the options to add, with the class that is called much the same where there is one."""
    alike = {name.casefold(): name for name in classes}
    pairs = []
    for one in foreign[:_MOST_NAMED]:
        near = get_close_matches(one.casefold(), alike, n=1)
        pairs.append(f"--map {shlex.quote(f'{one}={alike[near[0]] if near else _CLASS}')}")
    return f"Say which class each is: {' '.join(pairs)} (nothing behind the = leaves its rows out)"


def _check_kind(samples: Samples, info: ModelInfo) -> None:
    """Refuse images of which none that is looked at has the model's channels.

    Raises:
        DataError: Naming what the model sees and what an image has.
    """
    planes, cells = info.preprocessing.planes, samples.image_cells
    odd = ""
    for cell in cells[:: max(1, len(cells) // _LOOKED_AT)]:
        try:
            with isolated(cell):
                found = _find_other_kind(*samples.locate(cell), planes)
        except ImageError:
            continue  # told with its reason when all are read
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
        f"{samples.name}: the model sees {sees}, but {odd}",
        mend="Name images of the same kind, or a model that was trained on these",
    )


def _find_other_kind(path: Path, index: int | None, planes: Planes | None) -> str:
    """Say what an image has in place of what the model sees; empty where it fits."""
    if planes is None:
        image, is_rgb = decode_stored(path, index)
        fits = is_rgb or image.shape[2] == 1
    else:
        image = decode_planes(path, index)
        fits = (image.shape[2], 8 * image.dtype.itemsize) == (planes.n_stored, planes.bits)
    n_channels = image.shape[2]
    told = "1 channel" if n_channels == 1 else f"{n_channels} channels"
    return "" if fits else f"{told} of {8 * np.dtype(image.dtype).itemsize} bits"
