"""Memory that images take while they are decoded and looked at, on several threads at once.

The images that are worked on take a few times their decoded size. Small ones are decoded side by
side; one that would exceed the budget waits until the others are done, and then has it alone.
"""

from __future__ import annotations

import ctypes
from threading import Condition, local

#: Decoded bytes of all images that are worked on at a time; a single one may have more.
BUDGET_BYTES = 192 << 20
#: Of an image after which glibc is asked to return what it keeps of freed memory.
_LARGE_BYTES = 32 << 20


class _Budget:
    """Bytes that are reserved by the threads of this process."""

    def __init__(self) -> None:
        self._used = 0
        self._changed = Condition()

    def take(self, n_bytes: int) -> None:
        with self._changed:
            while self._used and self._used + n_bytes > BUDGET_BYTES:
                self._changed.wait()
            self._used += n_bytes

    def give_back(self, n_bytes: int) -> None:
        with self._changed:
            self._used -= n_bytes
            self._changed.notify_all()


class _Held(local):
    """State of one thread: how deep it is in guards, and the bytes it has reserved."""

    depth = 0
    n_bytes = 0


_budget, _held = _Budget(), _Held()


def watch_memory() -> None:
    """Begin the work on one image; :func:`release_memory` ends it."""
    _held.depth += 1


def reserve_memory(n_bytes: int) -> None:
    """Wait until an image of so many bytes may be decoded.

    Does nothing outside the work on one image, whose end nobody would know.

    Args:
        n_bytes: Of the decoded pixels; of one image the largest call counts.
    """
    if not _held.depth or n_bytes <= _held.n_bytes:
        return
    # What is held is given back first: two that both wait for more would wait for ever.
    held, _held.n_bytes = _held.n_bytes, 0
    if held:
        _budget.give_back(held)
    _budget.take(n_bytes)
    _held.n_bytes = n_bytes


def release_memory() -> None:
    """End the work on one image."""
    _held.depth -= 1
    if not _held.depth and _held.n_bytes:
        held, _held.n_bytes = _held.n_bytes, 0
        if held >= _LARGE_BYTES:
            _trim_heap()
        _budget.give_back(held)


def _trim_heap() -> None:
    """Return freed memory to the system.

    glibc keeps blocks of up to 32 MB, of which Pillow and OpenJPEG make large images: hundreds of
    megabytes on top of what the next image takes.
    """
    trim = getattr(ctypes.pythonapi, "malloc_trim", None)
    if trim is not None:
        trim(0)
