"""Eosin: train and evaluate classifiers of cancer-microscopy images, with leak audit and intervals.

Every command is a function here with the same name and arguments; those of ``eosin data`` have
their last word as name, so ``eosin data audit`` is ``eosin.audit``. ``eosin.load`` opens
a model and ``eosin.load_run`` a finished run. See docs/python.md. Research use only.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module, metadata
from typing import TYPE_CHECKING

from eosin.core.places import disable_telemetry

if TYPE_CHECKING:
    from eosin.commands.bench import bench as bench
    from eosin.commands.check_explanations import check_explanations as check_explanations
    from eosin.commands.compare import compare as compare
    from eosin.commands.convert import convert as convert
    from eosin.commands.data_audit import audit as audit
    from eosin.commands.data_cache import cache as cache
    from eosin.commands.data_check import check as check
    from eosin.commands.data_fetch import fetch as fetch
    from eosin.commands.data_list import list as list  # noqa: A004 -- the command's name
    from eosin.commands.data_manifest import manifest as manifest
    from eosin.commands.demo import demo as demo
    from eosin.commands.doctor import doctor as doctor
    from eosin.commands.ensemble import ensemble as ensemble
    from eosin.commands.evaluate import evaluate as evaluate
    from eosin.commands.explain import explain as explain
    from eosin.commands.export import export as export
    from eosin.commands.load import load as load
    from eosin.commands.load_run import load_run as load_run
    from eosin.commands.models import models as models
    from eosin.commands.predict import predict as predict
    from eosin.commands.recipes import recipes as recipes
    from eosin.commands.report import report as report
    from eosin.commands.reproduce import reproduce as reproduce
    from eosin.commands.train import plan as plan
    from eosin.commands.train import train as train
    from eosin.core.errors import ArtifactError as ArtifactError
    from eosin.core.errors import DataError as DataError
    from eosin.core.errors import DownloadError as DownloadError
    from eosin.core.errors import EosinError as EosinError
    from eosin.core.errors import ImageError as ImageError
    from eosin.core.errors import InterruptedRunError as InterruptedRunError
    from eosin.core.errors import LeakError as LeakError
    from eosin.core.errors import ManifestError as ManifestError
    from eosin.core.errors import MissingPartError as MissingPartError
    from eosin.core.errors import OutputError as OutputError
    from eosin.core.errors import RecipeError as RecipeError
    from eosin.core.errors import SkippedFilesError as SkippedFilesError
    from eosin.core.errors import SplitError as SplitError
    from eosin.core.errors import TrainingError as TrainingError
    from eosin.core.errors import UnknownNameError as UnknownNameError
    from eosin.core.errors import UsageError as UsageError

    __version__: str

# Here, because every import of a part of Eosin comes through here first.
disable_telemetry()

#: Name → module that holds it. Loaded on first use: `import eosin` must not import torch.
_EXPORTS = {
    "ArtifactError": "eosin.core.errors",
    "DataError": "eosin.core.errors",
    "DownloadError": "eosin.core.errors",
    "EosinError": "eosin.core.errors",
    "ImageError": "eosin.core.errors",
    "InterruptedRunError": "eosin.core.errors",
    "LeakError": "eosin.core.errors",
    "ManifestError": "eosin.core.errors",
    "MissingPartError": "eosin.core.errors",
    "OutputError": "eosin.core.errors",
    "RecipeError": "eosin.core.errors",
    "SkippedFilesError": "eosin.core.errors",
    "SplitError": "eosin.core.errors",
    "TrainingError": "eosin.core.errors",
    "UnknownNameError": "eosin.core.errors",
    "UsageError": "eosin.core.errors",
    "audit": "eosin.commands.data_audit",
    "bench": "eosin.commands.bench",
    "cache": "eosin.commands.data_cache",
    "check": "eosin.commands.data_check",
    "check_explanations": "eosin.commands.check_explanations",
    "compare": "eosin.commands.compare",
    "convert": "eosin.commands.convert",
    "demo": "eosin.commands.demo",
    "doctor": "eosin.commands.doctor",
    "ensemble": "eosin.commands.ensemble",
    "evaluate": "eosin.commands.evaluate",
    "explain": "eosin.commands.explain",
    "export": "eosin.commands.export",
    "fetch": "eosin.commands.data_fetch",
    "list": "eosin.commands.data_list",
    "load": "eosin.commands.load",
    "load_run": "eosin.commands.load_run",
    "manifest": "eosin.commands.data_manifest",
    "models": "eosin.commands.models",
    "plan": "eosin.commands.train",
    "predict": "eosin.commands.predict",
    "recipes": "eosin.commands.recipes",
    "report": "eosin.commands.report",
    "reproduce": "eosin.commands.reproduce",
    "train": "eosin.commands.train",
}

# Without `list`: `from eosin import *` must leave the built-in one alone.
__all__ = [
    "ArtifactError",
    "DataError",
    "DownloadError",
    "EosinError",
    "ImageError",
    "InterruptedRunError",
    "LeakError",
    "ManifestError",
    "MissingPartError",
    "OutputError",
    "RecipeError",
    "SkippedFilesError",
    "SplitError",
    "TrainingError",
    "UnknownNameError",
    "UsageError",
    "audit",
    "bench",
    "cache",
    "check",
    "check_explanations",
    "compare",
    "convert",
    "demo",
    "doctor",
    "ensemble",
    "evaluate",
    "explain",
    "export",
    "fetch",
    "load",
    "load_run",
    "manifest",
    "models",
    "plan",
    "predict",
    "recipes",
    "report",
    "reproduce",
    "train",
]

# Hidden from type checkers, to which every misspelt name would exist otherwise.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "__version__":
            return metadata.version("eosin")
        if name in _EXPORTS:
            return getattr(import_module(_EXPORTS[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> Iterable[str]:
        return [*_EXPORTS, "__version__"]
