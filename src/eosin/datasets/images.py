"""Reading the images of a table: all into one array, and what could not be read with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from eosin.artifacts.manifest import write_table
from eosin.artifacts.model import Preprocessing
from eosin.core.errors import DataError, ImageError
from eosin.core.progress import Advance
from eosin.core.types import Image, Samples
from eosin.inference.decode import IMAGE_SUFFIXES, decode_image
from eosin.inference.preprocess import resize_image

#: Pillow releases the interpreter's lock while it decodes.
_THREADS = 2
Skipped = list[tuple[str, str]]


def load_images(
    samples: Samples, preprocessing: Preprocessing, *, advance: Advance | None = None
) -> Image:
    """Decode and resize every image of a table.

    Args:
        samples: N rows, all readable.
        preprocessing: Size and rule.
        advance: Told how many are done.

    Returns:
        uint8, shape (N, *input_px, 3), RGB.

    Raises:
        ImageError: An image does not decode (any more).
    """
    height, width = preprocessing.input_px
    images = np.empty((len(samples), height, width, 3), dtype=np.uint8)
    paths = [samples.resolve(path) for path in samples.frame["path"]]

    def load(index: int) -> None:
        images[index] = resize_image(decode_image(paths[index]), preprocessing)

    with ThreadPoolExecutor(_THREADS) as pool:
        for done, _ in enumerate(pool.map(load, range(len(paths))), start=1):
            if advance is not None:
                advance(done, len(paths))
    return images


def find_unreadable(samples: Samples, *, advance: Advance | None = None) -> Skipped:
    """Decode every image once and list those that fail.

    Returns:
        ``(path, reason)`` of each unreadable image, in the table's order.
    """
    cells = list(samples.frame["path"])

    def reason(cell: str) -> str | None:
        try:
            decode_image(samples.resolve(cell))
        except ImageError as error:
            return str(error)
        return None

    skipped: Skipped = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, (cell, why) in enumerate(
            zip(cells, pool.map(reason, cells), strict=True), start=1
        ):
            if why is not None:
                skipped.append((cell, why))
            if advance is not None:
                advance(done, len(cells))
    return skipped


def without(samples: Samples, skipped: Skipped) -> Samples:
    """Return the samples that can be read.

    Raises:
        DataError: None can.
    """
    if not skipped:
        return samples
    unreadable = {path for path, _ in skipped}
    keep = ~samples.frame["path"].isin(unreadable).to_numpy()
    if not keep.any():
        raise DataError(f"none of the {len(samples)} images can be read: {skipped[0][1]}")
    return samples.where(keep)


def write_skipped(path: Path, skipped: Skipped) -> None:
    """Write ``skipped.csv``; nothing where everything was read."""
    if skipped:
        write_table(path, pd.DataFrame(skipped, columns=["path", "reason"]))


def list_images(paths: Iterable[Path]) -> list[Path]:
    """Expand files and folders into image files, sorted within each folder.

    Raises:
        DataError: A path does not exist, or nothing was found.
    """
    found = list(_expand(paths))
    if not found:
        raise DataError("no image files were found in what was given")
    return found


def _expand(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (p for p in sorted(path.rglob("*")) if p.suffix.lower() in IMAGE_SUFFIXES)
        elif path.exists():
            yield path
        else:
            raise DataError(f"{path} does not exist")
