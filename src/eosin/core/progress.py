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

from eosin.core.text import approximate_time

#: Called with how much is done and how much there is.
Advance = Callable[[int, int], None]

_DELAY_S = 2.0
#: Items before the rate is measured; the shortest time that is worth a line, in seconds.
_WARM_UP, LEAST_TOLD_S = 32, 10.0


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


def with_estimate(advance: Advance, say: Callable[[str], None], description: str) -> Advance:
    """Return a function that also prints, once, how long work of more than ten seconds takes.

    The rate is measured on the first items, without those during which libraries are loaded.

    Args:
        advance: Called with progress as before.
        say: Called with the sentence ``"Reading 4,200 images: about 3 min"``.
        description: What is being done, with ``{total}`` for the number of items.
    """
    first: list[tuple[float, int]] = []
    is_told = False

    def report(done: int, total: int) -> None:
        nonlocal is_told
        advance(done, total)
        if is_told or done < _WARM_UP:
            return
        now = time.monotonic()
        if not first:
            first.append((now, done))
        elapsed, items = now - first[0][0], done - first[0][1]
        if elapsed < _DELAY_S or not items:
            return
        is_told, seconds = True, elapsed / items * total
        if seconds >= LEAST_TOLD_S:
            say(f"{description.format(total=f'{total:,}')}: about {approximate_time(seconds)}")

    return report
