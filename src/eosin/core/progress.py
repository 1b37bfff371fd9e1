"""A progress bar with time left, for work over two seconds, on a terminal or in a notebook."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from importlib import import_module
from typing import Any, Literal

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

from eosin.core.text import approximate_time, mebibytes

#: Called with how much is done and how much there is.
Advance = Callable[[int, int], None]

_DELAY_S = 2.0
#: Time between two states in a notebook, in seconds.
_REDRAWN_S = 0.5
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
    any within the first two seconds, nor where stderr is neither a terminal nor a notebook's.

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
    """A bar on the terminal or in the notebook, and the estimate of its time."""

    def __init__(self, description: str, unit: str, estimate: str) -> None:
        self._description, self._unit, self._estimate = description, unit, estimate
        self._drawing: type[_OnTerminal | _InNotebook] | None = None
        if _are_drawn():
            on_terminal = _OnTerminal if sys.stderr.isatty() else None
            self._drawing = _InNotebook if _is_notebook() else on_terminal
        self._start = time.monotonic()
        self._drawn: _OnTerminal | _InNotebook | None = None
        self._first: tuple[float, int] | None = None

    def advance(self, done: int, total: int) -> None:
        """Draw how much is done."""
        if not (self._drawing or self._estimate):
            return
        now = time.monotonic()
        if self._estimate and done >= _WARM_UP:
            self._log_estimate(now, done, total)
        if self._drawing and self._drawn is None and now - self._start >= _DELAY_S:
            self._drawn = self._drawing(self._description, self._unit)
        if self._drawn is not None:
            self._drawn.update(done, total, now - self._start)

    def close(self) -> None:
        """Remove the bar from the terminal; in a notebook its last state stays."""
        if self._drawn is not None:
            self._drawn.stop()

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


class _OnTerminal:
    """Rich's bar on stderr, removed at the end."""

    def __init__(self, description: str, unit: str) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn() if unit == "items" else DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.add_task(description, total=None)
        self._bar.start()

    def update(self, done: int, total: int, _elapsed: float) -> None:
        self._bar.update(TaskID(0), completed=done, total=total)

    def stop(self) -> None:
        self._bar.stop()


class _InNotebook:
    """One output of a notebook's cell, which is replaced; Rich's bar would need ipywidgets."""

    def __init__(self, description: str, unit: str) -> None:
        self._description, self._unit = description, unit
        self._handle: Any = None
        self._shown_at, self._last = -_REDRAWN_S, (0, 0, 0.0)

    def update(self, done: int, total: int, elapsed: float) -> None:
        self._last = done, total, elapsed
        if elapsed - self._shown_at >= _REDRAWN_S:
            self._shown_at = elapsed
            self._show()

    def stop(self) -> None:
        self._show()

    def _show(self) -> None:
        done, total, elapsed = self._last
        count = f"{mebibytes(done)} of {mebibytes(total)}"
        if self._unit == "items":
            count = f"{done:,}/{total:,}"
        left = approximate_time(elapsed * (total - done) / done) if done else "?"
        text = f"{count}, {left} left" if done < total else f"{count}, {approximate_time(elapsed)}"
        bar = f"<progress value='{done}' max='{max(total, 1)}'></progress>"
        content = {
            "text/plain": f"{self._description} {text}",
            "text/html": f"<div>{escape(self._description)} {bar} {text}</div>",
        }
        if self._handle is None:
            display: Any = import_module("IPython.display").display
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


def _is_notebook() -> bool:
    """Return True in a process that shows its output in a notebook."""
    shell: Any = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")
