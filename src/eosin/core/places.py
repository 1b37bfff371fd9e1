"""Settings of the environment: folders, bounds on what is read, network access, telemetry."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

from eosin.core.errors import OutputError, UsageError
from eosin.core.text import shorten

#: Variables that disable libraries' telemetry. ONNX Runtime's (on Linux since 1.29) opens sockets
#: some seconds after its import, and stores a device id and events in the user's cache folder; it
#: reads its variable once, at import. Child processes inherit all of them.
_TELEMETRY_OFF = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def expand_path(text: str) -> Path:
    """Return a path with ``$NAME`` and ``~`` expanded; unknown ones stay as they are."""
    # Path.expanduser raises for an unknown user.
    return Path(os.path.expanduser(os.path.expandvars(text)))  # noqa: PTH111


def cache_folder() -> Path:
    """Return ``$EOSIN_CACHE``, else the platform's cache folder for this user."""
    if chosen := os.environ.get("EOSIN_CACHE"):
        return expand_path(chosen)
    base = expand_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    # In a container a user may have no home; what is cached can be made again.
    return (Path(tempfile.gettempdir()) if str(base).startswith("~") else base) / "eosin"


def settings_folder() -> Path:
    """Return the platform's settings folder; ``OutputError`` if the user has no home folder."""
    base = expand_path(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    if str(base).startswith("~"):
        raise OutputError("the home folder is not known", hint="Set XDG_CONFIG_HOME to a folder")
    return base / "eosin"


def read_setting(name: str, default: int) -> int:
    """Return a bound that a variable of the environment sets.

    Raises:
        UsageError: It is no whole number above 0.
    """
    text = os.environ.get(name)
    if text is None:
        return default
    digits = text.strip()
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= 18 and int(digits) > 0):
        raise UsageError(f"${name} must be a whole number above 0, got {shorten(repr(text))}")
    return int(digits)


def is_offline() -> bool:
    """Return True if ``--offline`` or ``EOSIN_OFFLINE`` forbids network access."""
    return os.environ.get("EOSIN_OFFLINE", "") not in ("", "0")


def disable_telemetry() -> None:
    """Disable the telemetry of the libraries that Eosin uses, whatever the environment has.

    Must run before ONNX Runtime is imported; logs a warning if that is too late.
    """
    is_late = "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1"
    os.environ.update(_TELEMETRY_OFF)
    if is_late:
        logging.getLogger(__name__).warning(
            "onnxruntime was imported before eosin, so its telemetry may be on: import eosin "
            "first, or set ORT_DISABLE_TELEMETRY=1"
        )
