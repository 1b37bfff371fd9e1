"""Weights as safetensors without PyTorch, and their conversion from the NumPy engine's npz.

A network of the engine and its PyTorch twin have the same safetensors file. The engine stores
channels last and a dense layer's inputs first; the file has PyTorch's order, channels first and
outputs first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from eosin.core.errors import ArtifactError
from eosin.core.files import atomic_path, check_file, explain_os_errors
from eosin.core.types import FloatArray

#: By name.
Arrays = dict[str, npt.NDArray[np.generic]]

#: From the engine's layers to the modules of the PyTorch twin: of P3's network for MNIST, then of
#: its light CNN.
TWINS = (
    {"conv2d1": "features.0", "conv2d2": "features.2", "dense1": "classifier.1"},
    {
        "conv2d1": "features.0",
        "batchnorm1": "features.2",
        "conv2d2": "features.3",
        "batchnorm2": "features.5",
        "conv2d3": "features.7",
        "batchnorm3": "features.9",
        "dense1": "classifier.1",
        "dense2": "classifier.3",
    },
)
#: End of the message of an error of the operating system.
_NUMBER = re.compile(r" \(os error (\d+)\)")
_PARTS = {"mean": "running_mean", "variance": "running_var"}
#: Buffers that only PyTorch has.
_COUNT = "num_batches_tracked"


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Context manager that raises ``OutputError`` if a safetensors file cannot be written."""
    try:
        yield
    except SafetensorError as error:  # wraps errors of the operating system
        reason = str(error).rpartition("I/O error: ")[2]
        number = _NUMBER.search(reason)
        with explain_os_errors("write", path):
            raise OSError(int(number[1]) if number else 0, _NUMBER.sub("", reason)) from error


@contextmanager
def explain_read_errors(path: Path) -> Iterator[None]:
    """Context manager that raises ``ArtifactError`` if a safetensors file is absent or damaged."""
    try:
        yield
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except MemoryError:
        raise ArtifactError(f"{path} needs more memory than is free") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"{path} cannot be read: {reason}") from error
    except (AttributeError, TypeError) as error:
        raise ArtifactError(
            f"{path} contains numbers of a type that NumPy does not have"
        ) from error


def write_arrays(
    path: Path,
    arrays: Mapping[str, npt.NDArray[np.generic]],
    shown: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays atomically as safetensors; ``shown`` is metadata, e.g. the ``licence``."""
    # A transposed view would be written in memory order.
    state = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic_path(path) as temporary, explain_write_errors(path):
        save_file(state, temporary, metadata=dict(shown) if shown else None)


def read_arrays(path: Path) -> Arrays:
    """Read named arrays; raises ``ArtifactError`` if the file is absent or damaged."""
    with explain_read_errors(path):
        check_file(path)
        found: Arrays = load_file(path)
    return found


def to_twin(state: Mapping[str, FloatArray]) -> Arrays:
    """Convert the weights of an engine network to those of its PyTorch twin.

    Args:
        state: As ``layer.part``: of convolutions (k, k, C, F), of dense layers (inputs, units), of
            batch-norms and biases (C,).

    Raises:
        ArtifactError: A layer has no twin.
    """
    modules = _pick_twin([name.partition(".")[0] for name in state], TWINS)
    side, channels = _last_maps(state, modules)
    arrays: Arrays = {}
    for name, value in state.items():
        layer, _, part = name.partition(".")
        if layer not in modules:
            raise ArtifactError(
                f"the layer {layer!r} has no counterpart in PyTorch",
                hint="Only P3's networks have one",
            )
        if value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        elif value.ndim == 2:
            if layer == "dense1":
                # Flattened, an image is (H, W, C) here and (C, H, W) there.
                maps = value.reshape(side, side, channels, -1).transpose(2, 0, 1, 3)
                value = maps.reshape(value.shape)
            value = value.T
        arrays[f"{modules[layer]}.{_PARTS.get(part, part)}"] = value
        if part == "variance":
            arrays[f"{modules[layer]}.{_COUNT}"] = np.array(0, np.int64)
    return arrays


def from_twin(arrays: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, FloatArray]:
    """Convert the weights of the PyTorch twin; raises ``ArtifactError`` at a foreign name."""
    turned = [{module: layer for layer, module in twin.items()} for twin in TWINS]
    layers = _pick_twin([name.rpartition(".")[0] for name in arrays], turned)
    parts = {twin: own for own, twin in _PARTS.items()}
    state: dict[str, FloatArray] = {}
    for name, found in arrays.items():
        module, _, part = name.rpartition(".")
        if part == _COUNT:
            continue
        if module not in layers:
            raise ArtifactError(f"{name!r} is not a part of P3's networks")
        value: FloatArray = np.asarray(found, dtype=np.float32)
        if value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        elif value.ndim == 2:
            value = value.T
        state[f"{layers[module]}.{parts.get(part, part)}"] = value
    side, channels = _last_maps(state, layers.values())
    rows = state["dense1.weight"]
    if rows.shape[:1] != (channels * side * side,):
        raise ArtifactError(f"weights: 'dense1.weight' has the shape {rows.shape}")
    maps = rows.reshape(channels, side, side, -1).transpose(1, 2, 0, 3)
    return state | {"dense1.weight": maps.reshape(rows.shape)}


def _pick_twin(found: Collection[str], twins: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return the first of the twins that has all parts of a file, else the last, the largest."""
    return next((twin for twin in twins if set(found) <= twin.keys()), twins[-1])


def _last_maps(state: Mapping[str, FloatArray], layers: Collection[str]) -> tuple[int, int]:
    """Return side and channels of the maps that the first dense layer flattens."""
    bias = f"{max(layer for layer in layers if layer.startswith('conv2d'))}.bias"
    try:
        channels, inputs = state[bias].size, len(state["dense1.weight"])
    except KeyError as error:
        raise ArtifactError(f"weights: {error.args[0]!r} is missing") from None
    except TypeError:
        raise ArtifactError("weights: 'dense1.weight' is a single number") from None
    if channels == 0:
        raise ArtifactError(f"weights: {bias!r} is empty")
    return math.isqrt(inputs // channels), channels
