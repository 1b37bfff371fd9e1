"""Failures of single images, and the memory that images take while they are decoded."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, local
from traceback import clear_frames

from eosin.core.errors import EosinError, ImageError

#: Decoded bytes of all images that are worked on at a time; a single one may have more.
BUDGET_BYTES = 192 << 20
#: Of an image after which glibc is asked to return what it keeps of freed memory.
_LARGE_BYTES = 32 << 20


@contextmanager
def isolated(cell: object) -> Iterator[None]:
    """Turn any failure of the work on one image into an ImageError, which callers list.

    Lack of memory is the image's, too: a smaller one may still fit. The memory that decoders
    reserve inside (:mod:`eosin.images.failures`) is released at the end.

    Args:
        cell: The image's file or path cell, for the message.

    Raises:
        ImageError: In place of any exception but Eosin's own.
    """
    watch_memory()
    try:
        yield
    except Exception as error:
        _drop_locals(error)
        if isinstance(error, EosinError):
            raise
        if isinstance(error, MemoryError):
            reason = "it needs more memory than is free"
            raise ImageError(f"{cell} cannot be processed: {reason}") from None
        raise ImageError(f"{cell} cannot be processed: {_describe(error)}") from error
    finally:
        release_memory()


def _drop_locals(error: BaseException | None) -> None:
    """Let go of the pixels in the frames of a traceback, before another image gets their memory."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__context__


def _describe(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


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
