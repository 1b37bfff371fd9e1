"""Image references of a table, a command line or a folder tree, and the list of unreadable images.

A folder tree is listed by names alone, 220,000 files in about a second, none of them opened.
Training, prediction and checks all see the files that this walk returns.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eosin.artifacts.manifest import write_table
from eosin.core.errors import DataError, ImageError
from eosin.core.text import printable, quantity
from eosin.core.types import STACKED, ImageReference, Samples, is_container, parts_of
from eosin.images.containers import count_items
from eosin.images.decode import IMAGE_SUFFIXES

#: End of the reason of an absent image.
_ABSENT = "does not exist"
#: Most images of one container that are listed: their names alone take 120 bytes each.
_MOST_LISTED = 2_000_000
Skipped = list[tuple[str, str]]
#: Files and folders of operating systems without a leading dot, in lower case.
_SYSTEM_NAMES = frozenset(
    {"__macosx", "$recycle.bin", "system volume information", "@eadir", "lost+found"}
    | {"thumbs.db", "desktop.ini"}
)
#: Characters of a name with another meaning in a manifest's column ``path``.
_RESERVED = {"#": "an image inside a file", STACKED: "the images of a stack"}
_NO_ENDING = "no ending"
#: Most endings that one line names; the rest are counted together.
_MOST_ENDINGS = 6
_HIDDEN_FILE, _HIDDEN_FOLDER = "hidden file", "hidden folder"
_REPEATED = "link to a folder listed already"
_PLURALS = {
    _HIDDEN_FILE: "hidden files",
    _HIDDEN_FOLDER: "hidden folders",
    _REPEATED: "links to folders listed already",
}


def without(samples: Samples, skipped: Skipped) -> Samples:
    """Return the samples that can be read, all images of a stack; raises DataError if none can."""
    if not skipped:
        return samples
    unreadable = {path for path, _ in skipped}
    cells = samples.frame["path"]
    keep = np.array([unreadable.isdisjoint(parts_of(cell)) for cell in cells], dtype=bool)
    if not keep.any():
        absent = all(reason.endswith(_ABSENT) for _, reason in skipped)
        raise DataError(
            f"no image can be read ({len(samples)} tried): {skipped[0][1]}",
            hint=f"Paths are relative to {samples.root}: are the images there?" if absent else None,
        )
    return samples.where(keep)


def write_skipped(path: Path, skipped: Skipped) -> None:
    """Write ``skipped.csv``; if everything was read, only over the list of an earlier call."""
    if skipped or path.exists():
        write_table(path, pd.DataFrame(skipped, columns=["path", "reason"]))


@dataclass(frozen=True)
class ImageList:
    """Single images that paths stand for."""

    cells: list[str]  # image references
    skipped: Skipped  # folders and containers that cannot be listed, each with its reason
    left_out: Counter[str]  # numbers of files that were left out, by reason or ending


def list_images(paths: Iterable[Path]) -> ImageList:
    """Expand files, folders and containers into single images.

    Folders are walked as for training; an h5 or idx file stands for all its images, ``file#index``
    for one of them. Raises DataError if nothing was found.
    """
    given = list(paths)
    found = ImageList([], [], Counter())
    for path in given:
        if path.is_dir():
            below = walk_folder(path)
            found.cells.extend(str(path / file) for file in below.files)
            found.skipped.extend(
                (folder, f"the folder cannot be listed: {reason}")
                for folder, reason in below.unlisted
            )
            found.left_out.update(below.left_out)
        else:
            _expand(path, found)
    if not found.cells:
        raise _nothing_found(given, found)
    return found


def _nothing_found(given: list[Path], found: ImageList) -> DataError:
    where = ", ".join(str(path) for path in given)
    reasons = [f"{folder}: {reason}" for folder, reason in found.skipped[:1]]
    reasons += filter(None, [describe_left_out(found.left_out)])
    hint = f"Files ending in {', '.join(sorted(IMAGE_SUFFIXES))} are read"
    if any(map(is_container, found.left_out)):
        hint = "Files of many images are read if they are named themselves, not their folder"
    return DataError(". ".join([f"no image file was found in {where}", *reasons]), hint=hint)


def _expand(path: Path, found: ImageList) -> None:
    if not (is_container(path) and path.is_file()):
        # An absent file is listed with the unreadable ones, so that a batch is finished.
        found.cells.append(str(path))
        return
    try:
        count = count_items(path)
    except ImageError:
        count = 1  # listed with its reason when it is read
    if count > _MOST_LISTED:
        reason = f"{path} contains {count:,} images; at most {_MOST_LISTED:,} per file are listed"
        found.skipped.append((str(path), f"{reason}: list the ones you need in a table"))
    else:
        found.cells.extend(str(ImageReference(str(path), str(i))) for i in range(count))


@dataclass(frozen=True)
class Listing:
    """Files below a folder, and what the walk left out."""

    files: list[str]  # relative to the folder, with forward slashes, sorted
    unlisted: list[tuple[str, str]]  # full path and reason of folders that cannot be listed
    left_out: Counter[str]  # by reason, or by ending for files of other types


def walk_folder(root: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> Listing:
    """Walk a folder tree for files with lower-case ``suffixes``.

    Hidden files and folders are left out, and those of operating systems. Links to folders are
    followed; each real folder is listed once, under its own name if it has one below ``root``.
    """
    walk = _Walk(tuple(suffixes))
    # Links wait until all real folders are listed.
    links = [(str(root), "")]
    while links:
        folder, lead = links.pop(0)
        links += walk.add(folder, lead)
    return Listing(sorted(walk.files), walk.unlisted, walk.left_out)


def list_files(root: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> Listing:
    """Walk a folder tree whose files go into a manifest; see :func:`walk_folder`.

    Raises DataError if a folder cannot be listed, or a name cannot stand in a manifest.
    """
    found = walk_folder(root, suffixes)
    if found.unlisted:
        folder, reason = found.unlisted[0]
        raise DataError(f"the folder {folder} cannot be listed: {reason}")
    for path in found.files:
        for mark, meaning in _RESERVED.items():
            if mark in path:
                raise DataError(
                    f"{root / path} has a {mark!r} in its name, which means {meaning} in a "
                    "manifest",
                    hint="Rename it",
                )
        check_text(root / path)
    return found


def check_text(path: Path) -> None:
    """Raise DataError for a path that is not UTF-8, which no table can contain."""
    if printable(path) != str(path):
        raise DataError(
            f"{path} has a name that is not UTF-8, which no table can contain", hint="Rename it"
        )


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return one line on the files that a walk left out; empty if there are none.

    Example:
        ``Ignored: 3 hidden files, 1 hidden folder; other file types: 2 .heic, 1 .svs``
    """
    reasons = [quantity(left_out[key], key, _PLURALS[key]) for key in _PLURALS if left_out.get(key)]
    endings = Counter({key: n for key, n in left_out.items() if key not in _PLURALS})
    types = [f"{n:,} {key}" for key, n in sorted(endings.items(), key=lambda one: (-one[1], one))]
    if len(types) > _MOST_ENDINGS:
        rest = endings.total() - sum(sorted(endings.values(), reverse=True)[:_MOST_ENDINGS])
        types = [*types[:_MOST_ENDINGS], f"{rest:,} others"]
    parts = [", ".join(reasons)] if reasons else []
    if types:
        parts.append(f"other file types: {', '.join(types)}")
    return f"Ignored: {'; '.join(parts)}" if parts else ""


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


class _Walk:
    def __init__(self, endings: tuple[str, ...]) -> None:
        self.files: list[str] = []
        self.unlisted: list[tuple[str, str]] = []
        self.left_out: Counter[str] = Counter()
        self._endings = endings
        self._seen: set[tuple[int, int]] = set()

    def add(self, top: str, lead: str) -> list[tuple[str, str]]:
        """List a folder and the real ones below it; return links to folders, not yet followed.

        ``lead`` stands before the names in it: empty, or ending in a slash.
        """
        links: list[tuple[str, str]] = []
        todo = [(top, lead)]
        while todo:
            folder, lead = todo.pop()
            for entry in self._enter(folder):
                place = (entry.path, f"{lead}{entry.name}/")
                if not _is_folder(entry):
                    self._add_file(entry, lead)
                elif _is_hidden(entry.name):
                    self.left_out[_HIDDEN_FOLDER] += 1
                else:
                    (links if entry.is_symlink() else todo).append(place)
        return sorted(links)

    def _enter(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            state = os.stat(folder)  # noqa: PTH116 (hundreds of thousands of folders)
            if (state.st_dev, state.st_ino) in self._seen:
                self.left_out[_REPEATED] += 1
                return
            self._seen.add((state.st_dev, state.st_ino))
            with os.scandir(folder) as entries:
                yield from entries
        except OSError as error:
            self.unlisted.append((folder, error.strerror or str(error)))

    def _add_file(self, entry: os.DirEntry[str], lead: str) -> None:
        name = entry.name
        if _is_hidden(name):
            self.left_out[_HIDDEN_FILE] += 1
        elif not name.lower().endswith(self._endings):
            self.left_out[_ending(name)] += 1
        else:
            # Of whatever kind: reading it names what is no file, or is not there.
            self.files.append(lead + name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _ending(name: str) -> str:
    return printable(os.path.splitext(name)[1].lower()) or _NO_ENDING  # noqa: PTH122
