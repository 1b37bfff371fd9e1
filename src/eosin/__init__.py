"""Eosin: from labelled cancer-microscopy images to a classifier that one can defend and deploy.

Every verb of the command is a function here with the same name and arguments. Research use only.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from eosin.core.offline import disable_telemetry

# Here, because every import of a part of Eosin comes through here first.
disable_telemetry()

#: Verb → module that holds it. Loaded on first use: `import eosin` must not import torch.
_VERBS = {
    "compare": "eosin.pipeline.comparing",
    "convert": "eosin.pipeline.conversion",
    "demo": "eosin.pipeline.demonstration",
    "doctor": "eosin.pipeline.inspection",
    "ensemble": "eosin.pipeline.ensembling",
    "evaluate": "eosin.pipeline.assessment",
    "models": "eosin.pipeline.inspection",
    "plan": "eosin.pipeline.experiment",
    "predict": "eosin.pipeline.prediction",
    "report": "eosin.pipeline.pages",
    "train": "eosin.pipeline.experiment",
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
