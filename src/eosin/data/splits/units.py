"""Dividing single images, as papers did: flattering, because one patient lands on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eosin.core.types import IntArray, Samples
from eosin.data.splits.partition import divide_groups


def divide_images(
    counts: IntArray,
    shares: Sequence[float],
    rng: np.random.Generator,
    *,
    minimum: int = 1,
    stratify: bool = True,
) -> IntArray:
    """Assign images to parts, each class for itself (P3: "independently for each class").

    Args:
        counts: One row an image, 1 in its class's column, shape (N, C); each class has at least
            ``minimum`` images for every part.
        shares: Wanted share of each part, P numbers above 0 that add up to 1.
        rng: What shuffles.
        minimum: Images of each class that each part must hold.
        stratify: Whether classes are divided one by one; else all images together.

    Returns:
        The part of each image, shape (N,), in 0…P-1. Stratified, each class's count in each part
        is its wanted share rounded up or down (but never below ``minimum``).
    """
    targets = counts.argmax(axis=1)
    wanted = np.asarray(shares, dtype=float)
    parts: IntArray = np.zeros(len(targets), dtype=np.int64)
    order = rng.permutation(len(targets))
    by_class = [order[targets[order] == label] for label in range(counts.shape[1])]
    if stratify:
        debt = np.zeros(len(wanted))
        for rows in by_class:
            sizes = _round_shares(len(rows), wanted, minimum, debt)
            debt += wanted * len(rows) - sizes
            parts[rows] = np.repeat(np.arange(len(wanted)), sizes)
        return parts
    # First what every part needs, then the rest by size alone.
    needed = np.repeat(np.arange(len(wanted)), minimum)
    for rows in by_class:
        parts[rows[: len(needed)]] = needed
    rest = np.concatenate([rows[len(needed) :] for rows in by_class])
    floor = minimum * len(by_class)
    sizes = _round_shares(len(targets), wanted, floor, np.zeros(len(wanted))) - floor
    parts[rng.permutation(rest)] = np.repeat(np.arange(len(wanted)), sizes)
    return parts


def _round_shares(
    total: int, shares: npt.NDArray[np.float64], minimum: int, debt: npt.NDArray[np.float64]
) -> IntArray:
    """Round ``shares`` of ``total`` to whole numbers that add up, each at least ``minimum``.

    ``debt`` (P,) is what earlier classes left each part short of: it decides who is rounded up,
    so that classes do not all favour the same part.
    """
    exact = total * shares
    sizes: IntArray = np.floor(exact + 1e-9).astype(np.int64)
    fraction = np.round(exact - sizes, 9)
    # A part whose share is whole as it is never gets one more.
    claims = np.where(fraction > 0, np.round(fraction + debt, 9), -np.inf)
    sizes[np.argsort(-claims, kind="stable")[: total - int(sizes.sum())]] += 1
    while sizes.min() < minimum:
        sizes[int(sizes.argmin())] += 1
        sizes[int(sizes.argmax())] -= 1
    return sizes


@dataclass(frozen=True)
class Units:
    """What is divided: groups, or single images.

    Attributes:
        by: ``group`` or ``image``.
        of_row: The unit of each row, shape (N,).
        counts: Images of each class in each unit, shape (U, C).
    """

    by: str
    of_row: IntArray
    counts: IntArray

    def divide(
        self,
        chosen: IntArray,
        shares: tuple[float, ...],
        rng: np.random.Generator,
        *,
        minimum: int = 1,
        stratify: bool,
    ) -> IntArray | None:
        """Assign the ``chosen`` units (S,) to parts, shape (S,); nothing where none fits."""
        counts = self.counts[chosen]
        # Where each image is a group of its own (no patients known), rounding is the best there is.
        divide = divide_images if int(counts.sum(axis=1).max()) == 1 else divide_groups
        return divide(counts, shares, rng, minimum=minimum, stratify=stratify)


def find_units(samples: Samples, by: str) -> Units:
    """Number the groups (or images) in an order that does not depend on the table's."""
    if by == "group":
        of_row = np.unique(samples.groups.astype(str), return_inverse=True)[1]
    else:
        names = list(
            zip(*(samples.frame[name] for name in ("path", "label", "group")), strict=True)
        )
        of_row = np.empty(len(names), dtype=np.int64)
        of_row[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    counts = np.zeros((int(of_row.max()) + 1, len(samples.class_names)), dtype=np.int64)
    np.add.at(counts, (of_row, samples.targets), 1)
    return Units(by=by, of_row=of_row, counts=counts)


def with_columns(samples: Samples, **columns: object) -> Samples:
    """Return samples with further columns, each a value or one a row (N,)."""
    return replace(samples, frame=samples.frame.assign(**columns))
