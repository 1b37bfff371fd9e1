"""What is divided: groups, or single images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eosin.core.types import IntArray, Samples
from eosin.data.splits.images import divide_images
from eosin.data.splits.partition import divide_groups


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
