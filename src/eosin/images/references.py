"""The images that a table or a command line names, and those that cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eosin.artifacts.manifest import write_table
from eosin.core.errors import DataError, ImageError
from eosin.core.types import Samples, parts_of, read_index
from eosin.images.containers import count_items, is_container
from eosin.images.decode import IMAGE_SUFFIXES
from eosin.images.listing import describe_left_out, walk_folder

#: How the reason of an image ends that is not there.
_ABSENT = "does not exist"
#: Images of one container that are listed: their names alone take 120 bytes each.
_MOST_LISTED = 2_000_000
Skipped = list[tuple[str, str]]


def without(samples: Samples, skipped: Skipped) -> Samples:
    """Return the samples that can be read: of a bundle, all its images.

    Raises:
        DataError: None can.
    """
    if not skipped:
        return samples
    unreadable = {path for path, _ in skipped}
    cells = samples.frame["path"]
    keep = np.array([unreadable.isdisjoint(parts_of(cell)) for cell in cells], dtype=bool)
    if not keep.any():
        absent = all(reason.endswith(_ABSENT) for _, reason in skipped)
        raise DataError(
            f"no image can be read ({len(samples)} tried): {skipped[0][1]}",
            mend=f"Paths start from {samples.root}: are the images there?" if absent else None,
        )
    return samples.where(keep)


def write_skipped(path: Path, skipped: Skipped) -> None:
    """Write ``skipped.csv``; where everything was read, only over the list of an earlier call."""
    if skipped or path.exists():
        write_table(path, pd.DataFrame(skipped, columns=["path", "reason"]))


@dataclass(frozen=True)
class ImageList:
    """Single images that paths stand for.

    Attributes:
        cells: Path cells as a manifest has them.
        skipped: Folders and containers that cannot be listed, each with its reason.
        left_out: How many files were left out, by reason or ending.
    """

    cells: list[str]
    skipped: Skipped
    left_out: Counter[str]


def list_images(paths: Iterable[Path]) -> ImageList:
    """Expand files, folders and containers into single images.

    Args:
        paths: Folders are walked as for training (:mod:`eosin.images.listing`); an h5 or idx
            file stands for all its images, ``file#index`` for one of them.

    Raises:
        DataError: Nothing was found.
    """
    given = list(paths)
    found = ImageList([], [], Counter())
    for path in given:
        if path.is_dir():
            below = walk_folder(path)
            found.cells.extend(str(path / file) for file in below.files)
            found.skipped.extend(
                (folder, f"the folder cannot be listed: {reason}")
                for folder, reason in below.unlisted
            )
            found.left_out.update(below.left_out)
        else:
            _expand(path, found)
    if not found.cells:
        raise _nothing_found(given, found)
    return found


def _nothing_found(given: list[Path], found: ImageList) -> DataError:
    where = ", ".join(str(path) for path in given)
    reasons = [f"{folder}: {reason}" for folder, reason in found.skipped[:1]]
    reasons += filter(None, [describe_left_out(found.left_out)])
    return DataError(
        ". ".join([f"no image file was found in {where}", *reasons]),
        mend=f"Files ending in {', '.join(sorted(IMAGE_SUFFIXES))} are looked for",
    )


def _expand(path: Path, found: ImageList) -> None:
    if not (is_container(path) and path.is_file()):
        # A file that is not there is listed with the unreadable ones: a batch is finished.
        found.cells.append(str(path))
        return
    try:
        count = count_items(path)
    except ImageError:
        count = 1  # listed with its reason when it is read
    if count > _MOST_LISTED:
        reason = f"{path} holds {count:,} images; at most {_MOST_LISTED:,} of a file are listed"
        found.skipped.append((str(path), f"{reason}: name those that are meant in a table"))
    else:
        found.cells.extend(f"{path}#{index}" for index in range(count))


def split_cell(cell: str) -> tuple[Path, int | None]:
    """Return the file that a path cell names, and the index of the image inside it.

    Raises:
        ImageError: Behind a container's ``#`` stands no index.
    """
    file, mark, index = cell.rpartition("#")
    if not mark or not is_container(Path(file)):
        return Path(cell), None
    number = read_index(index)
    if number is None and Path(file).exists() and not Path(cell).exists():
        raise ImageError(f"{cell} needs a whole number behind '#': the first image is {file}#0")
    return (Path(cell), None) if number is None else (Path(file), number)
