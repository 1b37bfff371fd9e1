"""Registry of data sets for a recipe's ``data.dataset``, and the facts that each declares."""

from __future__ import annotations

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from eosin.artifacts.columns import Columns
from eosin.artifacts.tables import NOTES as NOTES
from eosin.artifacts.tables import read_table
from eosin.core.errors import DataError, RecipeError, UsageError, close_matches
from eosin.core.places import expand_path
from eosin.core.registry import Registry
from eosin.core.text import clean_name, quantity, some
from eosin.core.types import ImageReference, Samples
from eosin.data.download.source import SOURCES, Source
from eosin.images.references import describe_left_out

#: Environment variable that names the folder of all data sets.
DATA_VARIABLE = "EOSIN_DATA"
#: Names of folders without a class: parts and magnifications.
_NEUTRAL = re.compile(r"train(ing)?|val(id(ation)?)?|test(ing)?|fold[ _-]?\d+|\d+x?", re.IGNORECASE)


@dataclass(frozen=True)
class Count:
    """Published number of images of the complete data set."""

    images: int
    label: str = ""  # its class; empty for all
    part: str = ""  # its part, see :attr:`DataSetFacts.parts`; empty for the whole


@dataclass(frozen=True)
class DataSetFacts:
    """Declared facts of a data set, for ``environment.json`` and the report."""

    name: str
    title: str
    licence: str
    citation: str
    modality: str = "brightfield"  # ``brightfield`` or ``fluorescence``
    positive: str | None = None  # the positive class of its binary task, if it has one
    simulated: bool = False  # True if the images are simulated
    classes: tuple[str, ...] = ()  # its labels; empty if they are taken from the files
    #: The published numbers of images; :mod:`eosin.data.sources.catalogue` compares.
    counts: tuple[Count, ...] = ()
    parts: str = "split"  # the column with the published part of an image
    #: What the channels show, in order; empty if unknown.
    channels: tuple[str, ...] = ("R", "G", "B")
    mpp: float | None = None  # µm per pixel, if it is one value for all
    homepage: str | None = None  # where it is described

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        values = asdict(self)
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}


@dataclass(frozen=True)
class DataSet:
    """A registered data set."""

    facts: DataSetFacts
    #: From its root folder and its options to a manifest table (see
    #: :mod:`eosin.artifacts.manifest`), paths relative to the root. Oddities that are no errors
    #: are sentences under ``table.attrs[NOTES]``, with the files that the walk left out.
    collect: Callable[[Path, Mapping[str, Any]], Any]
    needs_root: bool = True  # False for the phantom, which makes its own folder
    #: The path of any of its files from a folder above; the group ``root`` is the data set's own
    #: folder. None if nothing in the names distinguishes it.
    layout: re.Pattern[str] | None = None


DATASETS: Registry[DataSet] = Registry("data set", "eosin.datasets")


def register(
    facts: DataSetFacts,
    collect: Callable[[Path, Mapping[str, Any]], Any],
    source: Source | None = None,
    *,
    needs_root: bool = True,
    layout: str = "",
) -> None:
    """Register a data set and its download source, if it has one; see :class:`DataSet`.

    ``layout`` is the pattern of a file below the data set's folder, without regard to case.
    """
    pattern = re.compile(rf"(?P<root>(?:.*?/)??){layout}", re.IGNORECASE) if layout else None
    DATASETS.add(facts.name, DataSet(facts, collect, needs_root, pattern))
    if source is not None:
        SOURCES.add(facts.name, source)


def declared_facts(name: str, options: Mapping[str, Any]) -> DataSetFacts:
    """Return the facts of a data set; the option ``channels`` replaces its channels."""
    facts = DATASETS.get(name).facts
    channels = options.get("channels")
    return replace(facts, channels=tuple(channels)) if channels else facts


def find_root(name: str, root: str | None) -> Path:
    """Return a data set's folder: the recipe's ``data.root``, else ``$EOSIN_DATA/<name>``.

    ``$NAME`` and ``~`` expand. Raises DataError if neither is given, or the folder does not exist.
    """
    if root is not None:
        folder = expand_path(root)
        if "$" in str(folder):
            raise DataError(
                f"data.root is {root!r}, but that environment variable is not set",
                hint="Set it, or give the folder: --set data.root=FOLDER",
            )
    elif base := os.environ.get(DATA_VARIABLE):
        folder = expand_path(base) / name
    else:
        raise DataError(
            f"the folder of the data set {name!r} is not known",
            hint=f"Set ${DATA_VARIABLE}, or give the folder: --set data.root=FOLDER",
        )
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        elsewhere = f"Set ${DATA_VARIABLE}, or give" if root is None else "Give"
        raise DataError(
            f"the folder {folder} of the data set {name!r} {what}",
            hint=f"{elsewhere} the folder: --set data.root=FOLDER",
        )
    return folder.resolve()


def collect_samples(
    name: str,
    root: Path,
    options: Mapping[str, Any],
    *,
    label: str,
    positive: str | None,
    columns: Columns | None = None,
    allow_one_class: bool = False,
) -> Samples:
    """List the samples of a registered data set below ``root``, with its own ``options``.

    ``label`` is the column of the class; ``positive`` is by default the data set's own, if
    ``label`` is; ``columns`` say where patient and group are, by default the data set's own.
    """
    from eosin.artifacts.manifest import make_samples

    dataset = DATASETS.get(name)
    table = dataset.collect(root, options)
    own, labels = dataset.facts.positive, set(table["label"])
    if positive is None and label == "label" and own in labels and len(labels) == 2:
        positive = own
    return make_samples(
        table,
        root=root,
        label=label,
        positive=positive,
        name=name,
        columns=columns,
        allow_one_class=allow_one_class,
    )


def check_options(name: str, options: Mapping[str, Any], known: Collection[str] = ()) -> None:
    """Raise UsageError for an option that the data set does not have."""
    for key in options:
        if not known:
            raise UsageError(f"{name} takes no options, got {key!r}")
        if key not in known:
            raise RecipeError(
                f"'data.options.{key}': {name} has no such option", hint=close_matches(key, known)
            )


def take_text(options: Mapping[str, Any], key: str, default: str) -> str:
    """Return an option that must be a text; raises RecipeError otherwise, or if it is empty."""
    value = options.get(key, default)
    if not isinstance(value, str) or not value:
        raise RecipeError(f"'data.options.{key}' must be a text, got {value!r}")
    return value


def take_choice(
    options: Mapping[str, Any], key: str, default: str, choices: Collection[str]
) -> str:
    """Return an option that must be one of a few; raises RecipeError otherwise."""
    value = take_text(options, key, default)
    if value not in choices:
        raise RecipeError(
            f"'data.options.{key}' must be one of {', '.join(choices)}, got {value!r}",
            hint=close_matches(value, choices),
        )
    return value


def take_texts(options: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return an option that must be a list of texts, empty by default; raises RecipeError."""
    value = options.get(key, ())
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        example = ",".join(f'"{item}"' for item in (value if isinstance(value, list) else [value]))
        raise RecipeError(
            f"'data.options.{key}' must be a list of texts, got {value!r}",
            hint=f"Write it as a list: {shlex.quote(f'data.options.{key}=[{example}]')}",
        )
    return tuple(value)


def take_file(root: Path, options: Mapping[str, Any], key: str, default: str) -> Path:
    """Return the file that an option names, from ``root``; ``$NAME`` and ``~`` expand.

    Raises RecipeError if the option is given, but there is no such file.
    """
    file = root / expand_path(take_text(options, key, default))
    if key in options and not file.is_file():
        raise RecipeError(f"'data.options.{key}': there is no file {file}")
    return file


def check_foreign_folders(
    name: str, root: Path, paths: Iterable[str], known: re.Pattern[str], classes: str
) -> None:
    """Raise DataError for folders that divide the images otherwise than the data set's own tree.

    A data set that takes class and patient from file names would ignore the classes in the names of
    such folders: two side by side that neither match ``known``, the folders of its own tree, nor
    name a part or a magnification. ``paths`` start from ``root``.
    """
    beside: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        above = path.split("/")[:-1]
        for depth, folder in enumerate(above):
            if not (known.fullmatch(folder) or _NEUTRAL.fullmatch(folder)):
                beside["/".join(above[:depth])].add(folder)
    foreign = next((sorted(names) for _, names in sorted(beside.items()) if len(names) > 1), None)
    if foreign is not None:
        raise DataError(
            f"{root} contains the folders {some(foreign, 3)}, which do not belong to {name}: its "
            f"classes {classes} are read from the file names, and the folders would be ignored",
            hint="Read the folders as classes: --set data.dataset=folder or give the data "
            "set's own tree: --set data.root=FOLDER",
        )


def read_text_table(path: Path, needed: Collection[str]) -> Any:
    """Read a table of a data set as text, see :func:`eosin.artifacts.tables.read_table`.

    The names in the ``needed`` columns are cleaned, paths are left as written. Raises DataError if
    it is absent, no table, empty, or lacks a column.
    """
    table = read_table(path)
    for column in needed:
        if column not in table:
            columns = [str(known) for known in table.columns]
            raise DataError(
                f"the table {path} has no column {column!r}", hint=close_matches(column, columns)
            )
        if column != "path":
            table[column] = table[column].map(clean_name)
    if len(table) == 0:
        raise DataError(f"the table {path} has no rows")
    return table.reset_index(drop=True)


def note_counts(
    counts: Iterable[tuple[int, str]], left_out: Mapping[str, int] | None = None
) -> list[str]:
    """Return a sentence for each number of images that is not 0, and one on files left out."""
    notes = [f"{count_images(count)} {what}" for count, what in counts if count]
    return [*notes, *filter(None, [describe_left_out(left_out or {})])]


def note_differences(
    images: Iterable[str], files: Iterable[str], table: str, whose: str = ""
) -> list[str]:
    """Return sentences on table rows without a file, and on files without a row."""
    named, there = [ImageReference.parse(image).path for image in images], set(files)
    absent = [file for file in named if file not in there]
    such = f"of {table} missing, such as {min(absent)}" if absent else ""
    counts = [
        (len(absent), such),
        (len(there.difference(named)), f"{whose}not in {table}: left out"),
    ]
    return note_counts(counts)


def count_images(count: int) -> str:
    """Format a number of images: ``1 image``, ``12,000 images``."""
    return quantity(count, "image")
