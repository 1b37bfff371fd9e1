"""Bring images into a store, each once, and open it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from eosin.core.errors import ImageError
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
from eosin.images.cache.index import NONE, Entry, Index, Item, Key, StoreSettings
from eosin.images.cache.reading import (
    Decode,
    Fit,
    HashedFile,
    Reader,
    Stat,
    hash_file,
    read_all,
    stat_file,
)
from eosin.images.cache.store import ImageStore
from eosin.images.cache.writing import StoreWriter, open_index
from eosin.images.failures import isolated


def fill_store(
    items: Sequence[Item],
    settings: StoreSettings,
    *,
    decode: Decode,
    fit: Fit,
    folder: Path | None = None,
    flush_s: float | None = None,
) -> tuple[ImageStore, list[Entry]]:
    """Open the store of some images, after reading those that it does not hold yet.

    A file is read again only where its size or its time of change is another than before, and
    decoded again only where its bytes are. What could not be read is tried again every time: the
    limits may have been raised, or the reason was the machine's.

    Args:
        items: N images, at least one.
        settings: What an image looks like in the store.
        decode: From a file and an index inside it to an image; raises ``ImageError``. Called on
            several threads.
        fit: From a decoded image to one of the settings' shape and dtype; raises ``ImageError``.
        folder: Where stores lie; ``images`` in the cache folder by default.
        flush_s: Seconds after which what was read is brought to the disk, see
            :class:`~eosin.images.cache.writing.StoreWriter`.

    Returns:
        The open store, and what became of each item, in their order.

    Raises:
        OutputError: The disk is full, or the cache cannot be written. What was read is kept.
        ValueError: There are no items, or ``fit`` gave another shape or dtype.
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
    """What is asked for.

    Attributes:
        keys: Of each item, in order.
        items: By key, each once.
        stats: Of each file; nothing where it is absent.
        root: The deepest folder that holds all files.
    """

    keys: list[Key]
    items: dict[Key, Item]
    stats: dict[str, Stat | None]
    root: str

    @classmethod
    def of(cls, items: Sequence[Item]) -> Request:
        """Look at every file once."""
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
        """Tell what is known, and which images are new or may have changed."""
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
            # Asked every time: an absent file may be there the next time.
            return Entry(None, f"{self.items[key].file} does not exist", None, None)
        state = index.files.get(key[0])
        if state is None or (state.size, state.mtime_ns) != stat:
            return None
        known = index.find(key, state.content)
        return known.entry() if known is not None else None


def _find_mended(
    request: Request, found: Mapping[Key, Entry], decode: Decode, fit: Fit
) -> list[Key]:
    """Return the images that were refused once and can be read now; nothing is written for it."""
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
    writer: StoreWriter,
    request: Request,
    mended: Iterable[Key],
    decode: Decode,
    fit: Fit,
) -> dict[Key, Entry]:
    """Read what is not there, though another process may have read it while this one waited."""
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
    """Hash each file of many images once; one that is as it was when it was hashed, not at all."""
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
    # The last use; a cache that may only be read has none.
    with suppress(OSError):
        os.utime(place.description)
    return store
