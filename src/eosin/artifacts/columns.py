"""Columns of a user's table: image reference, class, patient and group.

A column with a name close to ``patient`` (``patient_id``, ``Patient``, ``case``, ``subject``) must
not be overlooked: the split would be made by image, and one patient's images would be in both the
training and the test subset without anybody noticing.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eosin.artifacts.tables import row_number
from eosin.core.errors import ManifestError, close_matches
from eosin.core.text import clean_name, is_unknown, listing

_ENDING = r"(s|(id|ids|no|nr|num|number|code|key|uid|uuid|identifier|name|names|index|barcode))*"
_NEAR = {
    "path": r"(image|img|file|full|rel|relative|tile|patch|picture|photo|slide)?"
    r"(path|file|filename|image|img|filepath|imagepath|fname|uri|url|location|picture)",
    "label": r"(true|image|class|gold|gt)?(label|class|target|diagnosis|category|dx|y|groundtruth|"
    r"gt|tumou?rtype|histology|outcome)",
    "patient": r"(pseudo|anon|bcr|tcga)?(patient|patienten|subject|case|participant|donor|proband|"
    r"person|individual|pat|pt|pid|mrn|subj|mouse|animal|(study|record)(?=id|no|nr|num))(submitter)?",
    "group": r"(group|grp)",
    # A slide is less than a patient, but one that crosses a split is still a leak.
    "slide": r"(slide|wsi|specimen|sample|biopsy|block)",
}
#: Most rows above the header: titles, dates of an export.
_MOST_TITLES = 10
_SEPARATOR = re.compile(r"[,;|\t]")
_PATTERNS = {key: re.compile(rf"(id)?{words}{_ENDING}") for key, words in _NEAR.items()}


@dataclass(frozen=True)
class Columns:
    """The columns of a user's table.

    Attributes:
        group: The column of the unit that must not cross a split.
        independent: True if the user declares images to be independent, whatever the columns are
            called.
        in_recipe: True if hints name the keys of a recipe, not the options of a command.
    """

    path: str = "path"
    patient: str = "patient"
    group: str = "group"
    independent: bool = False
    in_recipe: bool = False

    def option(self, key: str, column: str) -> str:
        """Return the option or key that selects a column."""
        if self.in_recipe:
            return f"--set {shlex.quote(f'data.{key}={column}')}"
        return f"--{key} {shlex.quote(column)}"

    @property
    def independence(self) -> str:
        """Option that declares the images independent."""
        return "--set data.split.by=image" if self.in_recipe else "--independent"


def take_columns(frame: Any, columns: Columns | None, label: str, name: str) -> list[str]:
    """Copy, in place, the user's columns to the column names that Eosin reads.

    Returns:
        Sentences on columns with information on the images that are not used.

    Raises:
        ManifestError: A column is missing, or one with a name close to ``patient`` or ``group``
            would be overlooked.
    """
    mapped = {"path": columns.path if columns else "path", "label": label}
    if columns:
        own = {"patient": columns.patient, "group": columns.group}
        mapped |= {key: column for key, column in own.items() if column != key}
    mapped = {key: clean_name(column) for key, column in mapped.items()}
    # Without labels, as for a prediction, both keys name one column.
    keys = {column: key for key, column in reversed(mapped.items()) if column not in frame}
    if missing := {key: column for column, key in reversed(keys.items())}:
        raise _missing(frame, columns, missing, name)
    cells = {key: frame[column] for key, column in mapped.items()}
    for key, series in cells.items():
        frame[key] = series
    if columns is None or columns.independent:
        return []
    _check_passed_over(frame, columns, name)
    if _is_filled(frame, "patient") or _is_filled(frame, "group") or not _repeats(frame, "slide"):
        return []
    return [
        "no patient or group is known, and images of one slide count as independent; "
        f"{columns.option('group', 'slide')} keeps them together"
    ]


def _missing(
    frame: Any, columns: Columns | None, missing: dict[str, str], name: str
) -> ManifestError:
    """Return the error that names all missing columns, with what to type for all of them."""
    known = [str(one) for one in frame.columns]
    near = {key: find_near(key, known) if column == key else [] for key, column in missing.items()}
    unclear = next((key for key, found in near.items() if not found), None)
    if unclear is not None and (row := _find_header(frame, unclear, missing[unclear])) is not None:
        hint = f"Row {row} looks like the header: remove the rows above it"
    elif unclear is not None and missing[unclear] != unclear:  # the user's own choice
        missing, hint = {unclear: missing[unclear]}, close_matches(missing[unclear], known)
    else:
        patients = find_near("patient", known)
        if columns and not columns.independent and "patient" not in frame and patients:
            missing, near = {**missing, "patient": "patient"}, {**near, "patient": patients}
        hint = _name_columns(columns, near)
        if unclear is not None:
            matches = close_matches(unclear, known)
            hint = f"{matches}{'' if matches.endswith('?') else '.'} Name the right one: {hint}"
        else:
            hint = f"Add {hint}" if columns else hint[0].upper() + hint[1:]
    names = listing(map(repr, missing.values()))
    what = f"columns {names} are" if len(missing) > 1 else f"column {names} is"
    return ManifestError(f"{name}: the {what} missing", hint=hint)


def _name_columns(columns: Columns | None, near: dict[str, list[str]]) -> str:
    """Return the options that select the nearest columns, or how to rename them."""
    if columns is not None:
        return " ".join(columns.option(key, [*one, "COLUMN"][0]) for key, one in near.items())
    old = [f"the column {one[0]!r}" if one else "one" for one in near.values()]
    return f"rename {listing(f'{a} to {b!r}' for a, b in zip(old, near, strict=True))}"


def _find_header(frame: Any, key: str, column: str) -> int | None:
    """Return the number of the first row below the header with the names of columns, if any."""
    for position, cells in enumerate(frame.head(_MOST_TITLES).to_numpy()):
        # Below a title without separators, a row is one cell.
        names = [clean_name(name) for cell in cells for name in _SEPARATOR.split(str(cell))]
        if column in names or (find_near(key, names) and find_near("label", names)):
            return row_number(frame, position)
    return None


def find_near(key: str, columns: Iterable[str]) -> list[str]:
    """Return the columns whose names mean nearly the same as ``key``, the nearest first."""
    near = [column for column in columns if _PATTERNS[key].fullmatch(_key(column))]
    return sorted(near, key=lambda column: not _key(column).startswith(key))


def _key(column: str) -> str:
    """Return a column's name without case, accents and punctuation."""
    plain = unicodedata.normalize("NFKD", column).casefold()
    return "".join(char for char in plain if char.isalnum() and char.isascii())


def _check_passed_over(frame: Any, columns: Columns, name: str) -> None:
    """Check that no column of patients or groups is overlooked."""
    has_patients, has_groups = _is_filled(frame, "patient"), _is_filled(frame, "group")
    filled = [str(column) for column in frame if _is_filled(frame, column)]
    independent = f"{columns.independence} if the images are independent"
    if not has_patients and (near := find_near("patient", filled)):
        either = "" if has_groups else f", or {independent}"
        raise _passed_over(
            frame, name, "patient", near, columns.option("patient", near[0]) + either
        )
    if has_groups or columns.group != "group":
        return
    other = independent
    if has_patients:
        other = f"{columns.option('group', 'patient')} to keep all images of a patient together"
    near = find_near("group", filled)
    if not near and not has_patients:
        # No split is drawn outside a recipe, and the column `slide` is read.
        ours = () if columns.in_recipe else ("slide",)
        near = find_near("slide", [c for c in filled if c not in ours and _repeats(frame, c)])
    if near:
        raise _passed_over(
            frame, name, "group", near, f"{columns.option('group', near[0])}, or {other}"
        )


def _is_filled(frame: Any, column: str) -> bool:
    return column in frame and not all(is_unknown(str(cell)) for cell in set(frame[column]))


def _repeats(frame: Any, column: str) -> bool:
    return _is_filled(frame, column) and frame[column].nunique() < len(frame)


def _passed_over(frame: Any, name: str, key: str, near: list[str], hint: str) -> ManifestError:
    lack = "an empty column" if key in frame and len(frame) else "no column"
    unit = "slide" if find_near("slide", near[:1]) else key
    return ManifestError(
        f"{name}: the table has {lack} {key!r}, but a column {' and '.join(map(repr, near[:3]))}; "
        f"without it, images of one {unit} could be in several subsets",
        hint=f"Add {hint}",
    )
