"""A progress bar with time left, for work over two seconds and only on a terminal."""

from __future__ import annotations

import logging
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
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from eosin.core.text import approximate_time

#: Called with how much is done and how much there is.
Advance = Callable[[int, int], None]

_DELAY_S = 2.0
#: Items before the rate is measured; the shortest time that is worth a line, in seconds.
_WARM_UP, LEAST_LOGGED_S = 32, 10.0


_LOG = logging.getLogger(__name__)
#: True while a bar is open in this process.
_open = False


@contextmanager
def progress_bar(
    description: str, *, unit: Literal["items", "bytes"] = "items", estimate: str = ""
) -> Iterator[Advance]:
    """Yield a function that reports progress as ``(done, total)``.

    Whatever works long opens its own bar. One that is opened inside another is not drawn, nor is
    any within the first two seconds, nor where stderr is no terminal.

    Args:
        description: Work in progress, e.g. ``"Reading images"``.
        unit: Unit of the count.
        estimate: The same with ``{total}`` for the number of items; for work of more than ten
            seconds it is logged once with the time that it will take.
    """
    global _open
    if _open:
        yield lambda _done, _total: None
        return
    bar, _open = _Bar(description, unit, estimate), True
    try:
        yield bar.advance
    finally:
        _open = False
        bar.close()


def _are_drawn() -> bool:
    """Return False if a handler of Eosin's messages hides bars, as the command's does with -q."""
    handlers = logging.getLogger("eosin").handlers
    return all(getattr(handler, "draws_bars", True) for handler in handlers)


class _Bar:
    """A bar on the terminal, and the estimate of its time."""

    def __init__(self, description: str, unit: str, estimate: str) -> None:
        self._description, self._unit, self._estimate = description, unit, estimate
        self._is_terminal = sys.stderr.isatty() and _are_drawn()
        self._start = time.monotonic()
        self._drawn: Progress | None = None
        self._first: tuple[float, int] | None = None

    def advance(self, done: int, total: int) -> None:
        """Draw how much is done."""
        if not (self._is_terminal or self._estimate):
            return
        now = time.monotonic()
        if self._estimate and done >= _WARM_UP:
            self._log_estimate(now, done, total)
        if self._is_terminal and self._drawn is None and now - self._start >= _DELAY_S:
            self._drawn = self._make()
            self._drawn.start()
        if self._drawn is not None:
            self._drawn.update(TaskID(0), completed=done, total=total)

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._drawn is not None:
            self._drawn.stop()

    def _make(self) -> Progress:
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn() if self._unit == "items" else DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        bar.add_task(self._description, total=None)
        return bar

    def _log_estimate(self, now: float, done: int, total: int) -> None:
        # The rate leaves out the first items, during which libraries are loaded.
        if self._first is None:
            self._first = now, done
        elapsed, items = now - self._first[0], done - self._first[1]
        if elapsed < _DELAY_S or not items:
            return
        seconds, text = elapsed / items * total, self._estimate.format(total=f"{total:,}")
        self._estimate = ""
        if seconds >= LEAST_LOGGED_S:
            _LOG.info(f"{text}: about {approximate_time(seconds)}")
