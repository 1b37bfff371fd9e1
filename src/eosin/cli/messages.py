"""Messages of a command: progress and warnings on stderr, all of them in a log file on request."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from eosin.core.text import one_line

_LOGGER = logging.getLogger("eosin")
_Kind = TypeVar("_Kind", bound=logging.Handler)
_FILE_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class TerminalMessages(logging.Handler):
    """Log handler that prints each record as one line, and each kind of warning once.

    Attributes:
        draws_bars: False if progress bars are to stay hidden, too (``-q``).
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.draws_bars = True
        self._printed: set[str] = set()

    def make_quiet(self) -> None:
        """Print warnings only."""
        self.setLevel(logging.WARNING)
        self.draws_bars = False

    def make_verbose(self) -> None:
        """Print details, and the time of each message."""
        self.setLevel(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        line = _one_line(record)
        if self.level <= logging.DEBUG:
            line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {line}"
        if record.levelno < logging.WARNING:
            sys.stderr.write(f"{line}\n")
        # Compared before its arguments are filled in: a run with folds has five models.
        elif record.msg not in self._printed:
            self._printed.add(record.msg)
            sys.stderr.write(f"warning: {line}\n")


class _FileLines(logging.FileHandler):
    """Log handler that appends every record to a file."""

    def __init__(self, path: Path) -> None:
        self._is_lost = False
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(logging.Formatter(_FILE_FORMAT))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Print once that the file cannot be written: it must not end the work."""
        error = sys.exc_info()[1]
        if not self._is_lost:
            reason = getattr(error, "strerror", None) or error
            sys.stderr.write(f"warning: could not write {self.baseFilename}: {reason}\n")
        self._is_lost = True

    def close(self) -> None:
        """Close the file; what a full disk refuses is lost."""
        with suppress(OSError):
            super().close()

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; a traceback follows on lines of its own."""
        copied = logging.makeLogRecord({**vars(record), "msg": _one_line(record), "args": ()})
        return super().format(copied)


def _one_line(record: logging.LogRecord) -> str:
    return one_line(" ".join(record.getMessage().splitlines()))


@contextmanager
def messages_on_stderr() -> Iterator[None]:
    """Print progress and warnings of Eosin's logger to stderr."""
    level = _LOGGER.level
    _LOGGER.addHandler(TerminalMessages())
    _LOGGER.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        _LOGGER.setLevel(level)
        for handler in (*_of_kind(TerminalMessages), *_of_kind(_FileLines)):
            _LOGGER.removeHandler(handler)
            handler.close()


def terminal_messages() -> list[TerminalMessages]:
    """Return the handlers that print to the terminal: one, inside ``messages_on_stderr``."""
    return _of_kind(TerminalMessages)


def _of_kind(kind: type[_Kind]) -> list[_Kind]:
    return [handler for handler in _LOGGER.handlers if isinstance(handler, kind)]


def keep_messages(path: Path, command: str) -> None:
    """Append all messages, details included, to a file; the command stands before them.

    Raises:
        OutputError: The file cannot be written.
    """
    from eosin.core.files import explain_os_errors

    with explain_os_errors("write", path):
        handler = _FileLines(path)
    _LOGGER.addHandler(handler)
    _record(logging.INFO, command)


def record_failure(text: str, error: BaseException | None) -> None:
    """Write an error into the log file, if there is one, with its traceback."""
    _record(logging.ERROR, text, error)


def _record(level: int, text: str, error: BaseException | None = None) -> None:
    trace = (type(error), error, error.__traceback__) if error is not None else None
    record = _LOGGER.makeRecord("eosin", level, __file__, 0, text, (), trace)
    for handler in _of_kind(_FileLines):
        handler.handle(record)
