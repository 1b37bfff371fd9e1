"""Folder tree with one subfolder a class, and optionally one a patient below it.

``ROOT/<class>/image.png`` or ``ROOT/<class>/<patient>/…/image.png``; with the option ``layout``,
``ROOT/<patient>/<class>/…/image.png``. Without a patient level every image is its own group: the
run then cannot ensure that no patient crosses a split, and the audit reports that.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eosin.core.errors import DataError
from eosin.core.text import clean_name, some
from eosin.data.sources.base import (
    NOTES,
    DataSetFacts,
    check_options,
    note_counts,
    register,
    take_choice,
)
from eosin.images.references import list_files

_LAYOUTS = ("class/patient", "patient/class")
#: Folders of these names hold the parts of a data set, whose classes lie one level below.
_PARTS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
#: Prefix and number; a long number may have letters (``22549AB``).
_NUMBERED = re.compile(r"(.*?)[\W_]*(\d+|\d{4,}(?!x)[a-z]{1,2})")
_PUNCTUATION = re.compile(r"[\W_]+")
_FEWEST_PATIENTS = 3
#: Least digits of a number that is no class under any prefix.
_PATIENT_DIGITS = 3
_PATIENT_WORDS = frozenset(
    {"p", "pat", "patient", "patients", "pt", "pid", "case", "subject", "subj", "sub", "id"}
    | {"donor", "patient id", "case id", "subject id"}
)
_CLASS_WORDS = frozenset(
    {"class", "cls", "c", "label", "grade", "g", "gleason", "stage", "type", "subtype", "score"}
    | {"level", "cluster", "category", "group", "tissue"}
)


def collect_folder(root: Path, options: Mapping[str, Any]) -> Any:
    """List the images of a class-per-folder tree; ``patient`` is the folder below the class.

    Option ``layout``: ``"class/patient"`` (default) or ``"patient/class"``. Raises DataError if
    there is no class folder, or no image, or the folders are parts or patients.
    """
    check_options("folder", options, ["layout"])
    layout = take_choice(options, "layout", _LAYOUTS[0], _LAYOUTS)
    rows, loose = [], 0
    found = list_files(root)
    for path in found.files:
        above = path.split("/")[:-1]
        if len(above) > _LAYOUTS.index(layout):
            first, second = above[0], above[1] if len(above) > 1 else ""
            rows.append((path, *((first, second) if layout == _LAYOUTS[0] else (second, first))))
        else:
            loose += 1
    if not rows:
        raise DataError(
            ". ".join(
                [f"{root} contains no images in class folders", *note_counts([], found.left_out)]
            ),
            hint=f"Lay them out as ROOT/{'/'.join(f'<{name}>' for name in layout.split('/'))}/"
            "image.png",
        )
    _check_parts(root, rows)
    if "layout" not in options:
        _check_patients_as_classes(root, rows)
        _check_flat_patients(root, rows)
    table = pd.DataFrame(rows, columns=["path", "label", "patient"], dtype=object)
    unknown = sum(not patient for _, _, patient in rows)
    some = "no patient folders" if unknown == len(rows) else f"no patient folder for {unknown:,}"
    table.attrs[NOTES] = [
        *([f"{some}: each such image is its own group"] if unknown else []),
        *note_counts([(loose, "beside the class folders: left out")], found.left_out),
    ]
    return table


def _check_parts(root: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """Raise DataError for folders of parts: alone, or beside others with the same classes."""
    below = defaultdict[str, set[str]](set)
    for _, first, second in rows:
        below[first].add(second)
    parts = sorted(name for name in below if clean_name(name).casefold() in _PARTS)
    shared = set.intersection(*(below[name] for name in parts)) - {""} if parts else set[str]()
    if parts and (len(parts) == len(below) or (len(parts) > 1 and len(shared) > 1)):
        raise DataError(
            f"{root} is divided into {', '.join(parts)}: these are subsets, not classes",
            hint="Name one of them, or write a manifest with the subset in a column split",
        )


def _check_patients_as_classes(root: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """Raise DataError for ``ROOT/<patient>/<class>``: many folders with the same few subfolders."""
    pairs = {(first, second) for _, first, second in rows if second}
    firsts, seconds = sorted({row[1] for row in rows}), sorted({second for _, second in pairs})
    few = 2 <= len(seconds) < len(firsts) and (len(seconds) == 2 or len(firsts) >= 4 * len(seconds))
    if not few or 2 * len(pairs) < len(firsts) * len(seconds):
        return
    raise DataError(
        f"{root} holds {len(firsts)} folders ({some(firsts, 3)}), which all hold the same few "
        f"({some(seconds, 3)}): they look like patients, and these like classes",
        hint="To read it that way: --set data.options.layout=patient/class or keep the folders as "
        "classes: --set data.options.layout=class/patient",
    )


def _check_flat_patients(root: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """Raise DataError for a tree ``ROOT/<patient>``, such as one class's folder of a whole tree."""
    folders = sorted({first for _, first, _ in rows})
    if len({second for _, _, second in rows}) > 1 or not _are_patients(folders):
        return
    above = shlex.quote(f"data.root={root.resolve().parent}")
    raise DataError(
        f"{root} holds {len(folders)} folders ({some(folders, 3)}): they look like patients, not "
        "classes",
        hint=f"If the classes are the folders beside {root.name}, add --set {above}; to keep the "
        "patients' folders as classes, add --set data.options.layout=class/patient",
    )


def _are_patients(names: Sequence[str]) -> bool:
    """Return True if folders are numbered as patients, and not as classes, grades or digits.

    Three or more names consist of one prefix and a number each. The prefix is a word for a
    patient, or all numbers have three digits or more and the prefix is no word for a class.
    """
    found = [_NUMBERED.fullmatch(clean_name(name).casefold()) for name in names]
    matches = [match for match in found if match]
    if len(matches) < max(_FEWEST_PATIENTS, len(names)):
        return False
    prefixes = {_PUNCTUATION.sub(" ", match[1]) for match in matches}
    numbers = [match[2] for match in matches]
    if len(prefixes) > 1:
        return False
    prefix = prefixes.pop()
    if prefix in _PATIENT_WORDS:
        # pT1 to pT4 are stages of tumours.
        return prefix != "pt" or not set(numbers) <= set("01234")
    return prefix not in _CLASS_WORDS and min(map(len, numbers)) >= _PATIENT_DIGITS


register(
    DataSetFacts(
        name="folder", title="Images in one folder per class", licence="unknown", citation="none"
    ),
    collect_folder,
)
