"""The network: whether it may be used, and libraries that would use it unasked."""

from __future__ import annotations

import logging
import os
import sys

#: What switches a library's telemetry off. ONNX Runtime's (on Linux since 1.29) opens sockets some
#: seconds after its import, and keeps a device id and a store of events in the user's cache folder;
#: it reads its variable once, when it is imported. Child processes inherit all of them.
_TELEMETRY_OFF = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def is_offline() -> bool:
    """Tell whether ``--offline`` or ``EOSIN_OFFLINE`` forbids the network."""
    return os.environ.get("EOSIN_OFFLINE", "") not in ("", "0")


def disable_telemetry() -> None:
    """Switch off the telemetry of the libraries that Eosin uses, whatever the environment has.

    Must run before ONNX Runtime is imported; logs a warning where that is too late.
    """
    is_late = "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1"
    os.environ.update(_TELEMETRY_OFF)
    if is_late:
        logging.getLogger(__name__).warning(
            "onnxruntime was imported before eosin, so its telemetry may be on: import eosin "
            "first, or set ORT_DISABLE_TELEMETRY=1"
        )
