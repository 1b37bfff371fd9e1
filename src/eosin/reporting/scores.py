"""Predictions as arrays: what the figures of one split are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from eosin.artifacts.predictions import PREFIX
from eosin.core.types import BoolArray, FloatArray, IntArray
from eosin.metrics.predictions import encode
from eosin.runs.finished import Run


@dataclass(frozen=True, eq=False)
class Scores:
    """The predictions of one split.

    Attributes:
        split: The split.
        class_names: The classes, C.
        positive: Index of the positive class; ``None`` without one.
        targets: Class index of each row, shape (N,).
        probabilities: Shape (N, C).
        groups: Group of each row as a number, (N,).
    """

    split: str
    class_names: tuple[str, ...]
    positive: int | None
    targets: IntArray
    probabilities: FloatArray
    group_codes: IntArray

    @cached_property
    def n_groups(self) -> int:
        """How many groups there are."""
        return int(self.group_codes.max()) + 1

    @property
    def judged_classes(self) -> tuple[int, ...]:
        """The positive class, or all where there is none."""
        return tuple(range(len(self.class_names))) if self.positive is None else (self.positive,)

    @property
    def right(self) -> BoolArray:
        """Whether the most probable class is the true one, shape (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.targets)

    def is_mixed(self, index: int) -> bool:
        """Whether there are images of a class and images of others."""
        n = int((self.targets == index).sum())
        return 0 < n < len(self.targets)


def scores_of(run: Run) -> Scores | None:
    """Return the judged split's predictions; ``None`` where the run has none."""
    frame = run.predictions
    if frame is None:
        return None
    names = run.class_names
    index = {name: position for position, name in enumerate(names)}
    known = frame[frame["label"].isin(index)]
    if not len(known):
        return None
    positive = run.judged.positive
    return Scores(
        split=run.split,
        class_names=names,
        positive=None if positive is None else index[positive],
        targets=np.array([index[label] for label in known["label"]], dtype=np.int64),
        probabilities=known[[PREFIX + name for name in names]].to_numpy(dtype=np.float64),
        group_codes=encode(known["group"]),
    )
