"""Static quantisation of an ONNX file to 8 bits, with bias correction.

ONNX Runtime's quantiser, in the QDQ form: weights signed, per output channel, reduced to 7 bits, so
that sums of products do not saturate on processors without VNNI; activations unsigned, per tensor,
with the range that they have on calibration images. The first convolution, which sees the pixels,
and the last layer, which gives the logits, stay in float32.

Rounding the weights shifts the mean of each channel. The shift on the calibration images is taken
from the bias (empirical bias correction: Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction", ICCV 2019).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from eosin.core.errors import ArtifactError
from eosin.core.files import atomic_path
from eosin.core.types import FloatArray
from eosin.inference.onnx import OnnxNetwork

#: Prepared calibration images, (B, C, H, W), anew at each call.
Batches = Callable[[], Iterator[FloatArray]]

#: Operators with weights.
_WEIGHTED = ("Conv", "Gemm", "MatMul")
#: Operators with 8-bit kernels, and those that only move values. Others stay in float32: batch-norm
#: that follows no convolution loses far more than it saves, gates (Sigmoid, Mul) become slower.
_OPERATORS = (
    *_WEIGHTED,
    *("Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Concat", "Pad", "Flatten", "Reshape", "Transpose"),
)
_ERROR, _MEAN = "_rounding", "_rounding_mean"


def write_int8(source: Path, target: Path, batches: Batches) -> None:
    """Write the 8-bit form of a network, ``images`` (N, C, H, W) → ``logits`` (N, K).

    Args:
        source: Its ONNX file in float32.
        target: The file to write.
        batches: Gives the calibration images, at least one.

    Raises:
        ArtifactError: The quantiser cannot convert the network.
    """
    with tempfile.TemporaryDirectory(prefix="eosin-") as name:
        folder = Path(name)
        prepared, rounded = folder / "prepared.onnx", folder / "rounded.onnx"
        with _quantiser(source) as library:
            # Symbolic shapes need another package, and all but the batch's size are fixed.
            library.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            network = _name_nodes(onnx.load(prepared))
            onnx.save(network, prepared)
            library.quantize_static(
                str(prepared),
                str(rounded),
                _Reader(batches()),
                quant_format=library.QuantFormat.QDQ,
                activation_type=library.QuantType.QUInt8,
                weight_type=library.QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                op_types_to_quantize=list(_OPERATORS),
                nodes_to_exclude=_find_float32(network.graph),
            )
        quantised = onnx.load(rounded)
        _correct_biases(network, quantised, folder / "errors.onnx", batches)
        with atomic_path(target) as temporary:
            onnx.save(quantised, temporary)


class _Reader:
    """Calibration images in the form that the quantiser asks for them."""

    def __init__(self, batches: Iterator[FloatArray]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, FloatArray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


@contextmanager
def _quantiser(source: Path) -> Iterator[Any]:
    """Return ONNX Runtime's quantiser, silent: it writes to the root logger."""
    from onnxruntime import quantization

    root, handler = logging.getLogger(), logging.NullHandler()
    level = root.manager.disable
    root.addHandler(handler)  # without one, its first message would add one that prints
    logging.disable(logging.WARNING)
    try:
        yield quantization
    except Exception as error:  # the quantiser's errors share no base class
        reason = " ".join(str(error).split())[:300]
        raise ArtifactError(f"{source} cannot be converted to 8 bits: {reason}") from error
    finally:
        logging.disable(level)
        root.removeHandler(handler)


def _name_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give each node without a name one: nodes are left out by name."""
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{number}"
    return model


def _find_float32(graph: onnx.GraphProto) -> list[str]:
    """Return the nodes up to the first weights from the images, and from the last on."""
    makes = {output: node for node in graph.node for output in node.output}
    takes: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            takes.setdefault(name, []).append(node)

    def walk(tensor: str, step: Callable[[str], Sequence[onnx.NodeProto]], side: str) -> set[str]:
        found: set[str] = set()
        left = [tensor]
        while left:
            for node in step(left.pop()):
                if node.name not in found:
                    found.add(node.name)
                    left += [] if node.op_type in _WEIGHTED else list(getattr(node, side))
        return found

    first = walk("images", lambda name: takes.get(name, []), "output")
    last = walk("logits", lambda name: [makes[name]] if name in makes else [], "input")
    return sorted(first | last)


def _correct_biases(
    network: onnx.ModelProto, quantised: onnx.ModelProto, path: Path, batches: Batches
) -> None:
    """Take each channel's mean rounding error from the biases of the quantised network.

    The error of a layer is the output that the rounding of its weights alone has, for the inputs
    that it has in float32: a second layer beside it, with the rounding as its weights.
    """
    values = {one.name: one for one in quantised.graph.initializer}
    opened = {node.output[0]: node for node in quantised.graph.node if node.input[0] in values}
    rounded = {node.name: node for node in quantised.graph.node if node.op_type in _WEIGHTED}
    known = {one.name: one for one in network.graph.initializer}
    biases: dict[str, onnx.NodeProto] = {}
    for node in list(network.graph.node):
        inputs = list(rounded[node.name].input) if node.name in rounded else []
        if len(inputs) == 3 and inputs[1] in opened and inputs[2] in opened:
            kept = numpy_helper.to_array(known[node.input[1]])
            error = _dequantise(opened[inputs[1]], values) - kept
            biases[_add_error(network.graph, node, error)] = opened[inputs[2]]
    if not biases:
        return
    onnx.save(network, path)
    for name, shift in _average(
        OnnxNetwork(path, also=list(biases)), list(biases), batches
    ).items():
        stored = values[biases[name].input[0]]
        scale = numpy_helper.to_array(values[biases[name].input[1]])
        steps = numpy_helper.to_array(stored) - np.round(shift / scale)
        stored.CopyFrom(numpy_helper.from_array(steps.astype(np.int32), stored.name))


def _dequantise(node: onnx.NodeProto, values: dict[str, onnx.TensorProto]) -> FloatArray:
    """Return weights as the 8-bit network has them; their zero is 0."""
    steps, scale = (numpy_helper.to_array(values[name]) for name in node.input[:2])
    axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
    sides = [1] * steps.ndim
    if scale.ndim:
        sides[axis] = -1
    found: FloatArray = steps.astype(np.float32) * scale.reshape(sides)
    return found


def _add_error(graph: onnx.GraphProto, node: onnx.NodeProto, error: FloatArray) -> str:
    """Add the layer whose weights are the rounding; return the name of its channels' means."""
    axes = [0, 2, 3] if node.op_type == "Conv" else [0]
    weights, places = f"{node.name}{_ERROR}", f"{node.name}{_ERROR}_axes"
    graph.initializer.append(numpy_helper.from_array(error.astype(np.float32), weights))
    graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), places))
    layer = onnx.NodeProto()
    layer.CopyFrom(node)
    layer.name, layer.input[1], layer.output[0] = weights, weights, f"{node.output[0]}{_ERROR}"
    del layer.input[2:]
    mean = f"{node.output[0]}{_MEAN}"
    reduced = helper.make_node("ReduceMean", [layer.output[0], places], [mean], keepdims=0)
    graph.node.extend([layer, reduced])
    return mean


def _average(network: OnnxNetwork, names: Sequence[str], batches: Batches) -> dict[str, FloatArray]:
    """Return the mean of tensors over all images."""
    sums: dict[str, FloatArray] = {name: np.zeros(1) for name in names}
    n_images = 0
    for batch in batches():
        found = network.run_inside(batch)
        sums = {name: total + len(batch) * found[name] for name, total in sums.items()}
        n_images += len(batch)
    return {name: total / n_images for name, total in sums.items()}
