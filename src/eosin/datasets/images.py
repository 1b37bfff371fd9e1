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


def load_readable(
    samples: Samples, preprocessing: Preprocessing, *, advance: Advance | None = None
) -> tuple[Samples, Image, Skipped]:
    """Decode and resize every image of a table that can be read.

    Args:
        samples: N rows.
        preprocessing: Size and rule.
        advance: Told how many are done.

    Returns:
        The M readable rows; their images, uint8, shape (M, *input_px, 3), RGB; ``(path, reason)``
        of the others.

    Raises:
        DataError: None can be read.
    """
    height, width = preprocessing.input_px
    images = np.empty((len(samples), height, width, 3), dtype=np.uint8)
    cells = list(samples.frame["path"])

    def load(index: int) -> str | None:
        try:
            found = decode_image(samples.resolve(cells[index]))
            images[index] = resize_image(found, preprocessing)
        except ImageError as error:
            return str(error)
        return None

    reasons: list[str | None] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for reason in pool.map(load, range(len(cells))):
            reasons.append(reason)
            if advance is not None:
                advance(len(reasons), len(cells))
    skipped = [(cell, why) for cell, why in zip(cells, reasons, strict=True) if why is not None]
    if not skipped:
        return samples, images, []
    unreadable = {cell for cell, _ in skipped}
    return without(samples, skipped), images[[cell not in unreadable for cell in cells]], skipped


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
        raise DataError(
            f"none of the {len(samples)} images can be read: {skipped[0][1]}",
            mend="Do the paths start from the right folder?",
        )
    return samples.where(keep)


def write_skipped(path: Path, skipped: Skipped) -> None:
    """Write ``skipped.csv``; where everything was read, only over the list of an earlier call."""
    if skipped or path.exists():
        write_table(path, pd.DataFrame(skipped, columns=["path", "reason"]))


def list_images(paths: Iterable[Path]) -> list[Path]:
    """Expand files and folders into image files, sorted within each folder.

    Raises:
        DataError: Nothing was found.
    """
    given = list(paths)
    found = list(_expand(given))
    if not found:
        raise DataError(
            f"no image file was found in {', '.join(str(path) for path in given)}",
            mend=f"Files ending in {', '.join(sorted(IMAGE_SUFFIXES))} are looked for",
        )
    return found


def _expand(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            # A name with a leading dot is a system's own file, such as macOS's `._image.png`.
            yield from (
                p
                for p in sorted(path.rglob("*"))
                if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")
            )
        else:
            # A file that is not there is listed with the unreadable ones: a batch is finished.
            yield path
