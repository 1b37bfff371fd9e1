"""Class activation maps through ONNX Runtime, exact and without torch.

Source: Zhou et al., "Learning Deep Features for Discriminative Localization" (2016), equation 2.

For a network that ends in global average pooling and one linear layer, the logit is the mean over
all places of the feature map times the layer's weights, plus a bias. The feature map, the weights
and the bias are read as further outputs of ``model.onnx``; the sum is checked at the first image.

What differs: the number that is explained is the log-odds, so the map is the sum of all classes'
maps weighted with its derivative; with two classes the difference of the two maps. An ensemble's
map is the mean of its members', each at its own temperature: it explains the mean of the members'
log-odds, which is not the log-odds of their mean probability.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.core.text import quantity
from eosin.core.types import FloatArray, Image
from eosin.explanation.evidence import (
    Evidence,
    average,
    count_places,
    describe_crops,
    log_odds_gradient,
    refuse,
    spread_cells,
)
from eosin.explanation.members import inputs_of_members, name_members, share_of_members
from eosin.images.preprocess import to_input
from eosin.inference.graphs import Node, read_nodes
from eosin.inference.onnx import OnnxNetwork

#: Names of logits: the network's, or those of a member of an ensemble, at any depth.
_LOGITS = re.compile(r"((?:member\d+_)*)logits")
#: Operators that leave the numbers of a pooled vector as they are.
_RESHAPING = {"Flatten", "Reshape", "Squeeze", "Identity", "Dropout"}
_POOLING = {"GlobalAveragePool", "ReduceMean"}
#: Operators from a network's logits of crops to those of the whole.
_AVERAGING = {"Sub", "ReduceLogSumExp", "Reshape", "LogSoftmax"}
#: Largest difference between a logit and its map's mean, relative to the largest logit.
_TOLERANCE = 1e-3
_WHAT = "class activation mapping"


@dataclass(frozen=True)
class _Head:
    """Names of a network's tensors; ``logits`` are those of its linear layer."""

    logits: str
    features: str
    weight: str
    bias: str
    temperatures: tuple[str, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        return self.logits, self.features, self.weight, self.bias, *self.temperatures


class Cam:
    """Class activation maps of a model folder.

    Args:
        folder: The model folder, whose files have been verified.
        info: Its ``model.json``.
        threads: Threads of ONNX Runtime.

    Raises:
        UsageError: The network, or a member of it, has no global pooling and single linear layer.
    """

    method = "cam"
    n_masks = None

    def __init__(self, folder: ModelFolder, info: ModelInfo, *, threads: int | None = None) -> None:
        self._info = info
        if not folder.onnx.exists():
            raise refuse("the model folder has no model.onnx", _WHAT)
        self._heads = find_heads(folder.onnx)
        names = [name for head in self._heads for name in head.tensors]
        self._network = OnnxNetwork(folder.onnx, threads=threads, also=names)
        self._is_checked = False
        n = len(self._heads)
        self.members = name_members(folder, info)
        self._shares, self._inputs = share_of_members(info), inputs_of_members(info)
        mean = "" if n == 1 else f"mean over {quantity(n, 'member')} of "
        mean += describe_crops(self._inputs)
        self.settings = f"{mean}the last feature map times the weights of the linear layer"

    def explain(self, image: Image, target: int) -> Evidence:
        """Return the evidence for the class ``target`` in an image, uint8 (H, W, C).

        Parts: ``cells``, the map of a single network before it is enlarged, whose mean plus
        ``bias`` is the log-odds if there are two classes; in multi-crop evaluation the maps of the
        crops (K, h, w), each with its ``bias``; or ``members``, each member's map (M, H, W).
        """
        found = self._network.run_inside(to_input(image[None], self._info.preprocessing))
        maps = [self._map(head, found, target) for head in self._heads]
        self._is_checked = True
        size = image.shape[0], image.shape[1]
        shown = [(cells, own) for (cells, _), own in zip(maps, self._inputs, strict=True)]
        large = [spread_cells(cells, own, size) for cells, own in shown]
        places = max((count_places(cells, own) for cells, own in shown), key=math.prod)
        if len(maps) == 1:
            ((cells, bias),) = maps
            parts = {"cells": cells, "bias": bias}
            if len(cells) == 1:
                parts = {name: values[0] for name, values in parts.items()}
            return Evidence(large[0], parts, places=places)
        return Evidence(average(large, self._shares), {"members": np.stack(large)}, places=places)

    def _map(
        self, head: _Head, found: dict[str, FloatArray], target: int
    ) -> tuple[FloatArray, FloatArray]:
        """Return the map of each crop (K, h, w) of a network, and what is the same at all places.

        An input that is seen whole is one crop.
        """
        features, weight, bias = (
            found[name].astype(np.float64) for name in (head.features, head.weight, head.bias)
        )
        logits = found[head.logits].astype(np.float64)
        if weight.shape != (logits.shape[1], features.shape[1]):
            weight = weight.T
        if not self._is_checked:
            _check_sum(features, weight, bias, logits)
        # A member's temperature is inside the graph, a single network's in model.json.
        temperature = np.prod([float(found[name]) for name in head.temperatures] or [1.0])
        if not head.temperatures:
            temperature *= self._info.temperature
        gradient = log_odds_gradient(logits / temperature, target) / temperature
        cells = np.einsum("kc,kchw->khw", gradient @ weight, features)
        return cells.astype(np.float32), np.asarray(gradient @ bias, np.float32)


def _check_sum(
    features: FloatArray, weight: FloatArray, bias: FloatArray, logits: FloatArray
) -> None:
    """Check that the features and weights that were found give the network's logits."""
    if weight.shape == (logits.shape[1], features.shape[1]):
        gap = np.abs(features.mean(axis=(2, 3)) @ weight.T + bias - logits).max()
        if gap <= _TOLERANCE * max(1.0, float(np.abs(logits).max())):
            return
    raise refuse("its last layers do not multiply the mean of a feature map with weights", _WHAT)


def find_heads(path: Path) -> list[_Head]:
    """Find the pooling and the linear layer of each network of an ONNX file.

    Raises:
        UsageError: A network has none.
    """
    writers = {name: node for node in read_nodes(path) for name in node.outputs}
    heads = []
    for name, node in writers.items():
        match = _LOGITS.fullmatch(name)
        # The logits of an ensemble are a difference; those of its members are linear layers.
        if match is None or (node.operator == "Sub" and f"{match[1]}log_sum" in node.inputs):
            continue
        heads.append(_find_head(match[1], node, writers))
    return heads


def _find_head(prefix: str, node: Node, writers: dict[str, Node]) -> _Head:
    lacking = "it does not end in global average pooling and one linear layer"
    while node.operator in _AVERAGING and node.inputs[0] in writers:
        node = writers[node.inputs[0]]
    if node.operator != "Gemm" or len(node.inputs) != 3:
        raise refuse(lacking, _WHAT)
    vector, weight, bias = node.inputs
    before = writers.get(vector)
    while before is not None and before.operator in _RESHAPING:
        before = writers.get(before.inputs[0])
    if before is None or before.operator not in _POOLING:
        raise refuse(lacking, _WHAT)
    parts = re.findall(r"member\d+_", prefix)
    above = accumulate(parts, initial="")
    temperatures = (
        f"{outer}of_{part}temperature" for outer, part in zip(above, parts, strict=False)
    )
    return _Head(node.outputs[0], before.inputs[0], weight, bias, tuple(temperatures))
