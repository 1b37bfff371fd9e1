"""The PyTorch twin of a network of the NumPy engine: the way to ONNX."""

from __future__ import annotations

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.exporting.onnx import write_onnx
from eosin.inference.onnx import OnnxNetwork
from eosin.networks import build_network
from eosin.training.checkpoints import load_weights


def export_twin(folder: ModelFolder, info: ModelInfo) -> OnnxNetwork:
    """Write ``model.onnx`` of a folder whose weights are written.

    Args:
        folder: With ``model.safetensors``.
        info: What the weights don't tell.

    Returns:
        The file, opened.
    """
    preprocessing = info.preprocessing
    arguments = {key: value for key, value in info.arguments.items() if key != "input_px"}
    twin = build_network(
        info.architecture,
        num_classes=len(info.class_names),
        input_px=preprocessing.input_px[0],
        in_channels=len(preprocessing.channels),
        arguments=arguments,
    )
    load_weights(folder.weights, twin)
    write_onnx(twin.eval(), folder.onnx, preprocessing.input_px, len(preprocessing.channels))
    return OnnxNetwork(folder.onnx)
