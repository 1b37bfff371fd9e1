"""Errors that Eosin raises.

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
    ├── InterruptedRunError    Ctrl-C; what was finished can be resumed
    ├── DownloadError          a public file that is unavailable, or differs from what was published
    ├── OutputError            a result that cannot be written (disk full, read-only, not empty)
    └── MissingPartError       an optional part is not installed

The message states what was expected and what was found; the hint, what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from eosin.core.text import printable


class EosinError(Exception):
    """An expected failure, shown to the user in one line.

    Args:
        message: What was expected and what was found instead; no trailing full stop.
        hint: Hint: what the user can do about it, if anything.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        # File names need not be valid text; printed messages must be.
        self.message = printable(message)
        self.hint = printable(hint) if hint else hint
        super().__init__(f"{self.message}. {self.hint}" if hint else self.message)


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


class InterruptedRunError(EosinError):
    """The user stopped a training; what was finished can be resumed."""


class ArtifactError(EosinError):
    """A run or model folder that is missing, foreign or newer than this code."""


class DownloadError(EosinError):
    """A public file is unavailable, or differs from what was published."""


class OutputError(EosinError):
    """A result cannot be written."""


class MissingPartError(EosinError):
    """An optional part of Eosin is not installed."""


def close_matches(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the known names that resemble ``name``, or with all if they are few.

    It is like ``"Did you mean 'lr'?"``; empty if no names are known.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "Did you mean " + " or ".join(repr(match) for match in near) + "?"
    return f"Known: {', '.join(names)}" if names else ""
