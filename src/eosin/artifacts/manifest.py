"""The manifest: the table of images that all later stages read.

Columns: ``path`` (relative to the manifest, else absolute; ``file#index`` for an image inside a
container), ``label``, ``patient`` (empty if unknown), ``group`` (the unit that must not cross a
split; by default the patient, else the image itself), optional ``slide``, ``magnification``,
``mpp``, ``split``, ``fold``, ``site``, ``cluster``, ``accession``. Further columns are kept.
All cells are text, so that ``007`` stays ``007``. Names are cleaned and written-out unknowns
emptied (:mod:`eosin.artifacts.cleaning`), paths spelled like their files
(:mod:`eosin.artifacts.paths`).

A ``|`` in ``path`` separates the images of a magnification stack (:mod:`eosin.images.stacks`):
then every row is a stack of the same number of images.
"""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.bounds import read_bounded, read_parquet
from eosin.artifacts.cleaning import check_names, check_text, clean_cells
from eosin.artifacts.columns import Columns, take_columns
from eosin.artifacts.integrity import damaged
from eosin.artifacts.paths import resolve_paths
from eosin.artifacts.pseudonyms import looks_like_pseudonym
from eosin.artifacts.tables import NOTES, ROW, folder_of, lines_of, name_of, read_table, row_number
from eosin.core.errors import ArtifactError, ManifestError, close_matches
from eosin.core.files import atomic_path
from eosin.core.text import clean_name, printable, spelling_key
from eosin.core.types import MOST_INDEX, STACKED, ImageReference, Samples, change_parts, parts_of

REQUIRED = ("path", "label")
#: Most characters of a cell in a message.
_MOST_SHOWN = 200
OPTIONAL = ("patient", "group", "slide", "magnification", "mpp", "split", "fold", "site", "cluster")


def read_manifest(
    path: Path | str | pd.DataFrame,
    *,
    label: str = "label",
    positive: str | None = None,
    allowed: tuple[str, ...] | None = None,
    allow_one_class: bool = False,
    columns: Columns | None = None,
    verbatim: bool = False,
    reads_split: bool = True,
) -> Samples:
    """Read a manifest from a table of any supported format.

    Args:
        path: The table, see :func:`eosin.artifacts.tables.read_table`.
        label: The column of the class, e.g. ``subtype``.
        positive: The positive class of a binary task; must be a label.
        allowed: The labels that are allowed, in order; sorted from the table by default.
        allow_one_class: True accepts a table of a single class (to check or audit it).
        columns: The columns of image reference, patient and group; others with similar names are
            an error. ``None`` takes the standard names, whatever other columns there are.
        verbatim: True for a table that Eosin wrote: its cells are taken as they are.
        reads_split: False leaves the column ``split`` unchecked.

    Raises:
        ManifestError: The table is absent, unreadable, empty, or lacks a needed column or cell.
        ArtifactError: The same of a table that Eosin wrote.
    """
    # A run's manifest is a file; the user's may be a pipe.
    table = read_written(Path(path)) if verbatim else read_table(path, pipe=True)
    try:
        return make_samples(
            table,
            root=folder_of(path),
            label=label,
            positive=positive,
            name=Path(name_of(path)).stem,
            class_names=allowed,
            allow_one_class=allow_one_class,
            columns=columns,
            verbatim=verbatim,
            reads_split=reads_split,
        )
    except ManifestError as error:
        if verbatim:
            raise damaged(Path(path), error.message) from error
        raise


def make_samples(
    frame: Any,
    *,
    root: Path,
    label: str = "label",
    positive: str | None = None,
    name: str = "samples",
    class_names: tuple[str, ...] | None = None,
    allow_one_class: bool = False,
    columns: Columns | None = None,
    verbatim: bool = False,
    reads_split: bool = True,
) -> Samples:
    """Validate and clean a table of samples, and fill in optional columns.

    Arguments as of :func:`read_manifest`, whose ``allowed`` are the ``class_names`` here.

    Raises:
        ManifestError: A column or a cell is missing or odd, or a label is unknown.
    """
    frame, notes = frame.copy(), [str(note) for note in frame.attrs.get(NOTES, ())]
    frame.attrs = {}
    label, positive = clean_name(label), positive and clean_name(positive)
    notes += take_columns(frame, columns, label, name)
    if len(frame) == 0:
        raise ManifestError(f"{name}: the table has no rows")
    check_text(frame, name)
    for column in ("patient", "group"):
        if column not in frame:
            frame[column] = ""
    if not verbatim:
        notes += _clean(frame, Path(root), label, name, reads_split)
    _check_filled(frame, name)
    check_names(frame, name)
    _check_stacks(frame, name)
    _check_indices(frame, name)
    # The group defaults to the patient, and without a patient to the image.
    for fallback in ("patient", "path"):
        frame["group"] = frame["group"].where(frame["group"] != "", frame[fallback])
    return Samples(
        frame=frame.reset_index(drop=True).astype(object),
        root=Path(root),
        class_names=_class_names(frame, positive, name, class_names, allow_one_class),
        positive=positive,
        name=name,
        notes=tuple(notes),
    )


def _clean(frame: Any, root: Path, label: str, name: str, reads_split: bool) -> list[str]:
    """Clean all cells, in place; an image that is its own group stays so under another path."""
    alone = frame["group"] == frame["path"]
    notes = clean_cells(frame, label, name, reads_split=reads_split)
    notes += resolve_paths(frame, root, name)
    frame["group"] = frame["group"].where(~alone, frame["path"])
    return notes


def _check_filled(frame: Any, name: str) -> None:
    for column in REQUIRED:
        empty = np.flatnonzero(frame[column].astype(str).str.strip() == "")
        if empty.size:
            row = row_number(frame, int(empty[0]))
            raise ManifestError(
                f"{name}: row {row} has no {column} ({empty.size} such rows)",
                hint="Fill in the cells, or remove these rows",
            )


def check_label_spelling(samples: Samples) -> None:
    """Check that no classes differ only in spelling, such as ``Benign`` and ``benign``.

    Raises:
        ManifestError: Two do; the message names both, and their rows.
    """
    seen: dict[str, str] = {}
    for label in sorted(set(samples.frame["label"])):
        other = seen.setdefault(spelling_key(label), label)
        if other != label:
            counts = samples.frame["label"].value_counts()
            few, many = sorted((label, other), key=lambda one: (counts[one], one))
            first = int(np.flatnonzero(samples.frame["label"] == few)[0])
            raise ManifestError(
                f"{samples.name}: the classes {many!r} ({counts[many]:,} images) and {few!r} "
                f"({counts[few]:,} images, first {samples.frame['path'].iloc[first]}) differ only "
                "in spelling",
                hint="Use one spelling, or add --set data.alike_names=distinct if they are "
                "different classes",
            )


def _check_stacks(frame: Any, name: str) -> None:
    """Check that either all rows or none have a ``|``, which separates images of a stack."""
    places = {len(parts_of(cell)) for cell in frame["path"]}
    if len(places) > 1:
        odd = next(cell for cell in frame["path"] if STACKED in cell)
        raise ManifestError(
            f"{name}: the path {odd!r} has a {STACKED!r}, but other rows have a different number "
            "of them",
            hint=f"{STACKED!r} separates the images of a stack; rename other files",
        )


def _check_indices(frame: Any, name: str) -> None:
    """Check that an index follows each ``#``, which stands for images inside a container."""
    for cell in (part for path in frame["path"] for part in parts_of(path)):
        image = ImageReference.parse(cell) if "#" in cell else None
        if image and ("#" in image.path or not image.digits or image.index == MOST_INDEX):
            raise ManifestError(
                f"{name}: the path {cell[:_MOST_SHOWN]!r} needs a whole number behind '#'",
                hint="`file#index` names an image inside an h5 or idx file; rename other files",
            )


def _class_names(
    frame: Any,
    positive: str | None,
    name: str,
    allowed: tuple[str, ...] | None,
    allow_one_class: bool,
) -> tuple[str, ...]:
    found = sorted(set(frame["label"]))
    if allowed is None and allow_one_class:
        return tuple(found)
    if allowed is not None:
        unknown = [label for label in found if label not in allowed]
        if unknown:
            raise ManifestError(
                f"{name}: unknown label {unknown[0]!r}", hint=close_matches(unknown[0], allowed)
            )
        return allowed
    if len(found) < 2:
        raise ManifestError(f"{name}: at least two classes are needed, got only {found[0]!r}")
    if positive is not None and positive not in found:
        raise ManifestError(
            f"{name}: the positive class {positive!r} is not a label in the table",
            hint=close_matches(positive, found),
        )
    return tuple(found)


def write_manifest(path: Path, samples: Samples) -> None:
    """Write the samples atomically as CSV or Parquet (by suffix).

    Paths are relative to the manifest's folder; on another drive they are absolute.
    """
    write_table(path, relocated(samples, Path(path).parent).frame)


def relocated(samples: Samples, folder: Path) -> Samples:
    """Return the samples with paths relative to ``folder``; absolute on another drive."""
    base = folder.resolve()
    frame = samples.frame.copy()
    folders: dict[str, str] = {}

    def relocate(cell: str) -> str:
        if looks_like_pseudonym(cell) and not samples.resolve(cell).exists():
            return cell  # it is in no folder
        return _relocate(cell, samples.root, base, folders)

    frame["path"] = [change_parts(cell, relocate) for cell in frame["path"]]
    return replace(samples, frame=frame, root=base)


def _relocate(cell: str, root: Path, base: Path, folders: dict[str, str]) -> str:
    """Return a cell relative to ``base``; ``folders`` caches the folders seen."""
    image = ImageReference.parse(cell)
    folder, slash, name = image.path.rpartition("/")
    if folder + slash not in folders:
        # The file system is queried once a folder, not once for each of 300,000 files.
        target = (root / (folder + slash)).resolve()
        try:
            folders[folder + slash] = Path(os.path.relpath(target, base)).as_posix()
        except ValueError:  # another drive on Windows
            folders[folder + slash] = target.as_posix()
    moved = folders[folder + slash]
    return str(replace(image, path=name if moved == "." else f"{moved}/{name}"))


def write_table(path: Path, frame: Any) -> None:
    """Write a pandas table atomically as CSV or Parquet (by suffix).

    Names that are no text, such as file names in another encoding, are written escaped.
    """
    try:
        _write_table(Path(path), frame)
    except UnicodeEncodeError:
        _write_table(Path(path), frame.rename(columns=printable).map(_printable))


def _write_table(path: Path, frame: Any) -> None:
    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            temporary.write_bytes(csv_text(frame).encode("utf-8"))


def _printable(cell: Any) -> Any:
    return printable(cell) if isinstance(cell, str) else cell


def csv_text(frame: Any, *, header: bool = True) -> str:
    """Return a pandas table as CSV that any reader splits into the same cells.

    Readers take a lone carriage return for the end of a row, and the `csv` module does not quote
    it: where a cell has one, all text is quoted.
    """
    is_broken = any(
        isinstance(cell, str) and "\r" in cell
        for name, cells in frame.items()
        for cell in (name, *(() if pd.api.types.is_numeric_dtype(cells.dtype) else cells))
    )
    quoting = csv.QUOTE_NONNUMERIC if is_broken else csv.QUOTE_MINIMAL
    return str(frame.to_csv(index=False, header=header, lineterminator="\n", quoting=quoting))


def read_written(path: Path, *, columns: list[str] | None = None) -> Any:
    """Read a table that :func:`write_table` wrote, without cleaning cells.

    Args:
        path: A ``.csv`` file, whose cells are text, or a ``.parquet`` file.
        columns: Of a Parquet file, the columns to read; all by default.

    Returns:
        A pandas table; of a CSV file its index holds the row numbers as a spreadsheet shows them.

    Raises:
        ArtifactError: It is absent, no regular file, too large, or damaged.
    """
    path = Path(path)
    try:
        data = read_bounded(path)
        if path.suffix == ".parquet":
            return read_parquet(path, data, columns, own=True).to_pandas()
        return _split_written(data.decode("utf-8-sig"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except OSError as error:
        raise damaged(path, str(error.strerror or error)) from error
    except ManifestError as error:  # too large
        raise ArtifactError(error.message, hint=error.hint) from error
    except (ValueError, LookupError, csv.Error) as error:
        raise damaged(path, str(error)) from error


def _split_written(text: str) -> Any:
    if not text.endswith("\n"):
        raise ValueError("it is empty" if not text else "it is truncated: its last line has no end")
    if "\0" in text:
        raise ValueError("it contains NUL characters")
    rows = csv.reader(lines_of(text), strict=True)
    header, *body = rows
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise ValueError(f"it has more than one column {twice[0]!r}")
    for number, row in enumerate(body, 2):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, the header {len(header)}")
    index = pd.RangeIndex(2, len(body) + 2, name=ROW)
    return pd.DataFrame(body, columns=header, index=index, dtype=object)
