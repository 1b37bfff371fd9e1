"""Import of torchvision and timm where torchvision's compiled part is missing.

PyPI's torchvision is built for CUDA. Beside a CPU-only torch its import fails with
``operator torchvision::nms does not exist``, and so does that of timm. Eosin calls neither
operator; declaring their schemas is enough for the import to succeed.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

from eosin.core.errors import MissingPartError

# Kept for the whole process: deleting the library would delete the declaration.
_declared: list[Any] = []


def import_companion(name: str) -> ModuleType:
    """Import torchvision or a package that depends on it, e.g. ``timm``.

    Raises:
        MissingPartError: The training extra is not installed.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise missing_train_extra() from error
    with warnings.catch_warnings():
        # The user cannot fix deprecations inside other projects.
        warnings.simplefilter("ignore")
        try:
            _make_torchvision_importable()
            module = importlib.import_module(name)
        except ImportError as error:
            raise missing_train_extra(name.partition(".")[0]) from error
    return module


def missing_train_extra(package: str = "PyTorch") -> MissingPartError:
    """Return the error with the command that installs the training extra."""
    return MissingPartError(
        f"training needs {package}, which is not installed", hint="pip install 'eosin[train]'"
    )


def _make_torchvision_importable() -> None:
    if "torchvision" in sys.modules or _declared:
        return
    try:
        importlib.import_module("torchvision")
    except ImportError:
        return  # what needs it says so itself
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        _declare_operators()


def _declare_operators() -> None:
    from torch.library import Library

    library = Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        library.define(schema)  # type: ignore[no-untyped-call]
    _declared.append(library)
