"""Eosin: from labelled cancer-microscopy images to a classifier that one can defend and deploy.

Every verb of the command is a function here with the same name and arguments. Research use only.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from eosin.core.places import disable_telemetry

# Here, because every import of a part of Eosin comes through here first.
disable_telemetry()

#: Verb → module that holds it. Loaded on first use: `import eosin` must not import torch.
_VERBS = {
    "compare": "eosin.commands.compare",
    "convert": "eosin.commands.convert",
    "demo": "eosin.commands.demo",
    "doctor": "eosin.commands.doctor",
    "ensemble": "eosin.commands.ensemble",
    "evaluate": "eosin.commands.evaluate",
    "models": "eosin.commands.models",
    "plan": "eosin.commands.train",
    "predict": "eosin.commands.predict",
    "report": "eosin.commands.report",
    "train": "eosin.commands.train",
}

__all__ = [
    "EosinError",
    "compare",
    "convert",
    "demo",
    "doctor",
    "ensemble",
    "evaluate",
    "models",
    "plan",
    "predict",
    "report",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "EosinError":
        from eosin.core.errors import EosinError

        return EosinError
    if name == "__version__":
        return metadata.version("eosin")
    if name in _VERBS:
        return getattr(import_module(_VERBS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
