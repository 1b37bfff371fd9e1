"""Magnification stacks: the images of one field at several magnifications, as one sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.cleaning import clean_magnification
from eosin.artifacts.model import Preprocessing
from eosin.core.errors import ManifestError
from eosin.core.types import STACKED, TOGETHER, Image, Samples, parts_of

#: Columns with one value a slide: a mixed stack would make a split and its audit meaningless.
_ONE_EACH = ("label", "patient", "group", "split", "fold", "accession", "cluster")


def stack_samples(samples: Samples, magnifications: Sequence[str]) -> Samples:
    """Combine a table's images into magnification stacks, or check that its rows are as wanted.

    A slide's i-th stack takes the i-th image of each magnification in the order of their paths, so
    that a slide has as many stacks as images of its most frequent magnification. Nothing is random,
    and no image is in two stacks. Images of other magnifications are left out; without
    ``magnifications`` the rows must be single images. Values in which a slide's images differ, such
    as ``mpp``, are empty; if no group is known (each image is its own) the slide is the group.

    Raises ManifestError if a column or a slide's name is missing, no image has such a
    magnification, a slide's images differ in label, patient, group, split or the like, or the rows
    are other stacks.
    """
    magnifications = [clean_magnification(one) for one in magnifications]
    if is_stacked(samples):
        _check_stacks(samples, magnifications)
        return samples
    if not magnifications:
        return samples
    _check_columns(samples)
    frame = samples.frame[samples.frame["magnification"].isin(magnifications)]
    if len(frame) == 0:
        raise ManifestError(
            f"{samples.name}: no image was taken at {' or '.join(magnifications)}",
            hint=f"Its magnifications: {', '.join(sorted(set(samples.frame['magnification'])))}",
        )
    rows = [
        row
        for slide, own in frame.sort_values("path", kind="stable").groupby("slide", sort=False)
        for row in _stacks(samples.name, str(slide), own, magnifications)
    ]
    return replace(samples, frame=pd.DataFrame(rows, columns=list(frame), dtype=object))


def single_images(samples: Samples) -> Samples:
    """Return a table of magnification stacks with a row for every image; other tables unchanged."""
    if not is_stacked(samples):
        return samples
    frame = samples.frame.assign(path=[parts_of(cell) for cell in samples.frame["path"]])
    frame = frame.explode("path")
    return replace(samples, frame=frame[frame["path"] != ""].reset_index(drop=True))


def is_stacked(samples: Samples) -> bool:
    """Return True if the rows of a table are magnification stacks."""
    return len(samples) > 0 and STACKED in samples.frame["path"].iloc[0]


def _check_columns(samples: Samples) -> None:
    for column in ("slide", "magnification"):
        cells = samples.frame.get(column)
        if cells is None or (cells == "").any():
            what = "the column is missing" if cells is None else "some rows have none"
            raise ManifestError(
                f"{samples.name}: `{column}` must be known of every image that is fused, but {what}"
            )


def _stacks(name: str, slide: str, own: Any, magnifications: Sequence[str]) -> list[dict[str, str]]:
    shared = _shared(name, slide, own)
    columns = [own["path"][own["magnification"] == value] for value in magnifications]
    return [
        {**shared, "path": STACKED.join(parts), "magnification": _present(parts, magnifications)}
        for parts in zip_longest(*columns, fillvalue="")
    ]


def _shared(name: str, slide: str, own: Any) -> Mapping[str, str]:
    """Return the values that all images of a slide share, by column."""
    if (own["group"] == own["path"]).all():
        own = own.assign(group=slide)
    shared = {}
    for column in own:
        values = list(dict.fromkeys(own[column]))
        if len(values) > 1 and column in _ONE_EACH:
            raise ManifestError(
                f"{name}: images of the slide {slide!r} differ in `{column}`: "
                f"{values[0]!r} and {values[1]!r}",
                hint="A stack's images must be of one slide: is its name used twice?",
            )
        shared[str(column)] = values[0] if len(values) == 1 else ""
    return shared


def _present(parts: Sequence[str], magnifications: Sequence[str]) -> str:
    return TOGETHER.join(m for part, m in zip(parts, magnifications, strict=True) if part)


def _check_stacks(samples: Samples, magnifications: Sequence[str]) -> None:
    places = len(parts_of(samples.frame["path"].iloc[0]))
    if not magnifications:
        raise ManifestError(
            f"{samples.name}: every row is a stack of {places} images, but single images are "
            "wanted",
            hint="Use the table that the stacks were made from, or a training with data.fuse",
        )
    shown = samples.frame.get("magnification", [])
    fits = places == len(magnifications) and len(shown) == len(samples)
    if not fits or any(
        clean_magnification(cell) != _present(parts_of(path), magnifications)
        for path, cell in zip(samples.frame["path"], shown, strict=True)
    ):
        raise ManifestError(
            f"{samples.name}: its rows are stacks of other magnifications than "
            f"{', '.join(magnifications)}"
        )


def stack_preprocessing(one: Preprocessing, magnifications: Sequence[str]) -> Preprocessing:
    """Repeat a brightfield image's preprocessing for every image of a magnification stack.

    Without ``magnifications``, it is returned unchanged.
    """
    if not magnifications:
        return one
    repeated = {key: getattr(one, key) * len(magnifications) for key in ("channels", "mean", "std")}
    return one.model_copy(update={**repeated, "magnifications": tuple(magnifications)})


def read_stack(cell: str, preprocessing: Preprocessing, read_one: Callable[[str], Image]) -> Image:
    """Read the images of a reference: uint8, shape (H, W, 3 · M), black where one is missing.

    ``cell`` is that of a magnification stack, with a path for each of the model's magnifications,
    or of a single image; ``read_one`` reads one, uint8, shape (H, W, 3). Raises ImageError if one
    of them cannot be read.
    """
    if not preprocessing.magnifications:
        return read_one(cell)
    missing = np.zeros((*preprocessing.input_px, 3), dtype=np.uint8)
    parts = [read_one(part) if part else missing for part in parts_of(cell)]
    return np.concatenate(parts, axis=2)
