"""Split protocols, the report of what the groups allow, and validation of the data for a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eosin.artifacts.run import SplitPart, SplitReport
from eosin.core.errors import SplitError
from eosin.core.seeding import generator
from eosin.core.text import listing, quantity
from eosin.core.types import SPLITS, BoolArray, IntArray, Samples
from eosin.data.splits.partition import Units, find_units, name_unit, with_columns
from eosin.recipe.data import SplitSection

_BY_IMAGE = (
    "or split by image, which inflates the results if images share a patient: "
    "--set data.split.by=image"
)


@dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation: the held-out subset, and the rest divided for training."""

    repeat: int  # index of the repeat
    fold: int  # index of the held-out subset
    #: All rows with ``split`` (``test``: the held-out subset), ``repeat`` and ``fold`` (text, as in
    #: a manifest).
    samples: Samples
    report: SplitReport  # what was asked for and what the groups allowed


def report_split(
    samples: Samples, protocol: str, wanted: Mapping[str, float | None], *, stratified: bool
) -> SplitReport:
    """Compare the ``split`` column of ``samples`` with what was asked for.

    ``wanted`` is the share of all images, 0–1, of each subset, None if there is none;
    ``stratified`` is True if class shares were kept as well as possible.
    """
    splits = np.asarray(samples.frame["split"], dtype=object)
    parts = {
        name: report_part(samples, splits == name, wanted[name])
        for name in SPLITS
        if name in wanted
    }
    return SplitReport(
        protocol=protocol, stratified=stratified, deviation=_deviation(parts), parts=parts
    )


def report_part(samples: Samples, mask: BoolArray, wanted: float | None) -> SplitPart:
    """Describe the rows that ``mask`` (N,) selects."""
    groups = sorted(set(samples.groups[mask]))
    by_class = np.bincount(samples.targets[mask], minlength=len(samples.class_names))
    return SplitPart(
        wanted=wanted,
        got=float(mask.mean()),
        n_images=int(mask.sum()),
        n_groups=len(groups),
        groups=groups,
        by_class=dict(zip(samples.class_names, by_class.tolist(), strict=True)),
    )


def _deviation(parts: Mapping[str, SplitPart]) -> float:
    gaps = [abs(part.got - part.wanted) for part in parts.values() if part.wanted is not None]
    return max(gaps, default=0.0)


def pool_reports(
    folds: Sequence[Fold], test: Samples | None = None, test_share: float = 0.0
) -> SplitReport:
    """Report the held-out parts of all folds (at least one), one entry ``<repeat>-<fold>`` each.

    ``test`` are all samples, with the part that no fold holds as their ``test``: ``test_share``
    (0–1) of them was asked for. Shares are of all samples.
    """
    k = 1 + max(fold.fold for fold in folds)
    parts = {}
    n_images = len(folds[0].samples if test is None else test)
    for fold in folds:
        part = fold.report.parts["test"]
        shares = {
            "wanted": None if part.wanted is None else (1.0 - test_share) / k,
            "got": part.n_images / n_images,
        }
        parts[f"{fold.repeat}-{fold.fold}"] = part.model_copy(update=shares)
    if test is not None:
        parts["test"] = report_part(test, np.asarray(test.frame["split"] == "test"), test_share)
    return SplitReport(
        protocol="folds",
        stratified=folds[0].report.stratified,
        deviation=_deviation(parts),
        parts=parts,
    )


def split_samples(
    samples: Samples, section: SplitSection, seed: int
) -> tuple[Samples, SplitReport]:
    """Divide samples into train, val and test by the protocol ``grouped``, ``image`` or ``column``.

    ``column`` needs the seed only to draw a validation subset. Returns the samples in their order
    with a column ``split``, and what the groups allowed. Raises SplitError if a class has too few
    groups (images) for every subset to hold it, or the table's own ``split`` column cannot be used;
    ValueError for the protocol ``folds``.
    """
    if section.protocol == "folds":
        raise ValueError("folds are drawn by fold_samples, not by split_samples")
    if section.protocol == "column":
        return _use_column(samples, section, seed)
    shares = (section.train, section.val, section.test)
    rng = generator(seed, "split", section.protocol)
    parts = divide_rows(samples, section.unit, shares, rng, stratify=section.stratify)
    divided = with_columns(samples, split=np.array(SPLITS, dtype=object)[parts])
    wanted = dict(zip(SPLITS, shares, strict=True))
    return divided, report_split(divided, section.protocol, wanted, stratified=section.stratify)


def _use_column(samples: Samples, section: SplitSection, seed: int) -> tuple[Samples, SplitReport]:
    """Use the table's own split; if it has no ``val``, draw it from ``train``."""
    check_column(samples, draws_val=section.val > 0)
    nothing_asked: dict[str, float | None] = dict.fromkeys(SPLITS)
    if (samples.frame["split"] == "val").any():
        return samples, report_split(samples, "column", nothing_asked, stratified=False)
    splits = np.array(samples.frame["split"], dtype=object)
    in_train = splits == "train"
    train = samples.where(in_train)
    shares, rng = (1.0 - section.val, section.val), generator(seed, "split", "column")
    parts = divide_rows(train, section.unit, shares, rng, stratify=section.stratify)
    splits[in_train] = np.array(SPLITS, dtype=object)[parts]
    divided = with_columns(samples, split=splits)
    share = float(in_train.mean())
    wanted = {"train": (1.0 - section.val) * share, "val": section.val * share, "test": None}
    return divided, report_split(divided, "column", wanted, stratified=section.stratify)


def divide_rows(
    samples: Samples,
    by: str,
    shares: tuple[float, ...],
    rng: np.random.Generator,
    *,
    stratify: bool,
    names: Sequence[str] | None = None,
) -> IntArray:
    """Return the subset of each row, an index into the first of ``SPLITS``; raises SplitError.

    ``names`` are those of the subsets in its message, by default the first of ``SPLITS``.
    """
    units = find_units(samples, by)
    names = SPLITS[: len(shares)] if names is None else names
    check_classes(samples, units.counts, by, parts=names)
    parts = units.divide(np.arange(len(units.counts)), shares, rng, stratify=stratify)
    if parts is None:
        raise check_division(samples, units, f"{listing(names)} each")
    return parts[units.of_row]


def check_classes(
    samples: Samples,
    counts: IntArray,
    by: str,
    *,
    folds: int | None = None,
    parts: Sequence[str] = SPLITS,
) -> None:
    """Check that each class has enough units for every subset to hold it.

    ``counts`` is the images of each class in each unit (of the column ``by``), shape (U, C).
    ``parts`` are the subsets of a single split: train, val and test, or train and val of a column's
    train, or the folds and a test subset beside them. Raises SplitError: names a class with too
    few, what it has, what it needs, and the hint.
    """
    # Beside the held-out fold, training and validation need one each: only two folds want more.
    needed = len(parts) if folds is None else max(folds, 4 if folds == 2 else 3)
    found, unit = (counts > 0).sum(axis=0), name_unit(samples, by)
    for name, n_units in zip(samples.class_names, found.tolist(), strict=True):
        if n_units < needed:
            raise SplitError(
                f"{samples.name}: the class {name!r} has {quantity(n_units, unit)}, but {needed} "
                f"are needed: {_why(folds, parts)}",
                hint=_hint(by, n_units, folds),
            )


def _why(folds: int | None, parts: Sequence[str]) -> str:
    if folds is None:
        return f"{listing(parts)} must each contain one"
    return f"each of the {folds} folds must contain one, and leave one each for train and val"


def _hint(by: str, n_units: int, folds: int | None) -> str:
    ways = []
    if folds is not None and n_units >= 3:
        few = "fewer folds" if n_units < folds else "three folds"
        ways.append(f"Use {few}: k = {n_units} (--set data.split.k={n_units})")
    source = "patients" if by == "group" else "images"
    ways += [f"Add {source} of this class", "merge it with another class"]
    text = ", ".join(ways[:1] + [way[0].lower() + way[1:] for way in ways[1:]])
    return text.replace(", merge", ", or merge") if by == "image" else f"{text}, {_BY_IMAGE}"


def check_column(samples: Samples, *, draws_val: bool = False) -> None:
    """Check that the table's own ``split`` column can be used; with ``draws_val`` without val.

    Raises SplitError if it is missing, has empty cells, lacks a subset, or its training subset
    lacks a class.
    """
    if "split" not in samples.frame:
        raise SplitError(
            f"{samples.name}: the protocol 'column' needs a column `split` with "
            f"{', '.join(SPLITS)}, but there is none",
            hint="Add it, or let Eosin split the data: --set data.split.protocol=grouped",
        )
    splits = np.asarray(samples.frame["split"], dtype=object)
    n_empty = int((splits == "").sum())
    if n_empty:
        raise SplitError(
            f"{samples.name}: {n_empty} of {len(samples)} rows have an empty `split`",
            hint=f"Write {', '.join(SPLITS)} into each, or remove those rows",
        )
    present = [name for name in SPLITS if (splits == name).any()]
    needed = [name for name in SPLITS if name != "val" or not draws_val]
    missing = [name for name in needed if name not in present]
    if missing:
        raise SplitError(
            f"{samples.name}: the column `split` contains only {' and '.join(present)}; "
            f"{' and '.join(missing)} must be there too",
            hint=_suggest_column(missing),
        )
    _check_training_classes(samples, splits == "train")


def _suggest_column(missing: list[str]) -> str:
    if "val" in missing:
        return (
            "Mark part of train as val, keeping groups whole: early stopping, temperature and "
            "threshold are chosen on it, never on test"
        )
    return f"Mark some rows as {missing[0]}, keeping groups whole"


def _check_training_classes(samples: Samples, mask: np.typing.NDArray[np.bool_]) -> None:
    counts = np.bincount(samples.targets[mask], minlength=len(samples.class_names))
    for name, count in zip(samples.class_names, counts.tolist(), strict=True):
        if count == 0:
            raise SplitError(
                f"{samples.name}: the rows marked train contain no image of the class {name!r}",
                hint="Mark some of its groups as train, or leave the class out",
            )


def check_sites(samples: Samples) -> None:
    """Raise SplitError unless each site of the table can be held out.

    It cannot if there is no column ``site``, empty cells, a single value, or a group at two sites.
    """
    if "site" not in samples.frame:
        raise SplitError(
            f'{samples.name}: by = "site" needs a column `site`, but there is none',
            hint="Add it, or split by patient: --set data.split.by=group",
        )
    sites = np.asarray(samples.frame["site"], dtype=object)
    n_empty = int((sites == "").sum())
    if n_empty:
        raise SplitError(
            f"{samples.name}: {n_empty} of {len(samples)} rows have an empty `site`",
            hint="Write the site into each, or remove those rows",
        )
    if len(set(sites)) < 2:
        raise SplitError(
            f"{samples.name}: the column `site` contains only {sites[0]!r}, but at least two sites "
            "are needed: one is held out, the others are trained on",
            hint="Add images of another site, or split by patient: --set data.split.by=group",
        )
    first: dict[str, str] = {}
    for group, site in zip(samples.groups, sites, strict=True):
        if first.setdefault(group, site) != site:
            raise SplitError(
                f"{samples.name}: the {samples.unit} {group!r} is at two sites, {first[group]!r} "
                f"and {site!r}: holding one out would leave its images in training",
                hint="Give its rows one site, or merge both sites into one",
            )


def check_division(samples: Samples, units: Units, parts: str) -> SplitError:
    """Return the error for groups whose mixture of classes allows no division."""
    fewest = samples.class_names[int((units.counts > 0).sum(axis=0).argmin())]
    names = f"{name_unit(samples, units.by)}s"
    source = "images" if units.by == "appearance" else "patients"
    return SplitError(
        f"{samples.name}: no division of the {len(units.counts)} {names} was found in which "
        f"{parts} contain every class; {fewest!r} has the fewest {names}",
        hint=f"Add {source} of the class {fewest!r}, merge it with another class, {_BY_IMAGE}",
    )
