"""Failures of single images: their reasons, memory while they are decoded, silenced libraries.

A faulty file gets a reason, which Eosin lists; a library's warnings do not belong in the user's
terminal. Warnings and libtiff's messages are settings of the whole process: they are switched off
while any thread decodes, and then restored.
"""

from __future__ import annotations

import ctypes
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Condition, Lock, local
from traceback import clear_frames
from typing import Any

from PIL import _imaging

from eosin.core.errors import EosinError, ImageError
from eosin.core.files import open_file

#: Decoded bytes of all images in progress; a single one may have more.
BUDGET_BYTES = 192 << 20
#: Size of an image after which glibc is asked to return freed memory.
_LARGE_BYTES = 32 << 20
#: libtiff's functions that replace a message handler and return the previous one.
_SETTERS = ("TIFFSetErrorHandler", "TIFFSetWarningHandler")
_HEIC = frozenset({b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"})
#: First bytes of formats that open unless they are damaged.
_OPENED = ((b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"RIFF", "WebP"))
#: Other formats: place and bytes of their mark, and their names.
_FOREIGN = (
    (128, b"DICM", "a DICOM file"),
    (0, b"%PDF", "a PDF"),
    (0, b"ZISRAWFILE", "a slide of ZEISS (CZI)"),
    (0, b"\x93NUMPY", "an array of NumPy"),
)
_HEAD_BYTES = 512


@contextmanager
def isolated(cell: object) -> Iterator[None]:
    """Convert any failure of the work on one image into an ImageError, which callers list.

    Lack of memory counts as the image's failure: a smaller one may still fit. The memory that
    decoders reserve inside is released at the end. ``cell`` is the image's file or reference, for
    the message; Eosin's own errors pass.
    """
    _held.depth += 1
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
    """Release the pixels in the frames of a traceback before another image is decoded."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__context__


def _describe(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


class _Budget:
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
    """State of one thread: its depth in guards, and the bytes it has reserved."""

    depth = 0
    n_bytes = 0


_budget, _held = _Budget(), _Held()


def reserve_memory(n_bytes: int) -> None:
    """Wait until an image of so many bytes of decoded pixels may be decoded.

    Of one image the largest call counts. Does nothing outside :func:`isolated`.
    """
    if not _held.depth or n_bytes <= _held.n_bytes:
        return
    # Reserved memory is released first: two threads that both wait for more would deadlock.
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


# Their messages would be printed between the user's own lines; a program that logs still gets them.
for _name in ("PIL", "tifffile"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


class _Silence:
    """Re-entrant context that silences warnings and libtiff while any thread decodes.

    Shared by all threads: if each restored the state that it found, the last could leave the
    process silent.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._entered = 0
        self._caught: Any = None
        self._handlers: list[Any] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._entered == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
                self._handlers = [set_handler(None) for set_handler in _find_setters()]
            self._entered += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._entered -= 1
            if self._entered == 0:
                for set_handler, handler in zip(_find_setters(), self._handlers, strict=True):
                    set_handler(handler)
                self._caught.__exit__(None, None, None)


@cache
def _find_setters() -> list[Any]:
    """Return the functions of the libtiff that Pillow uses; none if they cannot be found."""
    try:
        # By way of Pillow's own module: the libraries that it is linked with are found through it.
        library = ctypes.PyDLL(_imaging.__file__)
        found = [getattr(library, name) for name in _SETTERS]
    except (OSError, AttributeError):
        return []
    for set_handler in found:
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
    return found


silence = _Silence()


def describe_unopened(path: Path) -> str:
    """Return what an image file is that does not open, as the end of a sentence."""
    with open_file(path) as stream:
        head = stream.read(_HEAD_BYTES)
    kind = next((kind for mark, kind in _OPENED if head.startswith(mark)), "")
    if kind:
        return f"is a damaged {kind} file; copy or download it again"
    return describe_foreign(path) or "is not an image that can be read"


def describe_foreign(path: Path) -> str:
    """Return a file's type by its first bytes, as the end of a sentence; empty if unknown."""
    with open_file(path) as stream:
        head = stream.read(_HEAD_BYTES)
    if not head:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS; `git lfs pull` fetches the file"
    if head.lstrip()[:1] == b"<":
        return "is a web page or XML, not an image file; download it again"
    if head.startswith(b"\x1f\x8b"):
        return "is packed with gzip; unpack it"
    if head.startswith(b"PK\x03\x04"):
        return "is a ZIP archive; unpack it"
    if head[4:12] in _HEIC:
        return "is a HEIC or AVIF image, which is not read; save it as PNG or TIFF"
    kind = next((kind for place, mark, kind in _FOREIGN if head.startswith(mark, place)), "")
    return f"is {kind}, which is not read; export its images as PNG or TIFF" if kind else ""
