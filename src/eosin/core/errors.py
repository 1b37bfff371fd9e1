"""Every error that Eosin raises on purpose.

    EosinError                 exit 1: the work failed
    ├── UsageError             exit 2: the command line or the recipe is wrong
    │   ├── RecipeError            a recipe key or value
    │   └── UnknownNameError       a name that no registry knows
    ├── DataError              what came in cannot be used
    │   ├── ManifestError          a sample table with missing or contradictory columns
    │   ├── ImageError             one file that does not decode
    │   ├── SplitError             a split that the groups do not allow
    │   └── LeakError              the audit found the same material on both sides
    ├── TrainingError          training cannot go on (loss not finite, no memory)
    ├── ArtifactError          a run or model folder that is missing, foreign or too new
    ├── InterruptedRunError    Ctrl-C; what was finished can be resumed
    ├── DownloadError          a public file that cannot be had, or is not what was published
    ├── OutputError            what was made cannot be written (disk full, read-only, not empty)
    └── MissingPartError       an optional part is not installed

One line says what was wanted and what came; the mend says what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from eosin.core.text import printable


class EosinError(Exception):
    """An expected failure, told to the user in one line.

    Args:
        message: What was wanted and what came instead; no trailing full stop.
        mend: What the user can do about it, if anything.
    """

    exit_status = 1

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        # Names of files need not be text; what is printed and written must be.
        self.message = printable(message)
        self.mend = printable(mend) if mend else mend
        super().__init__(f"{self.message}. {self.mend}" if mend else self.message)


class UsageError(EosinError):
    """The command line or the recipe is wrong."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe key that does not exist, or a value outside its range."""


class UnknownNameError(UsageError):
    """A name that no registry knows."""


class DataError(EosinError):
    """What came in cannot be used."""


class ManifestError(DataError):
    """A sample table with missing or contradictory columns."""


class ImageError(DataError):
    """One file that does not decode to an image that the model can take."""


class SplitError(DataError):
    """A split that the groups do not allow."""


class LeakError(DataError):
    """The audit found the same material on both sides of a split."""


class TrainingError(EosinError):
    """Training cannot go on."""


class InterruptedRunError(EosinError):
    """The user stopped a training; what was finished can be resumed."""


class ArtifactError(EosinError):
    """A run or model folder that is missing, foreign or newer than this code."""


class DownloadError(EosinError):
    """A public file cannot be had, or is not what was published."""


class OutputError(EosinError):
    """What was made cannot be written."""


class MissingPartError(EosinError):
    """An optional part of Eosin is not installed."""


def close_matches(name: str, known: Iterable[str]) -> str:
    """Say which known names resemble ``name``, or list them all when few do.

    Args:
        name: What the user wrote.
        known: The names that exist.

    Returns:
        A sentence such as ``"Did you mean 'lr'?"``; empty when nothing is known.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "Did you mean " + " or ".join(repr(match) for match in near) + "?"
    return f"Known: {', '.join(names)}" if names else ""
