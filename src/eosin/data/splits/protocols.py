"""What a split asked for and what the groups allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eosin.artifacts.run import SplitPart, SplitReport
from eosin.core.seeding import generator
from eosin.core.types import SPLITS, BoolArray, Samples
from eosin.data.splits.checks import check_classes, check_column, refuse_division
from eosin.data.splits.units import find_units, with_columns
from eosin.recipe.data import SplitSection


@dataclass(frozen=True)
class Fold:
    """One held-out part of a repeat, and the rest divided for training.

    Attributes:
        repeat: Which drawing of the folds, from 0.
        fold: Which held-out part, from 0.
        samples: All rows with ``split`` (``test``: the held-out part), ``repeat`` and ``fold``
            (text, as every cell of a manifest).
        report: What was asked for and what the groups allowed.
    """

    repeat: int
    fold: int
    samples: Samples
    report: SplitReport


def report_split(
    samples: Samples, protocol: str, wanted: Mapping[str, float | None], *, stratified: bool
) -> SplitReport:
    """Compare the ``split`` column of ``samples`` with what was asked for.

    Args:
        samples: With a ``split`` column.
        protocol: The protocol's name.
        wanted: Asked share of all images, 0–1, of each part; none where none was asked.
        stratified: Whether class shares were kept as well as possible.
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


def pool_reports(folds: Sequence[Fold]) -> SplitReport:
    """Report the held-out parts of all folds, one entry ``<repeat>-<fold>`` each.

    Args:
        folds: At least one, as :func:`~eosin.data.splits.fold_samples` returns them.
    """
    k = 1 + max(fold.fold for fold in folds)
    parts = {}
    for fold in folds:
        part = fold.report.parts["test"]
        wanted = None if part.wanted is None else 1.0 / k
        parts[f"{fold.repeat}-{fold.fold}"] = part.model_copy(update={"wanted": wanted})
    return SplitReport(
        protocol="folds",
        stratified=folds[0].report.stratified,
        deviation=_deviation(parts),
        parts=parts,
    )


def split_samples(
    samples: Samples, section: SplitSection, seed: int
) -> tuple[Samples, SplitReport]:
    """Divide samples into train, val and test.

    Args:
        samples: The table; groups are taken from its ``group`` column.
        section: Protocol ``grouped``, ``image`` or ``column``; the unit that is divided.
        seed: The run's seed; ``column`` needs it only to draw a validation part.

    Returns:
        The samples in their order with a column ``split``, and what the groups allowed.

    Raises:
        SplitError: A class has too few groups (images) for every part to hold it, or the table's
            own ``split`` column cannot be used.
        ValueError: The protocol is ``folds``.
    """
    if section.protocol == "folds":
        raise ValueError("folds are drawn by fold_samples, not by split_samples")
    if section.protocol == "column":
        return _use_column(samples, section, seed)
    units = find_units(samples, section.unit)
    check_classes(samples, units.counts, units.by)
    shares = (section.train, section.val, section.test)
    parts = units.divide(
        np.arange(len(units.counts)),
        shares,
        generator(seed, "split", section.protocol),
        stratify=section.stratify,
    )
    if parts is None:
        raise refuse_division(samples, units.counts, "train, val and test each")
    divided = with_columns(samples, split=np.array(SPLITS, dtype=object)[parts][units.of_row])
    wanted = dict(zip(SPLITS, shares, strict=True))
    return divided, report_split(divided, section.protocol, wanted, stratified=section.stratify)


def _use_column(samples: Samples, section: SplitSection, seed: int) -> tuple[Samples, SplitReport]:
    """Take the table's own split; where it marks no ``val``, draw it from ``train``."""
    check_column(samples, draws_val=section.val > 0)
    nothing_asked: dict[str, float | None] = dict.fromkeys(SPLITS)
    if (samples.frame["split"] == "val").any():
        return samples, report_split(samples, "column", nothing_asked, stratified=False)
    splits = np.array(samples.frame["split"], dtype=object)
    in_train = splits == "train"
    train = samples.where(in_train)
    units = find_units(train, section.unit)
    check_classes(train, units.counts, units.by, parts=2)
    parts = units.divide(
        np.arange(len(units.counts)),
        (1.0 - section.val, section.val),
        generator(seed, "split", "column"),
        stratify=section.stratify,
    )
    if parts is None:
        raise refuse_division(train, units.counts, "train and val each")
    splits[in_train] = np.array(SPLITS[:2], dtype=object)[parts][units.of_row]
    divided = with_columns(samples, split=splits)
    share = float(in_train.mean())
    wanted = {"train": (1.0 - section.val) * share, "val": section.val * share, "test": None}
    return divided, report_split(divided, "column", wanted, stratified=section.stratify)
