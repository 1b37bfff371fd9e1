"""Reading of images for a store: hash, decode, fit; on a few threads, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eosin.core.errors import ImageError
from eosin.core.files import sha256_file
from eosin.core.threads import map_threads
from eosin.images.cache.index import NONE, FileState, ImageState, Item, Key, StoreSettings
from eosin.images.failures import isolated
from eosin.images.hashes import hash_pixels
from eosin.images.limits import read_limits

Decode = Callable[[Path, int | None], npt.NDArray[Any]]
Fit = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
#: Size and time of the last change.
Stat = tuple[int, int]

#: Tasks that are begun before the first is used: each holds rows.
_AHEAD = 8
#: Largest number of images in a task, and of bytes of their rows.
_TASK_IMAGES = 16
_TASK_BYTES = 1 << 20
_TRIES = 3
#: Age below which a file may change again within one tick of its clock.
_CLOCK_NS = 2_000_000_000


@dataclass(frozen=True)
class Reading:
    """Result of reading one image.

    Attributes:
        key: Key of the image.
        file: Its file's state; None if the image is not to be remembered.
        image: Its state, with a row if its content has one already.
        fitted: The values of its new row; None if it needs none.
    """

    key: Key
    file: FileState | None
    image: ImageState
    fitted: npt.NDArray[Any] | None = None


def stat_file(file: str) -> Stat | None:
    """Return size and modification time; None if the file is absent."""
    try:
        found = Path(file).stat()
    except (OSError, ValueError):  # of a name that no file can have
        return None
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class HashedFile:
    """A file whose bytes were read.

    Attributes:
        stat: Before and after.
        state: State for the index.
    """

    stat: Stat
    state: FileState


def hash_file(file: str) -> HashedFile | None:
    """Hash a file; None if it cannot be read or changes meanwhile."""
    for _ in range(_TRIES):
        before = stat_file(file)
        try:
            content = sha256_file(Path(file))
        except OSError:
            return None
        if before is not None and stat_file(file) == before:
            size, mtime_ns = before
            is_settled = abs(time.time_ns() - mtime_ns) > _CLOCK_NS
            return HashedFile(before, FileState(size, mtime_ns if is_settled else NONE, content))
    return None


@dataclass(frozen=True)
class Reader:
    """Reader of images.

    Attributes:
        settings: Format of a row.
        decode: From a file to an image.
        fit: From an image to a row.
        known: Images that have a row, by content and index.
        hashed: Containers, hashed beforehand.
    """

    settings: StoreSettings
    decode: Decode
    fit: Fit
    known: Mapping[tuple[str, int], ImageState]
    hashed: Mapping[str, HashedFile | None]

    def read(self, key: Key, item: Item) -> Reading:
        """Read one image; a failure goes into the reading's reason."""
        try:
            return self._read(key, item)
        except MemoryError:
            return _refused(key, f"{item.file} needs more memory than is free")

    def _read(self, key: Key, item: Item) -> Reading:
        for _ in range(_TRIES):
            if (before := stat_file(key[0])) is None:
                return _refused(key, f"{item.file} does not exist")
            try:
                if item.index is None:  # else a terabyte is hashed before it is refused
                    read_limits().check_file(item.file, before[0])
            except ImageError as error:
                return _refused(key, str(error))
            hashed = self.hashed[key[0]] if key[0] in self.hashed else hash_file(key[0])
            if hashed is None:
                return _refused(key, self._why_unreadable(item))
            state = hashed.state
            if (found := self.known.get((state.content, key[1]))) is not None:
                return Reading(key, state, found)
            reading = self._decode(key, item, state)
            # Otherwise the hash would be of other bytes than those that were decoded.
            if stat_file(key[0]) == hashed.stat:
                return reading
        return _refused(key, f"{item.file} changes while it is read")

    def _decode(self, key: Key, item: Item, state: FileState) -> Reading:
        pixels = None
        try:
            with isolated(item.file):
                image = self.decode(item.file, item.index)
                pixels = hash_pixels(image)
                fitted = np.ascontiguousarray(self.fit(image))
        except ImageError as error:
            return Reading(key, state, ImageState(state.content, None, str(error), pixels))
        if fitted.shape != self.settings.shape or fitted.dtype != self.settings.dtype:
            raise ValueError(
                f"{item.cell}: the store holds {self.settings.dtype} {self.settings.shape}, "
                f"got {fitted.dtype} {fitted.shape}"
            )
        return Reading(key, state, ImageState(state.content, None, None, pixels), fitted)

    def _why_unreadable(self, item: Item) -> str:
        """Return the decoder's reason for a file whose bytes cannot be read."""
        try:
            with isolated(item.file):
                self.decode(item.file, item.index)
        except ImageError as error:
            return str(error)
        return f"{item.file} changes while it is read"


def _refused(key: Key, reason: str) -> Reading:
    return Reading(key, None, ImageState("", None, reason, None))


def read_all(reader: Reader, todo: Mapping[Key, Item]) -> Iterator[Reading]:
    """Read images on a few threads with bounded memory; yields in the order of reading.

    That is the order of ``todo``, but a container's images as they lie in it: in any other order,
    each would unpack the hundreds that are packed with it.
    """
    size = max(1, min(_TASK_IMAGES, _TASK_BYTES // reader.settings.row_bytes))
    files = {name: place for place, name in enumerate(dict.fromkeys(name for name, _ in todo))}
    keys = sorted(todo, key=lambda key: (files[key[0]], key[1]))

    def work(start: int) -> list[Reading]:
        return [reader.read(key, todo[key]) for key in keys[start : start + size]]

    for readings in map_threads(work, range(0, len(keys), size), ahead=_AHEAD):
        yield from readings
