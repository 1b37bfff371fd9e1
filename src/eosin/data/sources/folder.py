"""Folder tree of images, whose folders name classes and patients.

Layouts, by the option ``layout``:

``class/patient``
    ``ROOT/<class>/image.png`` or ``ROOT/<class>/<patient>/…/image.png``; the default.
``patient/class``
    ``ROOT/<patient>/<class>/…/image.png``.
``split/class``
    ``ROOT/<split>/<class>/image.png``, also with a patient's folder below; splits are ``train``,
    ``val`` and ``test``.
``flat``
    ``ROOT/<class>_<image>.png`` or ``ROOT/<class>_<patient>_<image>.png``.

Where the patient is unknown every image is its own group: the run then cannot ensure that no
patient crosses a split, and the audit reports that.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from eosin.core.errors import DataError
from eosin.core.text import clean_name, some
from eosin.data.sources.base import (
    NOTES,
    DataSetFacts,
    check_options,
    count_images,
    note_counts,
    register,
    take_choice,
)
from eosin.images.references import list_files

_LAYOUTS = ("class/patient", "patient/class", "split/class", "flat")
#: Folders of these names are splits, whose classes lie one level below.
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
#: Parts of a file's name, of which the first is its class.
_WORDS = re.compile(r"[\s_\-.]+")
_LETTERS = re.compile(r"[^\W\d_]+")
#: Most classes, and fewest images of each, that names of files may give.
_MOST_NAMED, _FEWEST_NAMED = 20, 2
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


@dataclass(frozen=True)
class _Row:
    """An image, with what its path says of it."""

    path: str
    label: str
    patient: str = ""
    split: str = ""


def collect_folder(root: Path, options: Mapping[str, Any]) -> Any:
    """List the images of a folder tree as the option ``layout`` says.

    Raises DataError if there is no image, or the names of the folders do not fit the layout.
    """
    check_options("folder", options, ["layout"])
    layout = take_choice(options, "layout", _LAYOUTS[0], _LAYOUTS)
    found = list_files(root)
    rows = _read_rows(found.files, layout)
    if not rows:
        raise DataError(
            ". ".join(
                [f"{root} contains no images in class folders", *note_counts([], found.left_out)]
            ),
            hint=_SHAPES[layout],
        )
    if "layout" not in options:
        _check_splits(root, rows)
        _check_patients_as_classes(root, rows)
        _check_flat_patients(root, rows)
    columns = ["path", "label", "patient", *(["split"] if layout == "split/class" else [])]
    values = [[getattr(row, column) for column in columns] for row in rows]
    table = pd.DataFrame(values, columns=columns, dtype=object)
    unknown, loose = sum(not row.patient for row in rows), len(found.files) - len(rows)
    # Where nothing names a patient, and where some images lack one.
    absent = "no patient folders" if unknown == len(rows) else f"no patient folder for {unknown:,}"
    table.attrs[NOTES] = [
        *([f"{absent}: each such image is its own group"] if unknown else []),
        *note_counts([(loose, "beside the class folders: left out")], found.left_out),
    ]
    return table


#: Hints by layout.
_SHAPES = {
    "class/patient": "Lay them out as ROOT/<class>/<patient>/image.png",
    "patient/class": "Lay them out as ROOT/<patient>/<class>/image.png",
    "split/class": "Lay them out as ROOT/train/<class>/image.png and ROOT/test/<class>/image.png",
    "flat": "Name them <class>_<patient>_<image>.png",
}


def _read_rows(files: Sequence[str], layout: str) -> list[_Row]:
    """Return the images whose paths fit a layout."""
    if layout == "flat":
        return _read_names([path for path in files if "/" not in path])
    rows = []
    for path in files:
        first, second, third, *_ = [*path.split("/")[:-1], "", "", ""]
        if layout == "class/patient" and first:
            rows.append(_Row(path, first, second))
        elif layout == "patient/class" and second:
            rows.append(_Row(path, second, first))
        elif layout == "split/class" and second and _split_of(first):
            rows.append(_Row(path, second, third, _split_of(first)))
    return rows


def _split_of(folder: str) -> str:
    return _SPLITS.get(clean_name(folder).casefold(), "")


def _read_names(files: Sequence[str]) -> list[_Row]:
    """Read classes, and where every name has three words patients, from the names of files.

    Returns:
        Nothing where the names give a single class, or too many.
    """
    words = {path: _WORDS.split(PurePosixPath(path).stem.strip()) for path in files}
    labels = {
        path: match[0] for path in files if (match := _LETTERS.match(words[path][0])) is not None
    }
    sizes = Counter(labels.values())
    is_clear = 2 <= len(sizes) <= _MOST_NAMED and min(sizes.values()) >= _FEWEST_NAMED
    if not is_clear or len(labels) < len(files):
        return []
    middle = {path: one[1] for path, one in words.items() if len(one) == 3}
    is_patient = len(middle) == len(files) and len(set(middle.values())) < len(files)
    return [_Row(path, labels[path], middle[path] if is_patient else "") for path in files]


def recognise_layout(root: Path) -> str:
    """Return the layout of a folder of images, one of the option's values.

    Raises:
        DataError: There is no image, or nothing names their classes.
    """
    found = list_files(root)
    if not found.files:
        raise DataError(
            ". ".join([f"{root} contains no images", *note_counts([], found.left_out)]),
            hint="Name a folder with one folder per class, or a table of images and their classes",
        )
    rows = _read_rows(found.files, "class/patient")
    if not rows:
        if _read_names(found.files):
            return "flat"
        raise DataError(
            f"{root} contains {count_images(len(found.files))} in one folder, and their names give "
            "no classes",
            hint="Move them into one folder per class, or write a table with the columns path, "
            "label and patient",
        )
    if _are_splits(rows):
        return "split/class"
    if _are_patients_above(rows):
        return "patient/class"
    if patients := _find_flat_patients(rows):
        raise DataError(
            f"{root} contains {len(patients)} folders ({some(patients, 3)}): they look like "
            "patients, not classes",
            hint=f"If the classes are the folders beside {root.name}, name the folder above: "
            f"{shlex.quote(str(root.resolve().parent))}; to keep the patients' folders as classes, "
            "add --set data.options.layout=class/patient",
        )
    return "class/patient"


def _are_splits(rows: Sequence[_Row]) -> bool:
    """Return True for folders of splits: alone, or beside others with the same classes."""
    below = defaultdict[str, set[str]](set)
    for row in rows:
        below[row.label].add(row.patient)
    splits = sorted(name for name in below if _split_of(name))
    shared = set.intersection(*(below[name] for name in splits)) - {""} if splits else set[str]()
    is_alone = len(splits) == len(below)
    return bool(splits) and (is_alone or (len(splits) > 1 and len(shared) > 1))


def _check_splits(root: Path, rows: Sequence[_Row]) -> None:
    """Raise DataError for folders of splits."""
    if _are_splits(rows):
        names = sorted({row.label for row in rows if _split_of(row.label)})
        raise DataError(
            f"{root} is divided into {', '.join(names)}: these are subsets, not classes",
            hint="Name one of them, or read them as subsets: --set data.options.layout=split/class "
            "--set data.split.protocol=column",
        )


def _are_patients_above(rows: Sequence[_Row]) -> bool:
    """Return True for ``ROOT/<patient>/<class>``: many folders with the same few subfolders."""
    pairs = {(row.label, row.patient) for row in rows if row.patient}
    firsts, seconds = {row.label for row in rows}, {second for _, second in pairs}
    few = 2 <= len(seconds) < len(firsts) and (len(seconds) == 2 or len(firsts) >= 4 * len(seconds))
    return few and 2 * len(pairs) >= len(firsts) * len(seconds)


def _check_patients_as_classes(root: Path, rows: Sequence[_Row]) -> None:
    """Raise DataError for folders of patients that hold folders of classes."""
    if not _are_patients_above(rows):
        return
    firsts = sorted({row.label for row in rows})
    seconds = sorted({row.patient for row in rows if row.patient})
    raise DataError(
        f"{root} contains {len(firsts)} folders ({some(firsts, 3)}), which all contain the same "
        f"few folders ({some(seconds, 3)}): they look like patients, and the "
        "inner ones like classes",
        hint="To read it that way: --set data.options.layout=patient/class or keep the folders as "
        "classes: --set data.options.layout=class/patient",
    )


def _find_flat_patients(rows: Sequence[_Row]) -> list[str]:
    """Return the folders of a tree ``ROOT/<patient>``, such as one class's of a whole tree."""
    folders = sorted({row.label for row in rows})
    has_one_level = len({row.patient for row in rows}) == 1
    return folders if has_one_level and _are_patients(folders) else []


def _check_flat_patients(root: Path, rows: Sequence[_Row]) -> None:
    """Raise DataError for folders of patients without classes."""
    folders = _find_flat_patients(rows)
    if not folders:
        return
    above = shlex.quote(f"data.root={root.resolve().parent}")
    raise DataError(
        f"{root} contains {len(folders)} folders ({some(folders, 3)}): they look like patients, "
        "not classes",
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
