"""Single splits: grouped, by image, and the manifest's own column.

The same samples and seed give the same split, whatever the order of the table's rows.
"""

from __future__ import annotations

import numpy as np

from eosin.artifacts.run import SplitReport
from eosin.core.seeding import generator
from eosin.core.types import SPLITS, Samples
from eosin.data.splits.checks import check_classes, check_column, refuse_division
from eosin.data.splits.reports import report_split
from eosin.data.splits.units import find_units, with_columns
from eosin.recipe.data import SplitSection


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
