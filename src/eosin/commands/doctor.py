"""The verbs that only look: ``doctor``, ``models``, ``data list|manifest``."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eosin.artifacts.manifest import write_manifest
from eosin.core.errors import DataError, OutputError, RecipeError
from eosin.core.files import check_writable
from eosin.core.places import cache_folder
from eosin.core.types import Samples
from eosin.data.sources.base import DATA_VARIABLE, collect_samples
from eosin.data.sources.catalogue import DATASETS
from eosin.data.verification import verify
from eosin.experiment.environment import version_of

_BASE = ("numpy", "scipy", "pandas", "pyarrow", "pillow", "onnxruntime", "matplotlib", "pydantic")
_TRAIN = ("torch", "torchvision", "lightning", "onnx")
_LOGGERS = ("tensorboard", "mlflow")


@dataclass(frozen=True)
class Check:
    """One line of ``doctor``.

    Attributes:
        topic: What was looked at.
        found: What was found.
        mend: What to do about a lack; empty where there is none.
        needed: Whether Eosin cannot work without it.
    """

    topic: str
    found: str
    mend: str = ""
    needed: bool = False


def doctor() -> list[Check]:
    """Look at versions, devices, optional parts, and where data would be found."""
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
    lack = "missing" if needed else "absent: predicts, audits and reports, but does not train"
    return Check(name, lack, f"pip install '{extra}'", needed=needed)


def _logger(name: str) -> Check:
    version = version_of(name) or version_of(f"{name}-skinny")
    if version is not None:
        return Check(name, version)
    return Check(name, "absent: train.loggers cannot name it", "pip install 'eosin[logging]'")


def _devices() -> Check:
    if version_of("torch") is None:
        return Check("devices", "cpu (ONNX Runtime)")
    try:
        import torch
    except Exception as error:  # noqa: BLE001 -- a broken install can raise anything
        return Check("devices", f"torch does not import: {error}", "Reinstall torch", needed=True)
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
            "Name a folder that can be written: export EOSIN_CACHE=FOLDER",
        )
    state = "there" if cache.is_dir() else "made when needed"
    return Check("cache", f"{cache} ({state}); $EOSIN_CACHE chooses another")


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
                    f"not at {folder}",
                    "Name another folder with --set data.root=FOLDER",
                )
            )
    return checks


@dataclass(frozen=True)
class ModelLine:
    """One registered model, as ``models --json`` lists it.

    Attributes:
        name: Registered name.
        paper: Where it comes from.
        input_px: The paper's input height and width.
        params: Learnable weights with the paper's number of classes.
        macs: Multiply-accumulates for one image.
        offline_weights: Whether pretrained weights come without a network connection.
    """

    name: str
    paper: str
    input_px: int
    params: int
    macs: int
    offline_weights: bool


def models() -> list[ModelLine]:
    """List every registered model with its size.

    Raises:
        MissingPartError: PyTorch is not installed.
    """
    if version_of("torch") is None and "torch" not in sys.modules:
        from eosin.runtime.door import missing_train_extra

        raise missing_train_extra()
    import torch

    from eosin.networks import NETWORKS, build_network, count_params
    from eosin.networks.registry import count_macs

    lines = []
    for name in NETWORKS:
        spec = NETWORKS.get(name)
        # Shapes are all that is counted: no weight is drawn, no image computed.
        with torch.device("meta"):
            network = build_network(
                name, num_classes=spec.num_classes, input_px=spec.input_px, arguments={}
            )
            macs = count_macs(network, spec.input_px)
        lines.append(
            ModelLine(
                name=name,
                paper=spec.paper,
                input_px=spec.input_px,
                params=count_params(network),
                macs=macs,
                offline_weights=spec.offline_weights,
            )
        )
    return lines


def list_datasets() -> list[dict[str, Any]]:
    """Return the facts of every registered data set."""
    return [DATASETS.get(name).facts.as_dict() for name in DATASETS]


def make_manifest(
    name: str, root: Path, output: Path, *, options: Mapping[str, Any] | None = None
) -> tuple[Samples, list[str]]:
    """Write a manifest from a data set's own folder tree.

    Args:
        name: Registered data set.
        root: Its folder.
        output: CSV or Parquet to write.
        options: The data set's own options, as in ``[data.options]`` of a recipe.

    Returns:
        The samples; sentences on what is missing or odd, see :mod:`eosin.data.verification`.

    Raises:
        EosinError: The name, the folder or its contents do not fit.
    """
    dataset = DATASETS.get(name)
    if output.suffix not in {".csv", ".parquet"}:
        raise RecipeError(f"a manifest is a .csv or .parquet file, got {output.name!r}")
    if output.exists():
        raise DataError(f"{output} exists already", mend="Choose another file with -o")
    if dataset.needs_root and not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root} {what}", mend=f"Name the folder that holds the images of {name}")
    folder = root.resolve()
    check_writable(output.parent)
    samples = collect_samples(name, folder, options or {}, label="label", positive=None)
    write_manifest(output, samples)
    return samples, verify(name, samples)
