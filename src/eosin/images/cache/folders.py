"""Folders of stores: file names and locks of each, their list, their removal."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from eosin.artifacts.versioned import VersionedDocument, read_document, write_document
from eosin.core.errors import ArtifactError, OutputError
from eosin.core.files import explain_os_errors
from eosin.core.places import cache_folder
from eosin.images.cache.index import StoreSettings, read_index

_LOG = logging.getLogger(__name__)

#: Hint for a cache that cannot be written, which no ``-o`` changes.
ELSEWHERE = "Set EOSIN_CACHE to a writable folder"
_WAITING = "Waiting for another process that reads the same images"
_DOOMED = ".cleared-"


class StoreDocument(VersionedDocument):
    """Description of a store, ``store.json``; its modification time is the store's last use."""

    root: str  # the folder that holds all its files
    shape: tuple[int, int, int]  # H, W, C of an image
    dtype: str  # of its values
    reading: dict[str, Any]  # other settings that change the pixels
    created: str  # UTC, ISO 8601


@dataclass(frozen=True)
class StoreFolder:
    """Folder of one store."""

    #: The folder. Its locks lie beside it: a lock that is removed with the folder would leave a
    #: waiting process with a lock that no other process sees.
    path: Path

    @property
    def description(self) -> Path:
        """Description of the store."""
        return self.path / "store.json"

    @property
    def index(self) -> Path:
        """Table of files and rows."""
        return self.path / "index.parquet"

    @property
    def lock(self) -> Path:
        """Lock of the one process that writes."""
        return self.path.with_name(f"{self.path.name}.lock")

    @property
    def marker(self) -> Path:
        """Shared lock of every process that has the store open."""
        return self.path.with_name(f"{self.path.name}.use")

    def pixels(self, token: str) -> Path:
        """Return the file of the rows; a store that is rebuilt gets another token."""
        return self.path / f"pixels-{token}.bin"

    def read_description(self) -> StoreDocument:
        """Read ``store.json``; raises ``ArtifactError`` if it is absent or damaged."""
        return read_document(self.description, StoreDocument)

    def write_description(self, settings: StoreSettings, root: str) -> None:
        """Write ``store.json``; raises ``OutputError`` if that fails."""
        document = StoreDocument(
            root=root,
            shape=settings.shape,
            dtype=settings.dtype,
            reading=json.loads(settings.as_text())["reading"],
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_document(self.description, document)


def stores_folder(folder: Path | None) -> Path:
    """Return the folder of stores: ``folder``, else ``images`` in the cache folder."""
    return Path(folder) if folder is not None else cache_folder() / "images"


def common_root(files: Iterable[str]) -> str:
    """Return the deepest folder that holds all files; empty if they lie on several drives."""
    parents = {os.path.dirname(file) for file in files}  # noqa: PTH120 (100,000 of them)
    try:
        return os.path.commonpath(parents)
    except ValueError:
        return ""


def folder_of(base: Path, settings: StoreSettings, root: str) -> StoreFolder:
    """Return the folder of the store for one root and one set of settings."""
    digest = hashlib.sha256(f"{settings.as_text()}\n{root}".encode()).hexdigest()
    return StoreFolder(base / digest[:16])


if sys.platform != "win32":
    import fcntl


@contextmanager
def write_alone(path: Path) -> Iterator[None]:
    """Hold a store's exclusive lock; raises OutputError if the folder does not support locks."""
    lock = _make_lock(path)
    with explain_os_errors("lock", path, hint=ELSEWHERE):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _LOG.info(_WAITING)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make_lock(path: Path) -> FileLock:
    with explain_os_errors("make", path.parent, hint=ELSEWHERE):
        path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


class Marker:
    """Shared lock of an open store; filelock has only exclusive ones.

    Its file is made if possible; without one in a read-only folder, nothing is locked.
    """

    def __init__(self, path: Path) -> None:
        self._handle = _open(path)
        if self._handle is not None and sys.platform != "win32":
            # On a file system without such locks nobody can check them, either.
            with suppress(OSError):
                fcntl.flock(self._handle, fcntl.LOCK_SH)

    def release(self) -> None:
        """Release the lock."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                os.close(handle)

    def __del__(self) -> None:
        # A store that is dropped without being closed is no longer in use.
        self.release()


def _open(path: Path) -> int | None:
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, flags, 0o666)
    return None


@contextmanager
def own(lock: Path, marker: Path) -> Iterator[bool]:
    """Try to lock a store exclusively; yield True if no process writes it or has it open.

    Raises OutputError if the folder does not support locks.
    """
    held = _make_lock(lock)
    is_written = False
    with explain_os_errors("lock", lock, hint=ELSEWHERE):
        try:
            held.acquire(timeout=0)
        except Timeout:
            is_written = True
    if is_written:
        yield False
        return
    handle = _open(marker)
    try:
        yield _is_free(handle)
    finally:
        if handle is not None:
            os.close(handle)
        held.release()


def _is_free(handle: int | None) -> bool:
    if handle is None:
        raise OutputError(
            "the cache cannot be locked", hint="Do you have permission to write there?"
        )
    if sys.platform != "win32":
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


@dataclass(frozen=True)
class StoreInfo:
    """One store."""

    folder: Path
    root: str | None  # the folder of its images; None if the store is damaged
    shape: tuple[int, int, int] | None  # H, W, C of an image
    dtype: str | None
    reading: Mapping[str, Any]  # other settings that change the pixels
    n_images: int
    n_bytes: int  # its size on the disk
    last_use: datetime  # UTC


@dataclass(frozen=True)
class Cleared:
    """Result of clearing the cache."""

    removed: tuple[StoreInfo, ...]  # the removed stores
    in_use: tuple[StoreInfo, ...]  # stores that another process has open, which were kept

    @property
    def n_bytes(self) -> int:
        """Bytes freed."""
        return sum(store.n_bytes for store in self.removed)


def list_stores(folder: Path | None = None) -> list[StoreInfo]:
    """List the stores of a folder, by default ``images`` in the cache folder, last used first."""
    found = [_look(place) for place in _places(stores_folder(folder))]
    return sorted(found, key=lambda store: store.last_use, reverse=True)


def clear_stores(folder: Path | None = None) -> Cleared:
    """Remove the stores, see :func:`list_stores`, that no process has open; raises OutputError."""
    base = stores_folder(folder)
    removed: list[StoreInfo] = []
    in_use: list[StoreInfo] = []
    for leftover in base.glob(f"{_DOOMED}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for info in list_stores(folder):
        (removed if _remove(StoreFolder(info.folder)) else in_use).append(info)
    return Cleared(tuple(removed), tuple(in_use))


def _remove(place: StoreFolder) -> bool:
    """Remove a store; return True if no process had it open."""
    with own(place.lock, place.marker) as is_ours:
        if not is_ours:
            return False
        # Renamed first, so that no partial store is ever found under its name.
        doomed = place.path.with_name(f"{_DOOMED}{secrets.token_hex(4)}")
        try:
            place.path.rename(doomed)
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def _places(base: Path) -> list[StoreFolder]:
    if not base.is_dir():
        return []
    return [
        StoreFolder(path)
        for path in sorted(base.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    ]


def _look(place: StoreFolder) -> StoreInfo:
    document, n_images = None, 0
    with suppress(ArtifactError):
        document = place.read_description()
    with suppress(ArtifactError):
        n_images = read_index(place.index).n_rows
    n_bytes, used = _measure(place.path)
    return StoreInfo(
        folder=place.path,
        root=document.root if document is not None else None,
        shape=document.shape if document is not None else None,
        dtype=document.dtype if document is not None else None,
        reading=document.reading if document is not None else {},
        n_images=n_images,
        n_bytes=n_bytes,
        last_use=datetime.fromtimestamp(used, UTC),
    )


def _measure(folder: Path) -> tuple[int, float]:
    """Return the bytes on the disk and the time of the last use."""
    n_bytes, used = 0, folder.stat().st_mtime
    for path in folder.iterdir():
        # Another process may be replacing one of them.
        with suppress(OSError):
            found = path.stat()
            n_bytes += found.st_size
            used = max(used, found.st_mtime)
    return n_bytes, used
