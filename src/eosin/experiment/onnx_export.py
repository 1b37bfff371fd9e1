"""ONNX export, through PyTorch, of NumPy-engine networks and of the leak audit's extractor."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.exporting.onnx import write_onnx
from eosin.inference.onnx import OnnxNetwork
from eosin.networks import build_network, find_spec
from eosin.networks.pretrained import load_pretrained
from eosin.training.checkpoints import load_weights


def export_twin(folder: ModelFolder, info: ModelInfo) -> OnnxNetwork:
    """Write ``model.onnx`` beside ``model.safetensors``.

    Args:
        folder: With the weights.
        info: The model's metadata.

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


class _FeatureExtractor(nn.Module):
    """Mean and deviation of each channel, (B, 2 · C), of images in [-1, 1], (B, 3, H, W)."""

    def __init__(self, backbone: nn.Module, blocks: int) -> None:
        super().__init__()
        stem = (backbone.conv_stem, backbone.bn1)
        self.extractor = nn.Sequential(*stem, *list(backbone.blocks)[:blocks])  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        maps = self.extractor(images)
        return torch.cat([maps.mean((2, 3)), maps.std((2, 3))], 1)


def export_feature_extractor(blocks: int, input_px: tuple[int, int]) -> OnnxNetwork:
    """Return the ImageNet feature extractor, cut after a block, as ONNX.

    Args:
        blocks: Number of blocks to keep, of seven.
        input_px: Height and width of its images.

    Raises:
        MissingPartError: The weights are not installed.
    """
    name = "efficientnet_lite0"
    network = build_network(name, num_classes=2, input_px=input_px[0], arguments={})
    load_pretrained(network, find_spec(name), "imagenet")
    extractor = _FeatureExtractor(network.get_submodule("backbone"), blocks).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trunk.onnx"
        write_onnx(extractor, path, input_px)
        return OnnxNetwork(path)
