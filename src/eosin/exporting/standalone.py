"""Self-contained ONNX file: 8-bit RGB images of any size to calibrated probabilities.

The preprocessing of a model folder, its network and its calibration as one graph, for programs that
know ONNX Runtime and nothing of Eosin. The network's own file is taken as it is.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import compose, helper, numpy_helper

from eosin.artifacts.model import ModelInfo, Preprocessing
from eosin.core.files import atomic_path
from eosin.images.preprocess import channel_affine

#: Added before rounding down: halves are rounded up as by Pillow, also where single precision ends
#: just below.
_HALF = 0.5001
#: Weights at the border are of inner pixels alone, as in Pillow.
_RESIZE: dict[str, Any] = {"mode": "linear", "antialias": 1, "exclude_outside": 1}
_PREFIX = "network_"
_FLOAT, _DOUBLE, _INT = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64


def write_standalone(network: Path, path: Path, info: ModelInfo) -> None:
    """Write the self-contained file of a brightfield model without stain normalisation.

    ``images`` (N, height, width, 3) uint8, RGB → ``probabilities`` (N, K) float32.

    Args:
        network: The network's ONNX file: ``images`` → ``logits``.
        path: The file to write.
        info: Content of ``model.json``.
    """
    model = onnx.load(network)
    compose.add_prefix(model, _PREFIX, inplace=True)
    preprocessing = info.preprocessing
    before, after = _Graph("prepare", "images"), _Graph("calibrate", f"{_PREFIX}logits")
    if preprocessing.resize == "centre_crop":
        _crop(before, preprocessing.input_px)
    before.add("Cast", to=_FLOAT)
    # Not Transpose: where views are transposed later, ONNX Runtime moves it behind Resize, and then
    # loses the sizes.
    before.add("Einsum", equation="nhwc->nchw")
    if preprocessing.resize != "none":
        _resize(before, preprocessing.input_px)
    _scale(before, preprocessing)
    if info.test_time == "dihedral":
        height, width = preprocessing.input_px
        _average(after, _turn(before, is_square=height == width), len(info.class_names))
    after.add("Div", after.constant(info.temperature, np.float32))
    after.add("Softmax", axis=-1)
    before.end(f"{_PREFIX}images")
    after.end("probabilities")
    graph = onnx.GraphProto(name="eosin")
    graph.node.extend([*before.nodes, *model.graph.node, *after.nodes])
    graph.initializer.extend([*model.graph.initializer, *before.constants, *after.constants])
    sides = preprocessing.input_px if preprocessing.resize == "none" else ("height", "width")
    values, size = helper.make_tensor_value_info, ("n", *sides, 3)
    graph.input.append(values("images", onnx.TensorProto.UINT8, size))
    graph.output.append(values("probabilities", _FLOAT, ("n", len(info.class_names))))
    made = helper.make_model(
        graph,
        producer_name="eosin",
        ir_version=model.ir_version,
        opset_imports=model.opset_import,
        functions=model.functions,
    )
    helper.set_model_props(made, describe(info))
    with atomic_path(path) as temporary:
        onnx.save(made, temporary)


def describe(info: ModelInfo) -> dict[str, str]:
    """Return what a program must know of a model, texts by name; values other than text in JSON."""
    rule = info.abstention
    quantiles = rule.quantiles if rule is not None else None
    return {
        "class_names": json.dumps(info.class_names),
        "positive": info.positive or "",
        "threshold": json.dumps(info.threshold.value),
        # A class is in the prediction set where 1 - its probability is at most its quantile.
        "abstention_quantiles": json.dumps(quantiles),
        "abstention": "abstain unless the classes whose 1 - probability is at most their quantile "
        "are exactly the decided one",
        "mpp": json.dumps(info.mpp),
        "intended_use": info.intended_use,
        "licence": info.licence,
        "data_licence": info.data_licence,
    }


class _Graph:
    """Operators in a row, each on the output of the one before."""

    def __init__(self, name: str, start: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.last = start
        self._name = name

    def add(self, operator: str, *others: str, on: str | None = None, **attributes: Any) -> str:
        """Add an operator on the last output, or on another; return its own."""
        name = f"{self._name}_{len(self.nodes)}"
        inputs = [on or self.last, *others]
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        self.last = name
        return name

    def constant(self, values: npt.ArrayLike, dtype: type) -> str:
        """Add a constant and return its name."""
        name = f"{self._name}_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def end(self, name: str) -> None:
        """Name the last output."""
        self.nodes[-1].output[0] = name


def _crop(graph: _Graph, input_px: tuple[int, int]) -> None:
    """Crop the largest centred part of the input's aspect ratio, as ``images.preprocess`` does."""
    images, target = graph.last, graph.constant(input_px, np.float64)
    size = graph.add("Shape", start=1, end=3)
    graph.add("Cast", to=_DOUBLE)
    graph.add("Div", target)
    graph.add("ReduceMin", keepdims=1)
    graph.add("Mul", target)
    graph.add("Round")
    graph.add("Max", graph.constant([1, 1], np.float64))
    part = graph.add("Cast", to=_INT)
    graph.add("Sub", part, on=size)
    start = graph.add("Div", graph.constant([2, 2], np.int64))
    end = graph.add("Add", part)
    graph.add("Slice", start, end, graph.constant([1, 2], np.int64), on=images)


def _resize(graph: _Graph, input_px: tuple[int, int]) -> None:
    """Resize as Pillow does: columns, then rows, each rounded to 8 bits.

    Pillow 13 starts with the rows of upright images: then values differ by at most 1 of 255.
    """
    for axis, side in ((3, input_px[1]), (2, input_px[0])):
        # The empty inputs are the region of interest and the scales.
        graph.add("Resize", "", "", graph.constant([side], np.int64), axes=[axis], **_RESIZE)
        graph.add("Add", graph.constant(_HALF, np.float32))
        graph.add("Floor")


def _scale(graph: _Graph, preprocessing: Preprocessing) -> None:
    """Order and scale the channels."""
    order, factor, offset = channel_affine(preprocessing)
    graph.add("Gather", graph.constant(order, np.int64), axis=1)
    graph.add("Mul", graph.constant(factor[:, None, None], np.float32))
    graph.add("Add", graph.constant(offset[:, None, None], np.float32))


def _turn(graph: _Graph, *, is_square: bool) -> int:
    """Put all flipped and turned views of the images into one batch; return their number."""
    views = [graph.last]
    last, back = graph.constant([-1], np.int64), graph.constant([-1], np.int64)
    end = graph.constant([np.iinfo(np.int64).min], np.int64)
    for axis in (2, 3):
        place = graph.constant([axis], np.int64)
        views += [graph.add("Slice", last, end, place, back, on=view) for view in views]
    if is_square:
        views += [graph.add("Transpose", on=view, perm=[0, 1, 3, 2]) for view in views]
    graph.add("Concat", *views[1:], on=views[0], axis=0)
    return len(views)


def _average(graph: _Graph, n_views: int, n_classes: int) -> None:
    """Add the logarithm of the mean of the views' probabilities."""
    graph.add("Reshape", graph.constant([n_views, -1, n_classes], np.int64))
    graph.add("LogSoftmax", axis=-1)
    graph.add("ReduceLogSumExp", graph.constant([0], np.int64), keepdims=0)
    graph.add("Sub", graph.constant(math.log(n_views), np.float32))
