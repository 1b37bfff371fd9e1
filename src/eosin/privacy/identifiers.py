"""Identifiers of patients and images in a set of tables, and their pseudonyms.

Known are the patients, groups, slides, sites, clusters, accessions and images of the tables, and
the parts of paths (folders, file names) that occur for one patient only. In running text only
unmistakable ones are searched for: four characters or more, five digits if a number.
"""

from __future__ import annotations

import html
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from eosin.artifacts.manifest import read_written
from eosin.artifacts.pseudonyms import Pseudonyms
from eosin.core.files import read_file, read_json
from eosin.core.types import SPLITS, ImageReference, change_parts, parts_of

#: Columns of tables and keys of JSON that hold identifiers, with their kind.
IDENTIFYING = {
    "path": "image",
    "image": "image",
    "duplicate_of": "image",
    "patient": "patient",
    "group": "group",
    "group_a": "group",
    "group_b": "group",
    "slide": "slide",
    "site": "site",
    "cluster": "cluster",
    "accession": "accession",
}
#: Columns of a table of images that may be published unchanged; no others may.
HARMLESS = frozenset({
    "label", "subtype", "magnification", "mpp", "modality", "split", "fold", "repeat", "predicted",
    "decision", "abstained", "stain", "reason", "kind", "height", "width", "tissue", "focus",
    "focus_z", "saturation", "ink", "flags",
})  # fmt: skip
#: Those whose values are the data set's own: found in a path, they identify no patient.
_WORDS = ("label", "subtype", "magnification", "split", "predicted")
_LEAST_LETTERS, _LEAST_DIGITS = 4, 5
#: An underscore separates words: ``P0001_A`` holds ``P0001``.
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[\d.,]+")
#: An absolute path, or a relative one of images or a table; a URL is neither.
_PATHS = re.compile(
    r"(?P<web>https?://\S+)"
    r"|(?<![\w.:/~-])(?:[A-Za-z]:[\\/]|~?/|\\\\)[\w.@+-]+(?:[\\/]+[\w.@#+-]+)+"
    r"|(?<![\w.:/~-])(?:[\w.@+-]+/)+[\w@+-][\w.@+-]*"
    r"\.(?:png|jpe|jpe?g|jfif|tiff?|bmp|dib|gif|webp|jp2|j2k|p[gnp]m|"
    r"h5|hdf5|gz|csv|parquet|npy|npz|safetensors)\b(?:#\d+)?"
)


_PICTURE = re.compile(r"data:[a-z]+/[a-z0-9.+-]+;base64,[A-Za-z0-9+/=]*")
#: Fewest characters in the bytes of weights: four letters in a row occur by chance.
_LEAST_IN_BYTES = 6
_PRINTABLE = re.compile(rb"[\x20-\x7e]{%d,}" % _LEAST_IN_BYTES)


class Identifiers:
    """Known identifiers: replaces them by pseudonyms, and finds them in running text."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self._images: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._by_name: dict[str, list[str]] = {}
        self._groups: dict[str, str] = {}
        self._named: dict[str, str] = {}
        #: Part of a path → the one patient (or group) it occurs for, and its pseudonym.
        self._pieces: dict[str, tuple[str | None, str]] = {}
        self._harmless: set[str] = set(SPLITS)
        self._texts: dict[str, str] = {}
        self._lengths: dict[str, list[int]] = {}

    def learn(self, frame: Any, root: Path) -> None:
        """Add the identifiers of a pandas table, whose relative paths start at ``root``.

        Tables with patients and groups come before those with images only.
        """
        for column in _WORDS:
            if column in frame:
                self._harmless.update(map(str, frame[column].unique()))
        columns = [column for column in IDENTIFYING if column in frame]
        for cells in frame[columns].astype(str).to_dict("records"):
            self._learn_row(cells, root)
        self._settle()

    def learn_groups(self, names: Iterable[str]) -> None:
        """Add group names that no table holds any more; call it after the tables are added."""
        for name in names:
            if name and name not in self._groups and self._find(file_of(name)) is None:
                self._groups[name] = self._pseudonyms.of("group", name)
                self._named.setdefault(name, self._groups[name])
        self._settle()

    def _learn_row(self, cells: dict[str, str], root: Path) -> None:
        path, patient, group = (cells.get(key, "") for key in ("path", "patient", "group"))
        unit = patient or group
        for part in filter(None, parts_of(path)):
            self._learn_image(part, self._absolute(part, root), unit)
        for column, value in cells.items():
            kind = IDENTIFYING[column]
            if value and kind not in {"image", "group"}:
                self._named[value] = self._pseudonyms.of(kind, value)
        if group and group not in self._groups:
            # A group that is the patient, or the image itself, keeps that kind.
            kind = "patient" if group == patient else "group"
            is_image = group == path or self._find(file_of(group)) is not None
            self._groups[group] = (
                change_parts(group, lambda part: self.image(part, root))
                if is_image
                else self._pseudonyms.of(kind, group)
            )
            self._named.setdefault(group, self._groups[group])

    def _learn_image(self, cell: str, spelt: str, unit: str) -> None:
        file = file_of(spelt)
        known = self._images.get(file) or (None if unit else self._find(file_of(cell)))
        if known is not None and not unit:
            return
        if known is None:
            known = self._images[file] = self._pseudonyms.of_file("image", file)
            self._by_name.setdefault(PurePosixPath(file).name, []).append(file)
            self._named[file] = known
        place = PurePosixPath(file_of(cell))
        pieces = {place.name: known, place.stem: PurePosixPath(known).stem}
        # An image without patient and group does not identify its folder's owner.
        pieces |= dict.fromkeys(place.parts[:-1] if unit else (), "")
        for piece, pseudonym in pieces.items():
            owner, _ = self._pieces.setdefault(piece, (unit or file, pseudonym))
            if owner != (unit or file):
                self._pieces[piece] = (None, "")

    def _settle(self) -> None:
        """Index the identifiers of running text by their first word."""
        found = {
            piece: pseudonym or self._pseudonyms.of("folder", piece)
            for piece, (owner, pseudonym) in self._pieces.items()
            if owner is not None
        }
        self._texts = {}
        lengths: dict[str, set[int]] = {}
        for text, pseudonym in {**found, **self._named}.items():
            word = _WORD.search(text)
            if word is not None and self._is_telling(text):
                shown = text[word.start() :]
                self._texts[shown] = pseudonym
                lengths.setdefault(word.group(), set()).add(len(shown))
        self._lengths = {word: sorted(found, reverse=True) for word, found in lengths.items()}

    def _is_telling(self, text: str) -> bool:
        """Return True if a text is unmistakable wherever it occurs."""
        if text in self._harmless:
            return False
        if _NUMBER.fullmatch(text):
            return sum(map(str.isdigit, text)) >= _LEAST_DIGITS
        return len(text) >= _LEAST_LETTERS

    def cell(self, kind: str, value: str, root: Path = Path()) -> str:
        """Return the pseudonym of a whole cell of a kind of :data:`IDENTIFYING`; empty stays empty.

        Relative paths start at ``root``, unless they are the end of a known one.
        """
        if kind == "group" and value in self._groups:
            return self._groups[value]
        if kind == "image" or (kind == "group" and self._find(file_of(value)) is not None):
            return change_parts(value, lambda part: self.image(part, root))
        return self._pseudonyms.of(kind, value) if value else ""

    def image(self, cell: str, root: Path = Path()) -> str:
        """Return the pseudonym of an image reference; ``#index`` stays, as it is only an order."""
        image = ImageReference.parse(self._absolute(cell, root))
        known = self._images.get(image.path) or self._find(file_of(cell))
        return str(replace(image, path=known or self._pseudonyms.of_file("image", image.path)))

    def file(self, path: str) -> str:
        """Return the pseudonym of a file or folder other than an image."""
        return self._pseudonyms.of_file("file", path)

    def is_hidden(self, cell: str) -> bool:
        """Return True if each part of a cell is empty or a pseudonym."""
        return all(not part or part in self._pseudonyms for part in parts_of(cell))

    def _absolute(self, cell: str, root: Path) -> str:
        """Return an image reference with an absolute path."""
        image = ImageReference.parse(cell)
        folder, slash, name = image.path.rpartition("/")
        place = str(root / (folder + slash))
        if place not in self._folders:
            # One file system call per folder, not for each of 300,000 files.
            self._folders[place] = Path(os.path.realpath(place)).as_posix().rstrip("/")
        return str(replace(image, path=f"{self._folders[place]}/{name}"))

    def _find(self, file: str) -> str | None:
        """Return the pseudonym of the only image whose path ends in ``file``, else None."""
        tail = re.sub(r"^(?:\.{1,2}/)+", "", file)
        ends = [
            known
            for known in self._by_name.get(PurePosixPath(file).name, ())
            if known == file or known.endswith(f"/{tail}")
        ]
        return self._images[ends[0]] if len(ends) == 1 else None

    def text(self, text: str) -> str:
        """Return running text with identifiers and all paths replaced by pseudonyms."""
        return _PATHS.sub(self._hide_path, self.name(text))

    def name(self, name: str) -> str:
        """Return a name, e.g. of a file, with identifiers replaced by pseudonyms."""
        pieces, end = [], 0
        for start, stop, found in self.find(name):
            pieces += [name[end:start], self._texts[found]]
            end = stop
        return "".join([*pieces, name[end:]])

    def _hide_path(self, match: re.Match[str]) -> str:
        if match["web"] is not None:
            return match.group()
        return self._pseudonyms.of_file("file", match.group())

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield start, end and text of every identifier in running text, the longest first."""
        end = 0
        for word in _WORD.finditer(text):
            start = word.start()
            for length in self._lengths.get(word.group(), ()) if start >= end else ():
                found = text[start : start + length]
                if found in self._texts and _stands_alone(text, start, start + length):
                    end = start + length
                    yield start, end, found
                    break


def file_of(cell: str) -> str:
    """Return the file of an image reference, without the index."""
    return ImageReference.parse(cell).path


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Return True if no letter follows and a number is not part of a larger one."""
    if _WORD.match(text, end) and _WORD.match(text, end - 1):
        return False
    if not _NUMBER.fullmatch(text[start:end]):
        return True
    return not re.match(r"[.,]\d", text[end:]) and not re.search(r"\d[.,]$", text[:start][-2:])


def find_remaining_identifiers(folder: Path, known: Identifiers) -> Iterator[tuple[Path, str]]:
    """Yield every file of a folder that still holds an identifier, with the first one found.

    Searched are file names, cells of tables, keys and text of JSON and TOML, pages without their
    images, and printable text in any other file.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        found = next(_remaining_identifiers(path, known), None) if path.is_file() else None
        found = found or next((text for _, _, text in known.find(name.as_posix())), None)
        if found is not None:
            yield name, found


def _remaining_identifiers(path: Path, known: Identifiers) -> Iterator[str]:
    if path.suffix in {".csv", ".parquet"}:
        yield from _open_cells(read_written(path), known)
    elif path.suffix == ".json":
        yield from _open_values(read_json(path), known)
    least = 0
    texts = _texts(path)
    if texts is None:
        least = _LEAST_IN_BYTES
        texts = (run.group().decode("ascii") for run in _runs(path))
    for text in texts:
        yield from (found for _, _, found in known.find(text) if len(found) >= least)


def _texts(path: Path) -> Iterator[str] | None:
    """Return the texts of a file of a known format, else None."""
    if path.suffix in {".csv", ".parquet"}:
        frame = read_written(path)
        shown = [str(cell) for column in frame for cell in frame[column].unique()]
        return iter([*map(str, frame.columns), *shown])
    if path.suffix == ".json":
        return _strings(read_json(path))
    if path.suffix == ".toml":
        return _strings(tomllib.loads(read_file(path).decode("utf-8")))
    if path.suffix == ".html":
        return iter([html.unescape(_PICTURE.sub("", read_file(path).decode("utf-8")))])
    if path.suffix in {".md", ".txt"}:
        return iter([read_file(path).decode("utf-8")])
    return None


def _runs(path: Path) -> Iterator[re.Match[bytes]]:
    return _PRINTABLE.finditer(read_file(path))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value


def _open_cells(frame: Any, known: Identifiers) -> Iterator[str]:
    """Yield cells of identifying columns that are no pseudonyms, however short."""
    for column in frame:
        if column in IDENTIFYING:
            cells = map(str, frame[column].unique())
            yield from (cell for cell in cells if not known.is_hidden(cell))


def _open_values(value: Any, known: Identifiers, key: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _open_values(item, known, name)
    elif isinstance(value, list):
        for item in value:
            yield from _open_values(item, known, key.removesuffix("s"))
    elif isinstance(value, str) and key in IDENTIFYING and not known.is_hidden(value):
        yield value
