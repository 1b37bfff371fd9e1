"""Errors that Eosin raises, each a name of the package: ``eosin.RecipeError``.

    EosinError                 exit 1: the work failed
    ├── UsageError             exit 2: the command line or the recipe is wrong
    │   ├── RecipeError            a recipe key or value
    │   └── UnknownNameError       a name that is not in a registry
    ├── DataError              unusable input data
    │   ├── ManifestError          a sample table with missing or contradictory columns
    │   ├── ImageError             one file that does not decode
    │   ├── SkippedFilesError      some files could not be read; the result on the rest comes along
    │   ├── SplitError             a split that the groups do not allow
    │   └── LeakError              the leak audit found overlap of the two sides of a split
    ├── TrainingError          training cannot continue (loss not finite, no memory)
    ├── ArtifactError          a run or model folder that is missing, foreign or too new
    ├── DownloadError          a public file that is unavailable, or differs from what was published
    ├── OutputError            a result that cannot be written (disk full, read-only, not empty)
    └── MissingPartError       an optional part is not installed

    KeyboardInterrupt
    └── InterruptedRunError    exit 130: Ctrl-C; what was finished can be resumed

Ctrl-C is no :class:`EosinError`: a loop over trainings that catches failures stops at it.

The message states what was expected and what was found; the hint, what to do about it.
A lack of memory and damaged files raise many errors of other libraries; they are recognised here.
"""

from __future__ import annotations

import difflib
import errno
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

from eosin.core.hints import in_users_words
from eosin.core.text import listing, printable, quantity

_Result = TypeVar("_Result")
#: Exit status after Ctrl-C, as shells give it: 128 and the number of the signal.
INTERRUPTED = 130
#: Address space that the libraries of the smallest command need, in bytes; and each thread of
#: OpenBLAS, which starts one a core (64 at most) and ends the process where it cannot.
_LIBRARIES, _PER_CORE, _MOST_CORES = 576 << 20, 16 << 20, 64
#: Reserved as a test of whether an error came from a lack of memory.
_PROBE = 64 << 20
#: Messages of the dynamic linker and of other libraries' allocators.
_PHRASES = (
    "failed to map segment",
    "annot allocate memory",
    "an't allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
)


class _Explained(BaseException):
    """A message with a hint, in one line."""

    exit_status = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        # File names need not be valid text; printed messages must be.
        self.message = printable(message)
        self.hint = printable(hint) if hint else hint
        shown = f"{self.message}. {in_users_words(self.hint)}" if self.hint else self.message
        super().__init__(shown)


class EosinError(_Explained, Exception):
    """An expected failure, shown to the user in one line.

    Args:
        message: What was expected and what was found instead; no trailing full stop.
        hint: Hint: what the user can do about it, if anything, as it is typed for the command. Text
            of the error shows it in Python's words where no command runs, see
            :func:`eosin.core.hints.in_users_words`.
    """


class UsageError(EosinError):
    """The command line or the recipe is wrong."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe key that does not exist, or a value outside its range."""


class UnknownNameError(UsageError):
    """A name that is not in a registry."""


class DataError(EosinError):
    """Unusable input data."""


class ManifestError(DataError):
    """A sample table with missing or contradictory columns."""


class ImageError(DataError):
    """A file that does not decode to an image that the model accepts."""


class SkippedFilesError(DataError):
    """Some files could not be read, and the caller does not allow that; all else is done.

    Attributes:
        result: What the function would have returned; all files are written.
    """

    def __init__(self, message: str, *, result: Any = None, hint: str | None = None) -> None:
        # By default nothing, so that the error can be unpickled: another process may raise it.
        super().__init__(message, hint=hint)
        self.result = result


class SplitError(DataError):
    """A split that the groups do not allow."""


class LeakError(DataError):
    """The leak audit found overlap of the two sides of a split."""


class TrainingError(EosinError):
    """Training cannot continue."""


class ArtifactError(EosinError):
    """A run or model folder that is missing, foreign or newer than this code."""


class DownloadError(EosinError):
    """A public file is unavailable, or differs from what was published."""


class OutputError(EosinError):
    """A result cannot be written."""


class MissingPartError(EosinError):
    """An optional part of Eosin is not installed."""


class InterruptedRunError(_Explained, KeyboardInterrupt):
    """The user stopped a training; what was finished can be resumed."""

    exit_status = INTERRUPTED


def close_matches(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the known names that resemble ``name``, or with all if they are few.

    It is like ``"Did you mean 'lr'?"``; empty if no names are known.
    """
    names = sorted(known)
    return suggest(name, names) or (f"Known: {', '.join(names)}" if names else "")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a question with the known names that resemble ``name``; empty if none does."""
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
    return f"Did you mean {listing(map(repr, near), 'or')}?" if near else ""


def check_memory() -> None:
    """Check, before any large library is loaded, that there is memory for it; or ``MemoryError``.

    With too little (``ulimit -v``), native code would end the process in its own words.
    """
    if not can_reserve(_LIBRARIES + _PER_CORE * min(os.cpu_count() or 1, _MOST_CORES)):
        raise MemoryError


def can_reserve(n_bytes: int) -> bool:
    """Return True if so much address space can be reserved; none of it is used."""
    try:
        mmap.mmap(-1, n_bytes).close()
    except (OSError, MemoryError):
        return False
    return True


#: NumPy, zip archives and torch's own reader of pickles raise any of these at a damaged file.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    TypeError,
    UnpicklingError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def is_lack_of_memory(error: BaseException) -> bool:
    """Return True if an error, or one that it followed from, comes from a lack of memory.

    Imports fail in many ways where memory is short, and OpenBLAS interrupts the process (SIGINT):
    any other error counts as such if no memory can be reserved.
    """
    seen: BaseException | None = error
    while seen is not None:
        is_known = isinstance(seen, MemoryError) or getattr(seen, "errno", None) == errno.ENOMEM
        if is_known or any(phrase in str(seen) for phrase in _PHRASES):
            return True
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return not can_reserve(_PROBE)


def end_with(
    result: _Result, n_skipped: int, lists: Iterable[Path] = (), *, allowed: bool
) -> _Result:
    """Return the result of a command that has finished all that it could read.

    Raises:
        SkippedFilesError: Files were skipped, which the caller does not allow.
    """
    if n_skipped and not allowed:
        raise SkippedFilesError(
            format_skipped(n_skipped, lists),
            result=result,
            hint="Everything else is done: see `result` of this error, or pass allow_skipped=True",
        )
    return result


def format_skipped(n_skipped: int, lists: Iterable[Path | str]) -> str:
    """Return one line with the number of unreadable files and where they are listed."""
    where = " and ".join(map(str, lists))
    return f"{quantity(n_skipped, 'file')} could not be read{f': see {where}' if where else ''}"
