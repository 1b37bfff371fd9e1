"""Lock of a folder that one process works in (apart from files: filelock is slow to import)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock file, which is removed at the end; yields True if no other process holds it.

    The lock itself ends with the process, however it ends. Where no lock can be made, nothing is
    held.

    Args:
        path: The lock file, in an existing folder.
    """
    lock, is_free = FileLock(path), True
    try:
        lock.acquire(blocking=False)
    except Timeout:
        is_free = False
    except (OSError, NotImplementedError):
        pass
    try:
        yield is_free
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows removes nothing that is open
                path.unlink()
            lock.release()
