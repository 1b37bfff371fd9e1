"""Lack of memory: a check before start, and detection while libraries load."""

from __future__ import annotations

import errno
import mmap
import os

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
