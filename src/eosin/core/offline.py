"""Network access: offline mode, and telemetry of libraries."""

from __future__ import annotations

import logging
import os
import sys

#: Variables that disable libraries' telemetry. ONNX Runtime's (on Linux since 1.29) opens sockets
#: some seconds after its import, and stores a device id and events in the user's cache folder; it
#: reads its variable once, at import. Child processes inherit all of them.
_TELEMETRY_OFF = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


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
