"""One process writes a store; nobody clears it while another has it open.

Writers hold an exclusive lock. Whoever has a store open holds a shared one on its marker, which
ends with the process, however it ends. On POSIX an open file could be removed without harm, but a
worker that is started later would not find it again. On Windows there is no shared lock here: the
system itself refuses to move a folder while a file in it is open.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from eosin.core.errors import OutputError
from eosin.images.cache.folders import explain_cache_errors

if sys.platform != "win32":
    import fcntl

_WAITING = "Waiting for another process that reads the same images"


@contextmanager
def write_alone(path: Path, say: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the exclusive lock of a store.

    Args:
        path: The lock's file.
        say: Told where another process holds it.

    Raises:
        OutputError: The folder takes no lock.
    """
    lock = _make_lock(path)
    with explain_cache_errors("lock", path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if say is not None:
                say(_WAITING)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make_lock(path: Path) -> FileLock:
    with explain_cache_errors("make", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


class Marker:
    """A shared lock that says: this store is open here.

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
    with explain_cache_errors("lock", lock):
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
