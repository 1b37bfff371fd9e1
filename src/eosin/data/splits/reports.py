"""What a split asked for and what the groups allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eosin.artifacts.run import SplitPart, SplitReport
from eosin.core.types import SPLITS, BoolArray, Samples


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
