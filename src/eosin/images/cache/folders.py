"""Where a store lies and what its files are called."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from eosin.artifacts.versioned import VersionedDocument, read_document, write_document
from eosin.core.errors import OutputError
from eosin.core.files import explain_os_errors
from eosin.core.places import cache_folder
from eosin.images.cache.index import StoreSettings

_LOG = logging.getLogger(__name__)

#: What to do where the system refuses to write the cache: no ``-o`` has a say in it.
ELSEWHERE = "Set EOSIN_CACHE to a folder you may write"
_WAITING = "Waiting for another process that reads the same images"


class StoreDocument(VersionedDocument):
    """``store.json``: what a store holds; the time at which it was changed is its last use.

    Attributes:
        root: The folder in which all its files lie.
        shape: H, W, C of an image.
        dtype: Of its values.
        reading: What else changes the pixels.
        created: UTC, ISO 8601.
    """

    root: str
    shape: tuple[int, int, int]
    dtype: str
    reading: dict[str, Any]
    created: str


@dataclass(frozen=True)
class StoreFolder:
    """One store.

    Attributes:
        path: Its folder. Its locks lie beside it: a lock that is removed with the folder would
            leave a waiting process with a lock that nobody else sees.
    """

    path: Path

    @property
    def description(self) -> Path:
        """What the store is."""
        return self.path / "store.json"

    @property
    def index(self) -> Path:
        """Which file has which row."""
        return self.path / "index.parquet"

    @property
    def lock(self) -> Path:
        """Held by the one process that writes."""
        return self.path.with_name(f"{self.path.name}.lock")

    @property
    def marker(self) -> Path:
        """Held by every process that has the store open."""
        return self.path.with_name(f"{self.path.name}.use")

    def pixels(self, token: str) -> Path:
        """Return the file of the rows; a store that is rebuilt gets another token."""
        return self.path / f"pixels-{token}.bin"

    def read_description(self) -> StoreDocument:
        """Read ``store.json``; raises ``ArtifactError`` where it is absent or damaged."""
        return read_document(self.description, StoreDocument)

    def write_description(self, settings: StoreSettings, root: str) -> None:
        """Write ``store.json``; raises ``OutputError`` where that is not possible."""
        document = StoreDocument(
            root=root,
            shape=settings.shape,
            dtype=settings.dtype,
            reading=json.loads(settings.as_text())["reading"],
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_document(self.description, document)


def stores_folder(folder: Path | None) -> Path:
    """Return where stores lie: ``folder``, else ``images`` in the cache folder."""
    return Path(folder) if folder is not None else cache_folder() / "images"


def common_root(files: Iterable[str]) -> str:
    """Return the deepest folder that holds all files; empty where they lie on several drives."""
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
    """Hold the exclusive lock of a store.

    Args:
        path: The lock's file.

    Raises:
        OutputError: The folder takes no lock.
    """
    lock = _make_lock(path)
    with explain_os_errors("lock", path, mend=ELSEWHERE):
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
    with explain_os_errors("make", path.parent, mend=ELSEWHERE):
        path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


class Marker:
    """A shared lock that says: this store is open here. filelock has exclusive ones alone.

    Args:
        path: The marker's file; made where it can be. In a folder that cannot be written there
            may be none, and nothing is marked.
    """

    def __init__(self, path: Path) -> None:
        self._handle = _open(path)
        if self._handle is not None and sys.platform != "win32":
            # A file system without such locks is one on which nobody can look for them either.
            with suppress(OSError):
                fcntl.flock(self._handle, fcntl.LOCK_SH)

    def release(self) -> None:
        """End the mark."""
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
    """Try to have a store for oneself: yields whether nobody writes it or has it open.

    Raises:
        OutputError: The folder takes no lock.
    """
    held = _make_lock(lock)
    is_written = False
    with explain_os_errors("lock", lock, mend=ELSEWHERE):
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
        raise OutputError("the cache cannot be locked", mend="May you write there?")
    if sys.platform != "win32":
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True
