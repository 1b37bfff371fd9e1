"""The plain values that stages hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]
#: Values as stored, uint8 or uint16.
Pixels = npt.NDArray[np.unsignedinteger[Any]]


class ImageSource(Protocol):
    """Images of one size, read a few at a time; an array (N, H, W, C) is one, a file another."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N, H, W, C."""

    def __len__(self) -> int:
        """Return N."""

    def __getitem__(self, rows: slice | IntArray, /) -> Image:
        """Return images, uint8, shape (B, H, W, C)."""


#: The parts of a single split, in the order in which they are told.
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: The point estimate; ``None`` where it is undefined, never NaN.
        low: Lower end of the interval; ``None`` where there is none.
        high: Upper end.
        reason: Why the value or the interval is missing, or what limits it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Samples:
    """A manifest in memory: one row an image.

    Attributes:
        frame: A pandas table with at least ``path``, ``label``, ``patient``, ``group`` (all text;
            ``patient`` may be empty); see :mod:`eosin.artifacts.manifest` for the optional ones.
        root: The folder that relative paths start from.
        class_names: The labels in the order of the network's outputs.
        positive: The positive class of a binary task, if it has one.
        name: What the table is called in messages and reports.
    """

    frame: Any
    root: Path
    class_names: tuple[str, ...]
    positive: str | None = None
    name: str = "samples"

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def targets(self) -> IntArray:
        """Class index of every row, shape (N,)."""
        index = {name: position for position, name in enumerate(self.class_names)}
        return np.array([index[label] for label in self.frame["label"]], dtype=np.int64)

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Group of every row, shape (N,)."""
        return np.asarray(self.frame["group"], dtype=object)

    def resolve(self, path: str) -> Path:
        """Return the file that a ``path`` cell names (without ``#index``)."""
        return self.root / path.partition("#")[0]

    def locate(self, path: str) -> tuple[Path, int | None]:
        """Return the file that a ``path`` cell names, and the index of the image inside it."""
        file, _, index = path.partition("#")
        if index.isascii() and index.isdecimal():
            return self.root / file, int(index)
        return self.root / path, None

    def where(self, mask: BoolArray) -> Samples:
        """Return the rows that ``mask`` (N,) selects, with a fresh index."""
        return replace(self, frame=self.frame[mask].reset_index(drop=True))

    def part(self, split: str) -> Samples:
        """Return the rows of one split; the table must carry a ``split`` column."""
        return self.where(np.asarray(self.frame["split"] == split))
