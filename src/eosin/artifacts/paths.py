r"""Image paths in tables, matched to the names of files.

Windows writes ``train\0\a.png``, macOS stores ``ü`` in another Unicode form than most programs
write it, and cells may have surrounding blanks. Only cells that may differ from the file's name
for such a reason are looked up, each folder once; plain paths cost no file access.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eosin.artifacts.tables import row_number
from eosin.core.errors import ManifestError
from eosin.core.text import clean_name, quantity
from eosin.core.types import ImageReference, change_parts, parts_of

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
#: Number of paths that are checked for a difference in case between table and files.
_LOOKED_AT = 9
_BLANK_INDEX = re.compile(r"#\s*([0-9]+)\s*$")
_Listing = dict[str, set[str]]


def resolve_paths(frame: Any, root: Path, name: str) -> list[str]:
    """Replace, in place, the paths of a table by the names of the files.

    Returns:
        Sentences on what was changed.

    Raises:
        ManifestError: A path has a drive letter or is a web address, or all checked paths differ
            from their files in case.
    """
    _check_forms(frame, name)
    listings: dict[Path, _Listing] = {}
    cells = list(frame["path"])
    found = [cell if _is_plain(cell) else _resolve_cell(root, cell, listings) for cell in cells]
    _check_case(frame, root, found, name)
    frame["path"] = found
    pairs = zip(cells, found, strict=True)
    n = sum(cell.count("\\") > new.count("\\") for cell, new in pairs)
    return [f"column 'path': '\\' read as '/' ({quantity(n, 'row')})"] if n else []


def plain_path(cell: str) -> str:
    """Return a path in one form: no surrounding blanks, slashes, composed Unicode (NFC)."""
    return clean_name(cell).replace("\\", "/")


def _is_plain(cell: str) -> bool:
    """Return True if a cell can only be the file of exactly this name."""
    return cell.isascii() and "\\" not in cell and " /" not in cell and cell == cell.strip()


def _check_forms(frame: Any, name: str) -> None:
    """Reject absolute paths of Windows, elsewhere, and web addresses."""
    for position, cell in enumerate(frame["path"]):
        if ":" not in cell and not cell.lstrip().startswith("\\\\"):
            continue
        for part in map(clean_name, parts_of(cell)):
            row = row_number(frame, position)
            if _ADDRESS.match(part):
                raise ManifestError(
                    f"{name}: row {row}: {part!r} is a URL, but a file path is needed",
                    hint="Write paths of files on this machine, relative to the table",
                )
            if _DRIVE.match(part) and os.name != "nt":
                raise ManifestError(
                    f"{name}: row {row}: {part!r} starts with a Windows drive, which does not "
                    "exist on this system",
                    hint="Write paths relative to the table, such as images/a.png",
                )


def _resolve_cell(root: Path, cell: str, listings: dict[Path, _Listing]) -> str:
    def resolve(part: str) -> str:
        image = ImageReference.parse(_BLANK_INDEX.sub(r"#\1", part))
        return str(replace(image, path=_resolve(root, image.path, listings)))

    return change_parts(cell, resolve)


def _resolve(root: Path, file: str, listings: dict[Path, _Listing]) -> str:
    """Return a path spelled like its file; of an absent file, without blanks and backslashes."""
    stripped = clean_name(file)
    spellings = dict.fromkeys((file, stripped, stripped.replace("\\", "/")))
    for spelling in spellings:
        found = _look_up(root, spelling, listings, _composed)
        found = found or _look_up(root, spelling, listings, clean_name)
        if found is not None:
            return found
    return stripped if os.name == "nt" else stripped.replace("\\", "/")


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _look_up(
    root: Path, file: str, listings: dict[Path, _Listing], key: Callable[[str], str]
) -> str | None:
    """Return the name of the file whose path components have these keys; None without one.

    Where a folder has several names of one key, one of them must match exactly.
    """
    folder, names = (root / "/", file[1:]) if file.startswith("/") else (root, file)
    found: list[str] = []
    for part in names.split("/"):
        name = part
        if part not in {"", ".", ".."}:
            listing = _list_folder(folder, listings, key)
            known = listing.get(key(part), set())
            if not known or (part not in known and len(known) > 1):
                return None
            name = part if part in known else next(iter(known))
        found.append(name)
        folder = folder / name
    return ("/" if file.startswith("/") else "") + "/".join(found)


def _list_folder(
    folder: Path, listings: dict[Path, _Listing], key: Callable[[str], str]
) -> _Listing:
    place = folder / f"\0{key.__name__}"
    if place not in listings:
        listing: _Listing = {}
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names alone
        except OSError:
            names = []
        for name in names:
            listing.setdefault(key(name), set()).add(name)
        listings[place] = listing
    return listings[place]


def _check_case(frame: Any, root: Path, cells: list[str], name: str) -> None:
    """Reject a table whose checked paths exist only in another case."""
    some = range(0, len(cells), max(1, len(cells) // _LOOKED_AT))
    firsts = [(i, next(filter(None, parts_of(cells[i])), "")) for i in some]
    files = [(i, ImageReference.parse(first).path) for i, first in firsts]
    # Unlike Path.exists, no error if a name is too long for a file.
    if not files or any(os.path.exists(root / file) for _, file in files):  # noqa: PTH110
        return
    listings: dict[Path, _Listing] = {}
    for position, file in files:
        found = _look_up(root, file, listings, _folded)
        if found is not None:
            raise ManifestError(
                f"{name}: row {row_number(frame, position)}: {file!r} does not exist; the file is "
                f"called {found!r}",
                hint="Write paths in the same case as the file names: this file system is "
                "case-sensitive",
            )


def _folded(text: str) -> str:
    return clean_name(text).casefold()
