"""Merged ONNX file of several networks: the mean of their probabilities.

The graph of :class:`eosin.networks.classifier.Ensemble`, built from the members' ONNX files.
Exporting the ensemble itself would trace every member a second time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import compose, helper, numpy_helper

from eosin.core.errors import TrainingError
from eosin.core.files import atomic_path
from eosin.core.types import FloatArray, IntArray
from eosin.inference.engine import Rescale


@dataclass(frozen=True)
class Member:
    """A network of the ensemble.

    Attributes:
        path: Its ONNX file: ``images`` (N, C, h, w) → ``logits`` (N, K).
        input_px: Height and width of its input; the ensemble's images are resized to it.
        temperature: Divisor of its logits.
        rescale: Conversion of the ensemble's normalisation to the member's.
    """

    path: Path
    input_px: tuple[int, int]
    temperature: float = 1.0
    rescale: Rescale | None = None


def merge_onnx(
    members: Sequence[Member], path: Path, input_px: tuple[int, int], in_channels: int = 3
) -> None:
    """Write one ONNX file: ``images`` (N, C, H, W) float32 → ``logits`` (N, K), any N.

    The logits are the logarithm of the members' mean probability; for each member an image is
    rescaled, then resized (bilinear, antialiased).

    Raises:
        TrainingError: The files are of several operator sets.
    """
    models = [onnx.load(member.path) for member in members]
    _check_opsets(models)
    size = ("n", in_channels, *input_px)
    images = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, size)
    joined = onnx.GraphProto(name="ensemble", input=[images])
    kept: dict[bytes, str] = {}
    for number, (member, model) in enumerate(zip(members, models, strict=True)):
        prefix = f"member{number}_"
        compose.add_prefix(model, prefix, inplace=True)
        _add_preparation(joined, member, prefix, input_px)
        _add_weights(joined, model.graph, kept)
        joined.node.extend(model.graph.node)
        _add_evaluation(joined, member, prefix)
    _add_mean(joined, len(models))
    num_classes = models[0].graph.output[0].type.tensor_type.shape.dim[1].dim_value
    joined.output.append(
        helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ("n", num_classes))
    )
    merged = helper.make_model(
        joined,
        producer_name="eosin",
        ir_version=max(model.ir_version for model in models),
        opset_imports=models[0].opset_import,
        functions=[function for model in models for function in model.functions],
    )
    with atomic_path(path) as temporary:
        onnx.save(merged, temporary)


def _check_opsets(models: Sequence[onnx.ModelProto]) -> None:
    """Check that all files have the same operator sets."""
    found = {tuple(sorted((o.domain, o.version) for o in m.opset_import)) for m in models}
    if len(found) != 1:
        raise TrainingError(
            "the members' ONNX files use different operator sets: "
            + ", ".join(sorted(str(dict(opsets)[""]) for opsets in found)),
            hint="Train all of them with one version of PyTorch",
        )


def _add_preparation(
    joined: onnx.GraphProto, member: Member, prefix: str, input_px: tuple[int, int]
) -> None:
    """Add the conversion of the shared images to a member's input."""
    last = "images"

    def add(operator: str, name: str, values: FloatArray | IntArray, **attributes: Any) -> None:
        nonlocal last
        constant, done = _constant(joined, prefix + name, values), f"{prefix}after_{name}"
        # The empty inputs are the region of interest and the scales.
        inputs = [last, "", "", constant] if operator == "Resize" else [last, constant]
        joined.node.append(helper.make_node(operator, inputs, [done], **attributes))
        last = done

    if member.rescale is not None:
        of = member.rescale.tensors
        add("Gather", "order", of["order"], axis=1)
        add("Mul", "factor", of["factor"])
        add("Add", "offset", of["offset"])
        add("Max", "low", of["low"])
        add("Min", "high", of["high"])
    if member.input_px != input_px:
        # Weights at the border are of inner pixels alone, as in PyTorch and Pillow.
        how = {"mode": "linear", "antialias": 1, "exclude_outside": 1}
        add("Resize", "sizes", np.array(member.input_px, dtype=np.int64), axes=[2, 3], **how)
    joined.node.append(helper.make_node("Identity", [last], [f"{prefix}images"]))


def _add_weights(joined: onnx.GraphProto, graph: onnx.GraphProto, kept: dict[bytes, str]) -> None:
    """Add a member's weights, each value once: frozen layers are the same in all members."""
    for weights in graph.initializer:
        values = numpy_helper.to_array(weights)
        content = hashlib.sha256(f"{values.dtype}{values.shape}".encode())
        content.update(values.tobytes())
        first = kept.setdefault(content.digest(), weights.name)
        if first == weights.name:
            joined.initializer.append(weights)
        else:
            joined.node.append(helper.make_node("Identity", [first], [weights.name]))


def _add_evaluation(joined: onnx.GraphProto, member: Member, prefix: str) -> None:
    """Add the logarithms of a member's calibrated probabilities, shape (1, N, K)."""
    # Distinct from the member's own names: a merged file may itself become a member.
    own = f"of_{prefix}"
    temperature = _constant(joined, f"{own}temperature", np.float32(member.temperature))
    first = _constant(joined, f"{own}axis", np.array([0], dtype=np.int64))
    joined.node.extend(
        [
            helper.make_node("Div", [f"{prefix}logits", temperature], [f"{own}scaled"]),
            helper.make_node("LogSoftmax", [f"{own}scaled"], [f"{own}log"], axis=-1),
            helper.make_node("Unsqueeze", [f"{own}log", first], [f"{own}judged"]),
        ]
    )


def _add_mean(joined: onnx.GraphProto, count: int) -> None:
    """Add the logarithm of the mean of all members' probabilities, shape (N, K)."""
    evaluated = [f"of_member{number}_judged" for number in range(count)]
    first = _constant(joined, "axis", np.array([0], dtype=np.int64))
    log_count = _constant(joined, "log_count", np.float32(math.log(count)))
    joined.node.extend(
        [
            helper.make_node("Concat", evaluated, ["judged"], axis=0),
            helper.make_node("ReduceLogSumExp", ["judged", first], ["log_sum"], keepdims=0),
            helper.make_node("Sub", ["log_sum", log_count], ["logits"]),
        ]
    )


def _constant(
    joined: onnx.GraphProto, name: str, values: FloatArray | IntArray | np.float32
) -> str:
    joined.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name
