"""Identifiers of patients and images in a set of tables, and their pseudonyms.

Known are the patients, groups, slides, sites, clusters, accessions and images of the tables, and
the parts of paths (folders, file names) that occur for one patient only. Cells and keys are mapped
by their kind, however short. In any other text only unmistakable identifiers are looked for: four
characters or more, five digits if a number.
"""

from __future__ import annotations

import html
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from eosin.artifacts.manifest import read_written
from eosin.artifacts.pseudonyms import Pseudonyms
from eosin.core.files import read_file, read_json
from eosin.core.types import SPLITS, ImageReference, change_parts, parts_of
from eosin.privacy.fields import COLUMNS, KEYS, PIXELS, WORDS

_LEAST_LETTERS, _LEAST_DIGITS = 4, 5
#: A decimal number is one word; an underscore separates words: ``P0001_A`` holds ``P0001``.
_WORD = re.compile(r"\d+(?:[.,]\d+)+(?![^\W_])|[^\W_]+")
#: The beginning of an absolute path; a URL is none.
_PATH = re.compile(r"(?<![\w.:/~-])(?:[A-Za-z]:[\\/]|~?/|\\\\)[\w.@+-]+[\\/]")
_PICTURE = re.compile(r"data:[a-z]+/[a-z0-9.+-]+;base64,[A-Za-z0-9+/=]*")
#: Runs of text in bytes, such as those of ONNX, where four letters in a row occur by chance.
_LEAST_IN_BYTES = 6
_PRINTABLE = re.compile(rb"(?:[ -~]|[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}){6,}")


class Identifiers:
    """Known identifiers: maps them to pseudonyms, and finds them in text."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        #: Absolute path → pseudonym, and file name → absolute paths.
        self._images: dict[str, str] = {}
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._folders: dict[str, str] = {}
        self._names: dict[str, set[str]] = defaultdict(set)
        #: Part of a path → the patients (or groups, or images) that it occurs for.
        self._pieces: dict[str, set[str]] = defaultdict(set)
        self._words: set[str] = set(SPLITS)
        #: Unmistakable identifiers, and their lengths by their first word.
        self._texts: set[str] = set()
        self._lengths: dict[str, set[int]] = {}

    def learn(self, frame: Any, root: Path) -> None:
        """Add the identifiers of a pandas table, whose relative paths start at ``root``.

        Tables with patients and groups come before those with images only.
        """
        for column in frame:
            if column in WORDS:
                self._words.update(map(str, frame[column].unique()))
            elif COLUMNS.get(column, "image") != "image":
                self._names[column].update(map(str, frame[column].unique()))
        columns = [column for column in ("path", "patient", "group") if column in frame]
        for cells in frame[columns].astype(str).to_dict("records"):
            unit = cells.get("patient") or cells.get("group", "")
            for part in filter(None, parts_of(cells.get("path", ""))):
                self._learn_image(ImageReference.parse(part).path, root, unit)
        self.learn_groups(())

    def learn_groups(self, names: Iterable[str]) -> None:
        """Add names of groups, whether or not a table holds them."""
        self._names["group"].update(names)
        pieces = {piece for piece, units in self._pieces.items() if len(units) == 1}
        self._texts, self._lengths = set(), defaultdict(set)
        for name in pieces.union(self._images, *self._names.values()) - self._words:
            text = unicodedata.normalize("NFC", name)
            word = _WORD.search(text)
            if word is not None and _is_telling(text):
                self._texts.add(text[word.start() :])
                self._lengths[word.group()].add(len(text) - word.start())

    def _learn_image(self, file: str, root: Path, unit: str) -> None:
        if not unit and self._known(file, root):
            return
        place, path = PurePosixPath(file), self._absolute(file, root)
        if path not in self._images:
            self._images[path] = self._pseudonyms.of_file("image", path)
            self._by_name[place.name].append(path)
        # An image without patient and group does not identify its folder's owner.
        for piece in (place.name, place.stem, *(place.parts[:-1] if unit else ())):
            self._pieces[piece].add(unit or path)

    def cell(self, kind: str, value: str, root: Path = Path()) -> str:
        """Return the pseudonym of a whole cell of a kind; empty stays empty.

        A group that is a patient or an image has that one's. Relative paths start at ``root``,
        unless they are the end of a known one; ``#index`` stays, as it is only an order.
        """
        if kind == "group":
            files = (ImageReference.parse(part).path for part in parts_of(value))
            is_image = any(self._known(file, root) for file in files)
            kind = "image" if is_image else "patient" if value in self._names["patient"] else kind
        if kind == "image":
            return change_parts(value, lambda part: self._image(part, root))
        return self._pseudonyms.of(kind, value) if value else ""

    def _image(self, cell: str, root: Path) -> str:
        image = ImageReference.parse(cell)
        path = self._known(image.path, root) or self._pseudonyms.of_file(
            "image", self._absolute(image.path, root)
        )
        return str(replace(image, path=path))

    def _absolute(self, file: str, root: Path) -> str:
        folder, slash, name = file.rpartition("/")
        place = str(root / (folder + slash))
        if place not in self._folders:
            # One file system call per folder, not for each of 300,000 files.
            self._folders[place] = Path(os.path.realpath(place)).as_posix().rstrip("/")
        return f"{self._folders[place]}/{name}"

    def _known(self, file: str, root: Path) -> str | None:
        """Return the pseudonym of a known image, or of the only one whose path ends so."""
        ends = [self._absolute(file, root)]
        if ends[0] not in self._images:
            tail = re.sub(r"^(?:\.{1,2}/)+", "/", f"./{file}")
            named = self._by_name.get(tail.rpartition("/")[2], ())
            ends = [path for path in named if path.endswith(tail)]
        return self._images[ends[0]] if len(ends) == 1 else None

    def file(self, path: str) -> str:
        """Return the pseudonym of a file or folder other than an image."""
        return self._pseudonyms.of_file("file", path)

    def text(self, text: str) -> str:
        """Return a text, or a pseudonym in its place if it holds an identifier or a path."""
        if text in self._words or not (self.find(text) or _PATH.search(text)):
            return text
        return self._pseudonyms.of("text", text)

    def find(self, text: str, least: int = 0) -> str | None:
        """Return the first identifier of ``least`` characters or more in a text; None if none."""
        text = unicodedata.normalize("NFC", text)
        for word in _WORD.finditer(text):
            for length in self._lengths.get(word.group(), ()):
                end = word.start() + length
                found = text[word.start() : end]
                # The identifier ends where a word does.
                is_cut = found[-1:].isalnum() and text[end : end + 1].isalnum()
                if found in self._texts and not is_cut and length >= least:
                    return found
        return None

    def is_hidden(self, cell: str) -> bool:
        """Return True if each part of a cell is empty or a pseudonym."""
        return all(not part or part in self._pseudonyms for part in parts_of(cell))


def _is_telling(text: str) -> bool:
    """Return True if a text is unmistakable wherever it occurs."""
    if re.fullmatch(r"[\d.,]+", text):
        return sum(map(str.isdigit, text)) >= _LEAST_DIGITS
    return len(text) >= _LEAST_LETTERS


def find_remaining_identifiers(folder: Path, known: Identifiers) -> Iterator[tuple[Path, str]]:
    """Yield every file of a folder that still holds an identifier, with the first one found.

    Searched are file names, cells of tables, keys and text of JSON, pages without their images,
    the header of weights, and printable text in any other file.
    """
    for path in sorted(folder.rglob("*")):
        found = known.find(path.relative_to(folder).as_posix())
        for key, text, least in _texts(path) if path.is_file() and not found else ():
            found = text if key in KEYS and not known.is_hidden(text) else known.find(text, least)
            if found is not None:
                break
        if found is not None:
            yield path.relative_to(folder), found


def _texts(path: Path) -> Iterator[tuple[str, str, int]]:
    """Yield texts of a file, each with its column or key, and the length of what to look for."""
    if path.suffix in {".csv", ".parquet"}:
        frame = read_written(path)
        for column in map(str, frame):
            yield "", column, 0
            if column in COLUMNS or pd.to_numeric(frame[column], errors="coerce").isna().any():
                yield from ((column, str(cell), 0) for cell in frame[column].unique())
    elif path.suffix == ".json":
        yield from ((key, text, 0) for key, text in _strings(read_json(path)))
    elif path.suffix in {".html", ".md", ".toml", ".txt"}:
        yield "", html.unescape(_PICTURE.sub("", read_file(path).decode("utf-8"))), 0
    elif path.suffix == ".safetensors":
        data = read_file(path)
        end = 8 + int.from_bytes(data[:8], "little")
        yield "", data[8:end].decode("utf-8", "replace"), 0
    else:
        for run in _PRINTABLE.finditer(read_file(path)):
            yield "", run.group().decode("utf-8", "ignore"), _LEAST_IN_BYTES


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield key[3:] if key.startswith("by_") else "", str(name)
            yield from _strings(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, key.removesuffix("s"))
    elif isinstance(value, str) and key not in PIXELS:
        yield key, value
