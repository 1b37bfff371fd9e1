"""Filling of a store: each image is read once, on a few threads: hashed, decoded, fitted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eosin.core.errors import ImageError
from eosin.core.files import sha256_file
from eosin.core.progress import progress_bar
from eosin.core.threads import map_threads
from eosin.images.cache.folders import (
    Marker,
    StoreFolder,
    common_root,
    folder_of,
    stores_folder,
    write_alone,
)
from eosin.images.cache.index import (
    NONE,
    Entry,
    FileState,
    ImageState,
    Index,
    Item,
    Key,
    StoreSettings,
)
from eosin.images.cache.store import ImageStore, Reading, StoreWriter, open_index
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


def fill_store(
    items: Sequence[Item],
    settings: StoreSettings,
    *,
    decode: Decode,
    fit: Fit,
    folder: Path | None = None,
    flush_s: float | None = None,
) -> tuple[ImageStore, list[Entry]]:
    """Open the store of some images, at least one, after reading those that it lacks.

    A file is read again only if its size or modification time has changed, and decoded again only
    if its bytes have. Unreadable files are tried again every time: the limits may have been raised,
    or the cause may have been the machine.

    ``decode`` makes an image from a file and an index inside it, on several threads; ``fit`` makes
    one of the settings' shape and dtype of it; both raise ``ImageError``. ``folder`` is that of all
    stores, by default ``images`` in the cache folder; for ``flush_s`` see
    :class:`~eosin.images.cache.store.StoreWriter`.

    Returns the open store, and the entry of each item, in their order. Raises OutputError for a
    full disk or a cache that cannot be written (what was read is kept), ValueError if there are no
    items or ``fit`` gave another shape or dtype.
    """
    if not items:
        raise ValueError("a store is filled with at least one image")
    request = Request.of(items)
    place = request.find_folder(stores_folder(folder), settings)
    marker = Marker(place.marker)
    try:
        index = open_index(place, settings)
        found, todo = request.look_up(index or Index())
        mended = _find_mended(request, found, decode, fit)
        if index is None or todo or mended:
            with (
                write_alone(place.lock),
                StoreWriter(place, settings, request.root, flush_s) as writer,
            ):
                found = _read_missing(writer, request, mended, decode, fit)
            index = writer.index
        return _open(place, settings, index), [found[key] for key in request.keys]
    finally:
        marker.release()


@dataclass(frozen=True)
class Request:
    """Requested images."""

    keys: list[Key]  # of each item, in order
    items: dict[Key, Item]  # by key, each once
    stats: dict[str, Stat | None]  # of each file; None if it is absent
    root: str  # the deepest folder that holds all files

    @classmethod
    def of(cls, items: Sequence[Item]) -> Request:
        """Return the request for items, with the state of every file."""
        names: dict[Path, str] = {}
        keys: list[Key] = []
        for item in items:
            if item.file not in names:
                names[item.file] = os.path.abspath(item.file)  # noqa: PTH100 (keeps links)
            keys.append((names[item.file], NONE if item.index is None else item.index))
        stats = {name: stat_file(name) for name in dict.fromkeys(names.values())}
        return cls(keys, dict(zip(keys, items, strict=True)), stats, common_root(stats))

    def find_folder(self, base: Path, settings: StoreSettings) -> StoreFolder:
        """Return the store for the common folder, or one above it that holds these files."""
        own = folder_of(base, settings, self.root)
        if own.index.exists() or not self.root:
            return own
        for parent in Path(self.root).parents:
            wider = folder_of(base, settings, str(parent))
            if wider.index.exists():
                index = open_index(wider, settings)
                if index is not None and any(name in index.files for name in self.stats):
                    return wider
        return own

    def look_up(self, index: Index) -> tuple[dict[Key, Entry], dict[Key, Item]]:
        """Return the known images, and those that are new or may have changed."""
        found: dict[Key, Entry] = {}
        todo: dict[Key, Item] = {}
        for key, item in self.items.items():
            entry = self._find(index, key)
            if entry is None:
                todo[key] = item
            else:
                found[key] = entry
        return found, todo

    def _find(self, index: Index, key: Key) -> Entry | None:
        stat = self.stats[key[0]]
        if stat is None:
            # Checked every time: an absent file may be there the next time.
            return Entry(None, f"{self.items[key].file} does not exist", None, None)
        state = index.files.get(key[0])
        if state is None or (state.size, state.mtime_ns) != stat:
            return None
        known = index.find(key, state.content)
        return known.entry() if known is not None else None


def _find_mended(
    request: Request, found: Mapping[Key, Entry], decode: Decode, fit: Fit
) -> list[Key]:
    """Return images that were unreadable once and can be read now; nothing is written."""
    refused = [key for key, entry in found.items() if entry.row is None and entry.content]

    def is_readable(key: Key) -> bool:
        item = request.items[key]
        try:
            with isolated(item.file):
                fit(decode(item.file, item.index))
        except ImageError:
            return False
        return True

    readable = map_threads(is_readable, refused)
    return [key for key, is_mended in zip(refused, readable, strict=True) if is_mended]


def _read_missing(
    writer: StoreWriter, request: Request, mended: Iterable[Key], decode: Decode, fit: Fit
) -> dict[Key, Entry]:
    """Read missing images, except those that another process has read meanwhile."""
    found, todo = request.look_up(writer.index)
    for key in mended:
        if key in found and found[key].row is None:
            todo[key] = request.items[key]
    # What has a row already was most likely only touched.
    writer.check_space(sum(key not in writer.index.images for key in todo))
    hashed = _hash_containers(todo, request.stats, writer.index)
    reader = Reader(writer.settings, decode, fit, writer.known, hashed)
    with progress_bar("Reading images") as advance:
        for done, reading in enumerate(read_all(reader, todo), start=1):
            found[reading.key] = writer.add(reading).entry()
            advance(done, len(todo))
    return found


def _hash_containers(
    todo: Mapping[Key, Item], stats: Mapping[str, Stat | None], index: Index
) -> dict[str, HashedFile | None]:
    """Hash each container once, and an unchanged one not at all."""
    hashed: dict[str, HashedFile | None] = {}
    new: list[str] = []
    for name in dict.fromkeys(name for name, position in todo if position != NONE):
        state, stat = index.files.get(name), stats[name]
        if state is not None and stat == (state.size, state.mtime_ns):
            hashed[name] = HashedFile(stat, state)
        else:
            new.append(name)
    return hashed | dict(zip(new, map_threads(hash_file, new), strict=True))


def _open(place: StoreFolder, settings: StoreSettings, index: Index) -> ImageStore:
    store = ImageStore(place, index.token, index.n_rows, settings)
    # The last use; a read-only cache has none.
    with suppress(OSError):
        os.utime(place.description)
    return store


def stat_file(file: str) -> Stat | None:
    """Return size and modification time; None if the file is absent."""
    try:
        found = Path(file).stat()
    except (OSError, ValueError):  # of a name that no file can have
        return None
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class HashedFile:
    """A file whose bytes were read."""

    stat: Stat  # before and after
    state: FileState  # state for the index


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
    """Reader of images."""

    settings: StoreSettings  # format of a row
    decode: Decode  # from a file to an image
    fit: Fit  # from an image to a row
    known: Mapping[tuple[str, int], ImageState]  # images that have a row, by content and index
    hashed: Mapping[str, HashedFile | None]  # containers, hashed beforehand

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
                    read_limits().check_bytes(item.file, before[0], packed=False)
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
        return _refused(key, f"{item.file} changed while it was read")

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
                f"{item.cell}: the store contains {self.settings.dtype} {self.settings.shape}, "
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
        return f"{item.file} changed while it was read"


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
