"""Bytes: how many there are, and whether they fit."""

from __future__ import annotations

import shutil
from pathlib import Path

from eosin.core.errors import OutputError

_STEP = 1000


def tell_bytes(count: float) -> str:
    """Return ``"6.4 GB"``: decimal units, as publishers and disks count."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < _STEP:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= _STEP
    return f"{count:.1f} TB"


def free_bytes(folder: Path) -> int:
    """Return how much room there is where ``folder`` is or would be made."""
    places = (folder, *folder.absolute().parents)
    return shutil.disk_usage(next(place for place in places if place.exists())).free


def check_space(folder: Path, needed: int, purpose: str) -> None:
    """Refuse what does not fit, before it is begun.

    Args:
        folder: Where it would go; need not exist.
        needed: Bytes that it takes.
        purpose: What takes them, for the message.

    Raises:
        OutputError: There is less room than that.
    """
    free = free_bytes(folder)
    if needed > free:
        raise OutputError(
            f"{purpose} needs {tell_bytes(needed)} in {folder}, where {tell_bytes(free)} are free",
            mend="Free some space, or choose another folder with -o",
        )
