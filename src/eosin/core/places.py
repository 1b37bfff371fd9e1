"""Where Eosin keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$EOSIN_CACHE``, else the platform's cache folder for this user."""
    if chosen := os.environ.get("EOSIN_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "eosin"
