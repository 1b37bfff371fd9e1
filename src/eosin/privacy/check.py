"""The last look at what is to leave: does any identifier stand in any of its files?"""

from __future__ import annotations

import html
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eosin.artifacts.manifest import read_written
from eosin.core.files import read_file, read_json
from eosin.privacy.identifiers import IDENTIFYING, Identifiers

_PICTURE = re.compile(r"data:[a-z]+/[a-z0-9.+-]+;base64,[A-Za-z0-9+/=]*")
#: Among the random bytes of weights, four letters in a row come by chance.
_LEAST_IN_BYTES = 6
_PRINTABLE = re.compile(rb"[\x20-\x7e]{%d,}" % _LEAST_IN_BYTES)


def find_remnants(folder: Path, known: Identifiers) -> Iterator[tuple[Path, str]]:
    """Yield every file of a folder that holds an identifier, with the first that it holds.

    Looked at are the names of files, the cells of tables, keys and text of JSON and TOML, pages
    without their pictures, and whatever reads as text in any other file.

    Args:
        folder: What is to leave.
        known: The identifiers that must not be in it.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        found = next(_remnants(path, known), None) if path.is_file() else None
        found = found or next((text for _, _, text in known.find(name.as_posix())), None)
        if found is not None:
            yield name, found


def _remnants(path: Path, known: Identifiers) -> Iterator[str]:
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
    """Return the texts of a file whose form is known, else nothing."""
    if path.suffix in {".csv", ".parquet"}:
        frame = read_written(path)
        told = [str(cell) for column in frame for cell in frame[column].unique()]
        return iter([*map(str, frame.columns), *told])
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
    """Yield the cells of identifying columns that are no pseudonyms, however short."""
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
