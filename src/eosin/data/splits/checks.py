"""Refusing splits that the data do not allow, before anything is divided."""

from __future__ import annotations

import numpy as np

from eosin.core.errors import SplitError
from eosin.core.types import SPLITS, IntArray, Samples

_BY_IMAGE = (
    "or divide by image, which is flattering where images share a patient: "
    "--set data.split.by=image"
)


def check_classes(
    samples: Samples,
    counts: IntArray,
    by: str,
    *,
    folds: int | None = None,
    parts: int = len(SPLITS),
) -> None:
    """Check that each class has enough units for every part to hold it.

    Args:
        samples: For names.
        counts: Images of each class in each unit, shape (U, C).
        by: The unit: ``group`` or ``image``.
        folds: How many; a single split by default.
        parts: Parts of a single split: train, val and test, or train and val of a column's train.

    Raises:
        SplitError: A class has too few; names it, what it has, what it needs, and the mend.
    """
    # Beside the held-out fold, training and validation need one each: only two folds want more.
    needed = parts if folds is None else max(folds, 4 if folds == 2 else 3)
    found = (counts > 0).sum(axis=0)
    for name, n_units in zip(samples.class_names, found.tolist(), strict=True):
        if n_units < needed:
            unit = by if n_units == 1 else f"{by}s"
            raise SplitError(
                f"{samples.name}: the class {name!r} has {n_units} {unit}, but {needed} are "
                f"needed: {_why(folds, parts)}",
                mend=_mend(by, n_units, folds),
            )


def _why(folds: int | None, parts: int) -> str:
    if folds is None:
        names = SPLITS[:parts]
        return f"{', '.join(names[:-1])} and {names[-1]} must each hold one"
    return f"each of the {folds} folds must hold one, and leave one each to train and val"


def _mend(by: str, n_units: int, folds: int | None) -> str:
    ways = []
    if folds is not None and n_units >= 3:
        few = "fewer folds" if n_units < folds else "three folds"
        ways.append(f"Use {few}: k = {n_units} (--set data.split.k={n_units})")
    source = "patients" if by == "group" else "images"
    ways += [f"Add {source} of this class", "merge it with another class"]
    text = ", ".join(ways[:1] + [way[0].lower() + way[1:] for way in ways[1:]])
    return f"{text}, {_BY_IMAGE}" if by == "group" else text.replace(", merge", ", or merge")


def check_column(samples: Samples, *, draws_val: bool = False) -> None:
    """Check that the table's own ``split`` column can be used.

    Args:
        samples: The table.
        draws_val: Whether a validation part can be drawn from the training part.

    Raises:
        SplitError: It is missing, has empty cells, lacks a part, or its training part lacks a
            class.
    """
    if "split" not in samples.frame:
        raise SplitError(
            f"{samples.name}: the protocol 'column' needs a column `split` with "
            f"{', '.join(SPLITS)}, but there is none",
            mend="Add it, or let Eosin divide: --set data.split.protocol=grouped",
        )
    splits = np.asarray(samples.frame["split"], dtype=object)
    n_empty = int((splits == "").sum())
    if n_empty:
        raise SplitError(
            f"{samples.name}: {n_empty} of {len(samples)} rows have an empty `split`",
            mend=f"Write {', '.join(SPLITS)} into each, or remove those rows",
        )
    present = [name for name in SPLITS if (splits == name).any()]
    needed = [name for name in SPLITS if name != "val" or not draws_val]
    missing = [name for name in needed if name not in present]
    if missing:
        raise SplitError(
            f"{samples.name}: the column `split` holds only {' and '.join(present)}; "
            f"{' and '.join(missing)} must be there too",
            mend=_column_mend(missing),
        )
    _check_training_classes(samples, splits == "train")


def _column_mend(missing: list[str]) -> str:
    if "val" in missing:
        return (
            "Mark part of train as val, whole groups at a time: stopping, temperature and "
            "threshold are chosen there, never on test"
        )
    return f"Mark some rows as {missing[0]}, whole groups at a time"


def _check_training_classes(samples: Samples, mask: np.typing.NDArray[np.bool_]) -> None:
    counts = np.bincount(samples.targets[mask], minlength=len(samples.class_names))
    for name, count in zip(samples.class_names, counts.tolist(), strict=True):
        if count == 0:
            raise SplitError(
                f"{samples.name}: the rows marked train hold no image of the class {name!r}",
                mend="Mark some of its groups as train, or leave the class out",
            )


def check_sites(samples: Samples) -> None:
    """Check that each site of the table can be held out.

    Raises:
        SplitError: There is no column ``site``, it has empty cells or a single value, or a group
            is at two sites.
    """
    if "site" not in samples.frame:
        raise SplitError(
            f'{samples.name}: by = "site" needs a column `site`, but there is none',
            mend="Add it, or divide by patient: --set data.split.by=group",
        )
    sites = np.asarray(samples.frame["site"], dtype=object)
    n_empty = int((sites == "").sum())
    if n_empty:
        raise SplitError(
            f"{samples.name}: {n_empty} of {len(samples)} rows have an empty `site`",
            mend="Write the site into each, or remove those rows",
        )
    if len(set(sites)) < 2:
        raise SplitError(
            f"{samples.name}: the column `site` holds {sites[0]!r} alone, but two are needed: "
            f"one is held out, the others train",
            mend="Add images of another site, or divide by patient: --set data.split.by=group",
        )
    first: dict[str, str] = {}
    for group, site in zip(samples.groups, sites, strict=True):
        if first.setdefault(group, site) != site:
            raise SplitError(
                f"{samples.name}: the group {group!r} is at two sites, {first[group]!r} and "
                f"{site!r}: holding one out would leave its images in training",
                mend="Give its rows one site, or merge both sites into one",
            )


def refuse_division(samples: Samples, counts: IntArray, parts: str) -> SplitError:
    """Return the error for groups that hold classes in such mixtures that no division fits."""
    fewest = samples.class_names[int((counts > 0).sum(axis=0).argmin())]
    return SplitError(
        f"{samples.name}: no division of the {len(counts)} groups was found in which {parts} "
        f"hold every class; {fewest!r} has the fewest groups",
        mend=f"Add patients of the class {fewest!r}, merge it with another class, {_BY_IMAGE}",
    )
