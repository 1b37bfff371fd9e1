"""End of a command that could not read every file: all work is kept, then it fails.

The commands that read many files finish the rest, write it and list the unreadable ones. Whoever
calls one without ``allow_skipped`` must not miss that: the command line ends with status 1, the
function raises an error that carries its result.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from eosin.core.errors import SkippedFilesError
from eosin.core.text import quantity

_Result = TypeVar("_Result")


def end_with(
    result: _Result, n_skipped: int, lists: Iterable[Path] = (), *, allowed: bool
) -> _Result:
    """Return the result of a command.

    Args:
        result: What was made of the readable files.
        n_skipped: Number of unreadable files.
        lists: Files that list them.
        allowed: The caller's ``allow_skipped``.

    Raises:
        SkippedFilesError: Files were skipped, which the caller does not allow.
    """
    if n_skipped and not allowed:
        raise SkippedFilesError(
            format_skipped(n_skipped, lists),
            result=result,
            hint="All else is done, see `result` of this error; allow_skipped=True returns it",
        )
    return result


def format_skipped(n_skipped: int, lists: Iterable[Path | str]) -> str:
    """Return one line with the number of unreadable files and where they are listed."""
    where = " and ".join(map(str, lists))
    return f"{quantity(n_skipped, 'file')} could not be read{f': see {where}' if where else ''}"
