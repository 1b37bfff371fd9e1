"""Where Eosin keeps what it can make again, and what it cannot."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$EOSIN_CACHE``, else the platform's cache folder for this user."""
    if chosen := os.environ.get("EOSIN_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "eosin"


def settings_folder() -> Path:
    """Return the platform's settings folder for this user."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "eosin"
