"""The manifest: the one table that everything downstream reads.

Columns: ``path`` (relative to the manifest, else absolute; ``file#index`` addresses an image
inside a container), ``label``, ``patient`` (empty if unknown), ``group`` (the unit that must not
cross a split; by default the patient, else the image itself), optional ``slide``,
``magnification``, ``mpp``, ``split``, ``fold``, ``site``, ``cluster``, ``accession``. Any further
column passes through. All cells are text, so that ``007`` stays ``007``.

A ``|`` in ``path`` stands between the images of a bundle (:mod:`eosin.datasets.bundles`): then
every row is one, of equally many places.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eosin.artifacts.pseudonyms import looks_like_pseudonym
from eosin.core.errors import ManifestError, close_matches
from eosin.core.files import atomic_path
from eosin.core.types import BUNDLED, SPLITS, Samples, change_parts, parts_of

REQUIRED = ("path", "label")
#: Endings of the files that :func:`read_manifest` reads.
TABLE_SUFFIXES = frozenset({".csv", ".parquet"})
OPTIONAL = ("patient", "group", "slide", "magnification", "mpp", "split", "fold", "site", "cluster")


def read_manifest(
    path: Path,
    *,
    label: str = "label",
    positive: str | None = None,
    name: str | None = None,
    allowed: tuple[str, ...] | None = None,
    allow_one_class: bool = False,
) -> Samples:
    """Read a manifest from CSV or Parquet.

    Args:
        path: The table.
        label: The column that holds the class, e.g. ``subtype``.
        positive: The positive class of a binary task; refused where it is no label.
        name: What to call the samples; the file's stem by default.
        allowed: The labels that are allowed, in order; sorted from the table by default.
        allow_one_class: Whether a table of a single class will do (to check or audit it).

    Raises:
        ManifestError: The table is absent, unreadable, empty, or lacks a needed column or cell.
    """
    path = Path(path)
    frame = _read_table(path)
    if allowed is None and allow_one_class and label in frame:
        allowed = tuple(sorted(set(frame[label]) - {""}))
    return make_samples(
        frame,
        root=path.parent,
        label=label,
        positive=positive,
        name=name or path.stem,
        class_names=allowed,
    )


def _read_table(path: Path) -> Any:
    if not path.exists():
        raise ManifestError(f"the manifest {path} does not exist")
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path).astype("string").fillna("")
        else:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise ManifestError(f"the manifest {path} is empty") from None
    except (OSError, ValueError) as error:
        raise ManifestError(f"the manifest {path} cannot be read: {error}") from error
    return frame.astype(object)


def make_samples(
    frame: Any,
    *,
    root: Path,
    label: str = "label",
    positive: str | None = None,
    name: str = "samples",
    class_names: tuple[str, ...] | None = None,
) -> Samples:
    """Check a table of samples and fill in what may be left out.

    Args:
        frame: A pandas table, see the module's header.
        root: The folder that relative paths start from.
        label: The column that holds the class.
        positive: The positive class, if the task has one.
        name: What to call the samples.
        class_names: The labels that are allowed, in order; sorted from the table by default.

    Raises:
        ManifestError: A column or a cell is missing, or a label is unknown.
    """
    _check_columns(frame, label, name)
    frame = frame.copy()
    frame["label"] = frame[label]
    for column in ("path", "label"):
        empty = np.flatnonzero(frame[column].astype(str).str.strip() == "")
        if empty.size:
            raise ManifestError(
                f"{name}: row {int(empty[0]) + 2} has no {column} ({empty.size} such rows)"
            )
    _check_bundles(frame, name)
    _check_indices(frame, name)
    if "patient" not in frame:
        frame["patient"] = ""
    if "group" not in frame:
        frame["group"] = ""
    # An unknown group is the patient; an unknown patient leaves the image as its own group.
    for fallback in ("patient", "path"):
        frame["group"] = frame["group"].where(frame["group"] != "", frame[fallback])
    _check_splits(frame, name)
    return Samples(
        frame=frame.reset_index(drop=True),
        root=Path(root),
        class_names=_class_names(frame, positive, name, class_names),
        positive=positive,
        name=name,
    )


def _check_columns(frame: Any, label: str, name: str) -> None:
    for column in (*REQUIRED[:1], label):
        if column not in frame:
            raise ManifestError(
                f"{name}: the column {column!r} is missing",
                mend=close_matches(column, [str(known) for known in frame.columns]),
            )
    if len(frame) == 0:
        raise ManifestError(f"{name}: the table has no rows")


def _check_bundles(frame: Any, name: str) -> None:
    """Refuse a ``|`` that some rows have and others not: it stands between a bundle's images."""
    places = {len(parts_of(cell)) for cell in frame["path"]}
    if len(places) > 1:
        odd = next(cell for cell in frame["path"] if BUNDLED in cell)
        raise ManifestError(
            f"{name}: the path {odd!r} has a {BUNDLED!r}, and other rows have not as many",
            mend=f"{BUNDLED!r} stands between the images of one bundle; rename other files",
        )


def _check_indices(frame: Any, name: str) -> None:
    """Refuse a ``#`` that no index follows: it stands for images inside a container."""
    for cell in (part for path in frame["path"] for part in parts_of(path)):
        _, mark, index = cell.partition("#")
        if mark and not (index.isascii() and index.isdecimal()):
            raise ManifestError(
                f"{name}: the path {cell!r} needs a whole number behind '#'",
                mend="`file#index` names an image inside an h5 or idx file; rename other files",
            )


def _check_splits(frame: Any, name: str) -> None:
    if "split" not in frame:
        return
    odd = sorted(set(frame["split"]) - {*SPLITS, ""})
    if odd:
        raise ManifestError(
            f"{name}: `split` must be one of {', '.join(SPLITS)}, got {odd[0]!r}",
            mend=close_matches(odd[0], SPLITS),
        )


def _class_names(
    frame: Any, positive: str | None, name: str, allowed: tuple[str, ...] | None
) -> tuple[str, ...]:
    found = sorted(set(frame["label"]))
    if allowed is not None:
        unknown = [label for label in found if label not in allowed]
        if unknown:
            raise ManifestError(
                f"{name}: unknown label {unknown[0]!r}", mend=close_matches(unknown[0], allowed)
            )
        return allowed
    if len(found) < 2:
        raise ManifestError(f"{name}: at least two classes are needed, got only {found[0]!r}")
    if positive is not None and positive not in found:
        raise ManifestError(
            f"{name}: the positive class {positive!r} is no label in the table",
            mend=close_matches(positive, found),
        )
    return tuple(found)


def write_manifest(path: Path, samples: Samples, *, relative_to: Path | None = None) -> None:
    """Write the samples as CSV or Parquet (by suffix), whole or not at all.

    Args:
        path: Where to.
        samples: What to write.
        relative_to: The folder that the written paths shall start from; the manifest's own by
            default. Paths on another drive become absolute.
    """
    write_table(path, relocated(samples, relative_to or Path(path).parent).frame)


def relocated(samples: Samples, folder: Path) -> Samples:
    """Return the samples with paths that start from ``folder``.

    Paths on another drive become absolute.
    """
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
    """Return one cell's new spelling; ``folders`` remembers those of the folders seen."""
    file, hash_mark, index = cell.partition("#")
    folder, slash, name = file.rpartition("/")
    if folder + slash not in folders:
        # A file system is asked for each folder once, not for each of 300,000 files.
        target = (root / (folder + slash)).resolve()
        try:
            folders[folder + slash] = Path(os.path.relpath(target, base)).as_posix()
        except ValueError:  # another drive on Windows
            folders[folder + slash] = target.as_posix()
    moved = folders[folder + slash]
    return f"{name if moved == '.' else f'{moved}/{name}'}{hash_mark}{index}"


def write_table(path: Path, frame: Any) -> None:
    """Write a pandas table as CSV or Parquet (by suffix), whole or not at all."""
    with atomic_path(Path(path)) as temporary:
        if Path(path).suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_csv(temporary, index=False, lineterminator="\n")
