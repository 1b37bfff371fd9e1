"""Silence of the libraries that decode: what they find odd is no line for the user's terminal.

What is wrong with a file is its reason, which Eosin lists. Warnings and libtiff's messages belong
to the whole process: they are switched off while any thread decodes, and then put back.
"""

from __future__ import annotations

import ctypes
import logging
import warnings
from functools import cache
from threading import Lock
from typing import Any

from PIL import _imaging

# What these find odd they would print amid the user's own lines; a program that logs still hears
# it.
for _name in ("PIL", "tifffile"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
#: libtiff's functions that take another handler of messages and return the one before.
_SETTERS = ("TIFFSetErrorHandler", "TIFFSetWarningHandler")


class _Silence:
    """Silences warnings and libtiff while any thread decodes; re-entered at will.

    Odd tags are none of our business, and a bomb is refused by its size. Threads that each put
    back what they found would leave the process deaf.
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
    """Return the functions of the libtiff that Pillow uses; none where they are out of reach."""
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
