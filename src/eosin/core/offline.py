"""Whether the network may be used."""

from __future__ import annotations

import os


def is_offline() -> bool:
    """Tell whether ``--offline`` or ``EOSIN_OFFLINE`` forbids the network."""
    return os.environ.get("EOSIN_OFFLINE", "") not in ("", "0")
