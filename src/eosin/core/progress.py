"""A progress bar with time left, for work over two seconds and only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

#: Called with how much is done and how much there is.
Advance = Callable[[int, int], None]

_DELAY_S = 2.0


@contextmanager
def progress_bar(
    description: str, *, unit: Literal["items", "bytes"] = "items"
) -> Iterator[Advance]:
    """Yield a function that reports progress as ``(done, total)``.

    Nothing is drawn within the first two seconds, nor where stderr is no terminal.

    Args:
        description: What is being done, e.g. ``"Reading images"``.
        unit: What is counted.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn() if unit == "items" else DownloadColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(description, total=None, note="")
    start = time.monotonic()
    shown = False

    def advance(done: int, total: int) -> None:
        nonlocal shown
        if not shown and time.monotonic() - start >= _DELAY_S:
            bar.start()
            shown = True
        bar.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        if shown:
            bar.stop()
