"""Images of a prediction: listed from paths and tables, then read a chunk at a time."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import pandas as pd

from eosin.artifacts.manifest import read_manifest
from eosin.artifacts.model import ModelInfo, Preprocessing
from eosin.artifacts.tables import folder_of, is_table
from eosin.core.errors import DataError, ImageError, UsageError
from eosin.core.threads import map_threads
from eosin.core.types import Samples, change_parts
from eosin.images.references import ImageList, Skipped, list_images
from eosin.images.spacing import check_scale
from eosin.images.stacks import stack_samples
from eosin.images.staining import check_units
from eosin.inference.given import Given
from eosin.inference.reading import normalise_cells, read_cells, stains_of_units
from eosin.stain import Normalised

#: Images of a chunk, and chunks in progress at most.
_CHUNK, _CHUNKS_AHEAD = 32, 4
_Result = TypeVar("_Result")


def none_readable(given: Given, skipped: Skipped) -> DataError:
    """Return the error of a list of images none of which can be read."""
    paths = given.paths if len(skipped) > 1 else []
    return DataError(
        f"none of the files can be read: {skipped[0][1]}",
        hint=f"For the reason of each file: eosin data check {shlex.quote(str(paths[0]))}"
        if paths
        else None,
    )


@dataclass(frozen=True)
class Chunk:
    """Some of the listed images, read and normalised.

    Attributes:
        cells: Image references.
        done: Their images, uint8, (N, *input_px, C), and why stains were left as they are.
        skipped: The references that cannot be read, with reasons.
        n_done: Number of references up to this chunk's end.
    """

    cells: list[str]
    done: Normalised
    skipped: Skipped
    n_done: int


def map_chunks(
    work: Callable[[Chunk], _Result],
    given: Given,
    listed: ImageList,
    units: list[str],
    preprocessing: Preprocessing,
) -> Iterator[_Result]:
    """Read the listed images in chunks, as the network sees them, and map over these.

    A thread reads a chunk and works on it; a few are ahead of the caller.
    """
    files = listed.cells
    sources = stains_of_units(files, units, preprocessing) if units else {}

    def read_and_work(start: int) -> _Result:
        some = files[start : start + _CHUNK]
        found = list(read_cells(some, preprocessing, given.in_memory))
        kept = [cell for cell, one in found if not isinstance(one, ImageError)]
        images = [one for _, one in found if not isinstance(one, ImageError)]
        skipped = [(cell, str(one)) for cell, one in found if isinstance(one, ImageError)]
        kept, done, failed = normalise_cells(kept, images, preprocessing, sources)
        return work(Chunk(kept, done, skipped + failed, start + len(some)))

    return map_threads(read_and_work, range(0, len(files), _CHUNK), ahead=_CHUNKS_AHEAD)


def _is_table(entry: Path | pd.DataFrame | str) -> bool:
    return not isinstance(entry, str) and is_table(entry)


def list_cells(given: Given, info: ModelInfo) -> tuple[ImageList, list[str]]:
    """List the images or stacks, and each one's unit if its stain is normalised as a whole."""
    preprocessing = info.preprocessing
    stain = preprocessing.stain
    unit = None if stain is None or stain.unit == "tile" else stain.unit
    found, units = ImageList([], [], Counter()), list[str]()
    for are_tables, several in groupby(given.entries, _is_table):
        entries = list(several)
        if not are_tables and (preprocessing.magnifications or unit is not None):
            raise _wants_table(entries[0], preprocessing, unit)
        for table in entries if are_tables else ():
            samples = _read_table(table, info, unit)
            folder = folder_of(table)
            found.cells.extend(change_parts(cell, _from(folder)) for cell in samples.frame["path"])
            units += list(samples.frame[unit]) if unit is not None else []
        for in_memory, some in groupby(() if are_tables else entries, lambda one: type(one) is str):
            if in_memory:
                found.cells.extend(map(str, some))
                continue
            listed = list_images(map(Path, some))
            found.cells.extend(listed.cells)
            found.skipped.extend(listed.skipped)
            found.left_out.update(listed.left_out)
    return found, units


def _read_table(path: Path | str | pd.DataFrame, info: ModelInfo, unit: str | None) -> Samples:
    """Read a table of images that needs no column but the path, and the stain's ``unit``."""
    magnifications = info.preprocessing.magnifications
    # No classes are known: the slide, or the image, serves as label.
    label = "slide" if magnifications else "path"
    samples = read_manifest(path, label=label, allow_one_class=True, reads_split=False)
    check_units(samples, unit or "tile")
    samples = stack_samples(samples, magnifications)
    check_scale(samples, info)
    return samples


def _wants_table(path: object, preprocessing: Preprocessing, unit: str | None) -> UsageError:
    columns = ["path", *(["slide", "magnification"] if preprocessing.magnifications else [])]
    if unit is not None and unit not in columns:
        columns.append(unit)
    takes = (
        f"needs the magnifications of a slide together ({', '.join(preprocessing.magnifications)})"
        if preprocessing.magnifications
        else f"normalises the stain of each {unit} as a whole"
    )
    return UsageError(
        f"this model {takes}, which {path} does not provide",
        hint=f"Name a manifest (CSV or Parquet) with {', '.join(columns[:-1])} and {columns[-1]}",
    )


def _from(folder: Path) -> Callable[[str], str]:
    return lambda part: str(folder / part)
