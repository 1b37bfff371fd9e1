"""The decoded images of a run, loaded once and shared by all its folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eosin.artifacts.model import Preprocessing
from eosin.core.progress import progress_bar
from eosin.core.types import Image, Samples
from eosin.datasets.images import Skipped, load_readable


@dataclass(frozen=True, eq=False)
class ImageBank:
    """Decoded and resized images, addressed by the manifest's path.

    Attributes:
        images: uint8, shape (N, H, W, 3).
        rows: Row of each path.
    """

    images: Image
    rows: dict[str, int]

    @classmethod
    def load(cls, samples: Samples, preprocessing: Preprocessing) -> tuple[ImageBank, Skipped]:
        """Decode every image of a table; ``(path, reason)`` of those that cannot be read."""
        with progress_bar("Loading images") as advance:
            readable, images, skipped = load_readable(samples, preprocessing, advance=advance)
        rows = {path: row for row, path in enumerate(readable.frame["path"])}
        return cls(images, rows), skipped

    def of(self, samples: Samples) -> Image:
        """Return the images of a table's rows, uint8, shape (M, H, W, 3)."""
        rows = np.array([self.rows[path] for path in samples.frame["path"]], dtype=np.int64)
        return self.images[rows]
