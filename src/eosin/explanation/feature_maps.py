"""Feature maps of a network, layer by layer, through ONNX Runtime or the NumPy engine.

Of each size of map, from the input on, the last one is a layer. An ensemble shows its first member,
multi-crop evaluation the first crop.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo, Preprocessing
from eosin.artifacts.weights import read_arrays
from eosin.core.errors import UsageError
from eosin.core.types import FloatArray, Image
from eosin.engine import ARCHITECTURES, Network
from eosin.explanation.members import inputs_of_members, name_members
from eosin.images.crops import crop_origins, cut_crops
from eosin.images.preprocess import to_input
from eosin.inference.engine import build_engine
from eosin.inference.graphs import read_nodes
from eosin.inference.onnx import OnnxNetwork

#: Operators of ONNX whose outputs are a layer's; all others change a map's layout or its border.
_LAYERS = frozenset(
    {"Conv", "Relu", "LeakyRelu", "Clip", "HardSwish", "Gelu", "Elu", "Mul", "Add", "Concat"}
    | {"BatchNormalization", "LayerNormalization", "MaxPool", "AveragePool", "Transpose"}
)
#: Start of the tensors inside the network of multi-crop evaluation.
_CROPPED = "/network/"
#: From inputs (1, C, H, W) to tensors by name.
Run: TypeAlias = Callable[[FloatArray], dict[str, FloatArray]]
#: Prefix of the tensors of an ensemble's first network, at any depth; those of others.
_FIRST, _OTHERS = re.compile(r"(member0_)+"), re.compile(r"(member\d+_)+")


@dataclass(frozen=True)
class Layer:
    """Feature maps of one layer.

    Attributes:
        name: Path of its module, and the operator.
        maps: Float32, (C, H, W).
    """

    name: str
    maps: FloatArray


class FeatureMaps:
    """Feature maps of a model.

    Args:
        folder: The model folder, whose files have been verified.
        info: Its ``model.json``.
        threads: Threads of ONNX Runtime.

    Attributes:
        names: The layers, from input to output.
        member: The network of an ensemble whose maps these are; empty for a single network.

    Raises:
        UsageError: No layer has maps with more than one place.
    """

    def __init__(self, folder: ModelFolder, info: ModelInfo, *, threads: int | None = None) -> None:
        self._info = info
        self.member = next(iter(name_members(folder, info)), "")
        first = inputs_of_members(info)[0]
        n_crops = len(crop_origins(first))
        if folder.onnx.exists():
            names = [
                node.outputs[0]
                for node in read_nodes(folder.onnx)
                if node.operator in _LAYERS
                and _is_of_first(node.outputs[0], "" if first.crop_px is None else _CROPPED)
            ]
            self._run: Run = OnnxNetwork(folder.onnx, threads=threads, also=names).run_inside
        elif info.architecture in ARCHITECTURES:
            network = build_engine(read_arrays(folder.weights), info)
            self._run = _run_engine(network, info.preprocessing)
        else:
            raise UsageError("feature maps need a model.onnx, which the model folder does not have")
        height, width = info.preprocessing.input_px
        aspect = height / width if first.crop_px is None else 1.0
        black = np.zeros((1, len(info.preprocessing.channels), height, width), np.float32)
        self._names = _last_of_each_size(self._run(black), aspect, n_crops)
        if not self._names:
            raise UsageError("this network has no feature maps with more than one place")
        self.names = [_name_layer(name) for name in self._names]
        if n_crops > 1:
            shown = (name.removeprefix("network.") for name in self.names)
            self.names = [f"{name}, first of {n_crops} crops" for name in shown]
        if folder.onnx.exists():
            self._run = OnnxNetwork(folder.onnx, threads=threads, also=self._names).run_inside

    def find(self, image: Image) -> list[Layer]:
        """Return the layers of an image, uint8 (H, W, C), from input to output."""
        found = self._run(to_input(image[None], self._info.preprocessing))
        maps = (found[name][0] for name in self._names)
        return [Layer(name, own) for name, own in zip(self.names, maps, strict=True)]


def _run_engine(network: Network, preprocessing: Preprocessing) -> Run:
    def run(inputs: FloatArray) -> dict[str, FloatArray]:
        crops = cut_crops(inputs, preprocessing)
        found = network.feature_maps(np.ascontiguousarray(crops.transpose(0, 2, 3, 1)))
        return {name: np.moveaxis(maps, -1, 1) for name, maps in found.items() if maps.ndim == 4}

    return run


def _is_of_first(name: str, within: str) -> bool:
    prefix = _OTHERS.match(name)
    is_first = prefix is None or bool(_FIRST.fullmatch(prefix[0]))
    return is_first and _OTHERS.sub("", name).startswith(within)


def _last_of_each_size(found: dict[str, FloatArray], aspect: float, n_crops: int) -> list[str]:
    """Return the names of the last maps of each size, where sizes fall from layer to layer."""
    last: dict[int, str] = {}
    for name, maps in found.items():
        if maps.ndim != 4 or len(maps) != n_crops:
            continue
        height, width = maps.shape[2:]
        # A stride rounds each side up or down.
        is_map = height * width > 1 and abs(height - aspect * width) <= 1
        if is_map and height <= min(last, default=height):
            last[height] = name
    return list(last.values())


def _name_layer(name: str) -> str:
    """Return the path of a module and its operator from an ONNX tensor's name."""
    parts = [part for part in _OTHERS.sub("", name).split("/") if part]
    path: list[str] = []
    for part in parts[:-1]:
        # The parts of a sequence repeat its name.
        path[-1:] = [part] if path and part.startswith(f"{path[-1]}.") else [*path[-1:], part]
    operator = re.sub(r"(_\d+)?_output_\d+$", "", parts[-1]) if parts else name
    return f"{'.'.join(path)} ({operator})" if path else operator


def most_active(maps: FloatArray, most: int) -> list[int]:
    """Return the channels of the largest mean magnitude, at most ``most``, in their order."""
    strength = np.abs(maps).mean(axis=(1, 2))
    found: list[int] = sorted(np.argsort(-strength, kind="stable")[:most].tolist())
    return found
