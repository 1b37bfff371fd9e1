"""The images of one part of a split, or their features, as training takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eosin.core.types import FloatArray, ImageSource, IntArray


@dataclass(frozen=True)
class ImagePart:
    """The decoded images of one split, or their features.

    Attributes:
        images: uint8, shape (N, H, W, C); features float32, shape (N, D).
        targets: Class index of each, shape (N,).
    """

    images: ImageSource | FloatArray
    targets: IntArray

    def __len__(self) -> int:
        return len(self.targets)

    def at(self, rows: IntArray) -> ImagePart:
        """Return a part of some of the rows, which may repeat; no image is read or copied."""
        return ImagePart(ChosenRows(self.images, rows), self.targets[rows])


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Some rows of an image source, gathered when they are asked for.

    Attributes:
        images: N images, or their features.
        rows: Which of them, in which order, shape (M,); a row may stand there more than once.
    """

    images: Any
    rows: IntArray

    @property
    def shape(self) -> tuple[int, ...]:
        """M, and an image's own shape."""
        return (len(self.rows), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | IntArray) -> Any:
        """Return the images of some rows."""
        return self.images[self.rows[chosen]]
