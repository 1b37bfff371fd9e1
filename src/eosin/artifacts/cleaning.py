"""Cleaning of the cells of a table of samples: names, unknown values, numbers, splits.

Names are stripped of surrounding blanks and brought into Unicode's composed form (NFC), whether
they come from a table or a folder. Names that still differ, even by case alone, stay different;
:func:`eosin.core.text.spelling_key` compares those.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import numpy as np

from eosin.artifacts.tables import row_number
from eosin.core.errors import ManifestError, suggest
from eosin.core.text import clean_name, is_name, is_text, is_unknown, quantity, shorten, some
from eosin.core.types import SPLITS, TOGETHER

#: Columns in which ``NA`` or ``unknown`` means an empty cell.
_UNKNOWABLE = (
    *("patient", "group", "slide", "site", "cluster", "accession"),
    *("magnification", "mpp", "split", "fold"),
)
#: Range of µm per pixel of a microscope's image.
MPP_RANGE = (0.01, 100.0)
_SPLIT_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_SPLIT_NAMES |= {name: name for name in SPLITS}
_NUMBER = re.compile(r"\+?(\d+(?:[.,]\d*)?|[.,]\d+)([eE][-+]?\d{1,3})?", re.ASCII)
_MAGNIFICATION = re.compile(r"(\d+(?:[.,]\d+)?)\s*[x×]?", re.ASCII | re.IGNORECASE)
_MOST_SHOWN = 3


def clean_cells(frame: Any, label: str, name: str, *, reads_split: bool = True) -> list[str]:
    """Clean, in place, every column that Eosin reads, except paths; return sentences on changes.

    Raises:
        ManifestError: A cell of ``mpp`` is no number in its range, or ``split`` names no split.
    """
    notes: list[str] = []
    for column in dict.fromkeys(("label", label, *_UNKNOWABLE)):
        if column not in frame or column == "path":
            continue
        notes += _clean_names(frame, column)
        if column in _UNKNOWABLE:
            notes += _empty_unknown(frame, column)
    if "magnification" in frame:
        spellings = {cell: clean_magnification(cell) for cell in set(frame["magnification"])}
        frame["magnification"] = frame["magnification"].map(spellings)
    if reads_split and "split" in frame:
        notes += _clean_splits(frame, name)
    if "mpp" in frame:
        _clean_mpp(frame, name)
    return [*dict.fromkeys(notes), *_note_contradictions(frame)]


def clean_magnification(text: str) -> str:
    """Return a magnification in one spelling: ``40``, ``40.0``, ``40x`` and ``40 X`` are ``40``.

    Text that is no number, such as ``low``, is unchanged; in ``40+100`` each number is cleaned.
    """
    return TOGETHER.join(_one_magnification(part) for part in clean_name(text).split(TOGETHER))


def _one_magnification(text: str) -> str:
    found = _MAGNIFICATION.fullmatch(clean_name(text))
    return f"{float(found.group(1).replace(',', '.')):g}" if found else clean_name(text)


def _clean_names(frame: Any, column: str) -> Iterator[str]:
    """Clean the names in a column; yield a sentence for each kind of change.

    The sentences contain no name: it may be a patient's.
    """
    names = {cell: clean_name(cell) for cell in set(frame[column])}
    changed = {cell for cell, name in names.items() if name != cell}
    if not changed:
        return
    other_form = {cell for cell in changed if unicodedata.normalize("NFC", cell) != cell}
    for cells, how in (
        ({cell for cell in changed - other_form if names[cell]}, "blanks around names removed"),
        (other_form, "names converted to one Unicode form (NFC)"),
    ):
        if cells:
            yield f"column {column!r}: {how} in {_rows(frame, frame[column].isin(cells))}"
    frame[column] = frame[column].map(names)


def _empty_unknown(frame: Any, column: str) -> Iterator[str]:
    unknown = sorted(cell for cell in set(frame[column]) if cell and is_unknown(cell))
    if unknown:
        mask = frame[column].isin(unknown)
        shown = ", ".join(map(repr, unknown))
        yield f"column {column!r}: {shown} counted as unknown in {_rows(frame, mask)}"
        frame[column] = frame[column].mask(mask, "")


_OTHER_SPLITS = "Change these cells, or rename the column if it means something else"


def _clean_splits(frame: Any, name: str) -> Iterator[str]:
    odd = sorted(cell for cell in set(frame["split"]) if cell and cell not in SPLITS)
    known = {cell: _SPLIT_NAMES.get(cell.casefold(), "") for cell in odd}
    for cell, split in known.items():
        if not split:
            raise ManifestError(
                f"{name}: `split` must be one of {', '.join(SPLITS)}, got {cell!r}"
                f"{_first_row(frame, 'split', cell)}",
                hint=f"{suggest(cell, SPLITS)} {_OTHER_SPLITS}".lstrip(),
            )
    if known:
        frame["split"] = frame["split"].map(lambda cell: known.get(cell, cell))
        pairs = ", ".join(f"{cell!r} as {split!r}" for cell, split in known.items())
        yield f"column 'split': read {pairs}"


def _note_contradictions(frame: Any) -> Iterator[str]:
    """Yield a sentence for each image or slide that is listed under two patients."""
    for key, what in (("path", "image"), ("slide", "slide")):
        if key not in frame or "patient" not in frame:
            continue
        known = frame[(frame[key] != "") & (frame["patient"] != "")]
        n_patients = known.groupby(key, sort=False)["patient"].transform("nunique")
        mask = (n_patients > 1).reindex(frame.index, fill_value=False)
        if mask.any():
            n = frame[key][mask].nunique()
            plural = quantity(n, f"{what} is", f"{what}s are")
            yield f"{plural} listed under several patients, in {_rows(frame, mask)}"


def _clean_mpp(frame: Any, name: str) -> None:
    """Write µm per pixel as plain numbers; raise an error at the first cell that is none."""
    low, high = MPP_RANGE
    numbers = {"": ""}
    for cell in set(frame["mpp"]) - {""}:
        found = _NUMBER.fullmatch(clean_name(cell))
        value = float(clean_name(cell).replace(",", ".")) if found else None
        if value is None or not low <= value <= high:
            raise ManifestError(
                f"{name}: `mpp` must be a number of µm per pixel from {low:g} to {high:g}, "
                f"got {cell!r}{_first_row(frame, 'mpp', cell)}",
                hint="Write the number alone, such as 0.25, or leave the cell empty if unknown",
            )
        numbers[cell] = str(int(value)) if value.is_integer() else repr(value)
    frame["mpp"] = frame["mpp"].map(numbers)


def _first_row(frame: Any, column: str, cell: str) -> str:
    positions = [i for i, other in enumerate(frame[column]) if other == cell]
    more = f" and {len(positions) - 1:,} more" if len(positions) > 1 else ""
    return f" in row {row_number(frame, positions[0])}{more}"


def _rows(frame: Any, mask: Any) -> str:
    """Return the number of rows, with the first row numbers of a table that was read."""
    positions = np.flatnonzero(np.asarray(mask))
    count = quantity(len(positions), "row")
    if frame.index.name is None:
        return count
    first = [str(row_number(frame, int(position))) for position in positions[: _MOST_SHOWN + 1]]
    return f"{count} ({some(first, _MOST_SHOWN)})"


def check_text(frame: Any, name: str) -> None:
    """Check that all cells can be written to files, without a NUL or half a character."""
    for column, cells in frame.items():
        if is_text("\n".join(map(str, cells))):
            continue
        position = next(n for n, cell in enumerate(cells) if not is_text(str(cell)))
        row = row_number(frame, position)
        raise ManifestError(
            f"{name}: row {row} contains NUL or a lone surrogate, which is not text, in {column!r}",
            hint="Write the cell again, or remove the column",
        )


def check_names(frame: Any, name: str) -> None:
    """Check that a model can be saved with the names of classes and magnifications."""
    for column in {"label", "magnification"} & set(frame):
        odd = {cell for cell in set(frame[column]) if cell and not is_name(cell)}
        if odd:
            row = row_number(frame, int(np.flatnonzero(frame[column].isin(odd))[0]))
            raise ManifestError(
                f"{name}: the {column} of row {row} is {shorten(repr(odd.pop()))}",
                hint="Use a name of at most 1,000 characters, without tabs and line breaks",
            )
