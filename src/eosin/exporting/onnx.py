"""ONNX export through PyTorch, and its parity check against the network.

Networks of a training; twins of the NumPy engine's; the leak audit's feature extractor.
"""

from __future__ import annotations

import copy
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.core.errors import TrainingError
from eosin.core.files import atomic_path
from eosin.core.types import FloatArray
from eosin.exporting.parity import compare
from eosin.inference.classifier import MAX_PROBABILITY_GAP
from eosin.inference.onnx import OnnxNetwork
from eosin.metrics.calibration import softmax
from eosin.networks import build_network, find_spec
from eosin.networks.pretrained import load_pretrained
from eosin.training.checkpoints import load_weights

#: ONNX operator set.
OPSET = 20


#: PyTorch's exporter keeps its state in the process, and refuses a second export meanwhile.
_EXPORTING = threading.Lock()


def write_onnx(
    network: nn.Module, path: Path, input_px: tuple[int, int], in_channels: int = 3
) -> None:
    """Export a network, on the CPU in evaluation mode, to ONNX.

    ``images`` (N, C, H, W) float32 → ``logits`` (N, K), any N.
    """
    # Two images: a trace of one could fix what depends on the batch size.
    example = torch.zeros(2, in_channels, *input_px)
    silent = warnings.catch_warnings()
    with _EXPORTING, atomic_path(path) as temporary, silent, torch.inference_mode(), _explained():
        # check_parity covers the warnings on traced constants; the exporter is deprecated.
        warnings.simplefilter("ignore")
        with _FixedSides():
            # PyTorch's newer exporter (dynamo=True) has the same result in ten times the time:
            # DenseNet-121 12 s in place of 0.9, NASNet-Mobile 22 s in place of 2.5.
            torch.onnx.export(
                network,
                (example,),
                str(temporary),
                input_names=["images"],
                output_names=["logits"],
                dynamic_axes={"images": {0: "n"}, "logits": {0: "n"}},
                opset_version=OPSET,
                dynamo=False,
            )


@contextmanager
def _explained() -> Iterator[None]:
    """Convert an error of the exporter, which a user's own network may cause, into one line."""
    try:
        yield
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error).partition("\n")[0].partition("  [Caused")[0].rstrip(".")
        raise TrainingError(
            f"the network cannot be exported to ONNX: {reason}",
            hint="Use other layers in its place; the run keeps its checkpoints",
        ) from error


class _FixedSides(TorchFunctionMode):
    """Makes height and width of maps (B, C, H, W) constant in a trace; the input has one size.

    A trace follows every size, and padding computed from one becomes a dozen operators that ONNX
    Runtime runs for every image: EfficientNet-Lite0 took 1.4 times as long.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Size) and len(result) == 4:
            return (*result[:2], *map(int, result[2:]))
        return result


def check_parity(network: nn.Module, path: Path, inputs: FloatArray) -> float:
    """Return the largest difference of a probability between the exported file and the network.

    Where single precision differs by more than the limit, the network is computed in double.

    Args:
        network: On the CPU, in evaluation mode.
        path: The ONNX file.
        inputs: Preprocessed real images, float32, shape (N, C, H, W).

    Raises:
        TrainingError: It is above :data:`MAX_PROBABILITY_GAP`, or a label differs.
    """
    images = torch.from_numpy(inputs)
    got = softmax(OnnxNetwork(path).run(inputs).astype(np.float64))
    with torch.inference_mode():
        expected = network(images).numpy().astype(np.float64)
        parity = compare(softmax(expected), got, MAX_PROBABILITY_GAP)
        if not parity.holds(MAX_PROBABILITY_GAP):
            # Of very deep networks PyTorch's own rounding can exceed the limit: the reference is
            # the network in double precision.
            expected = copy.deepcopy(network).double()(images.double()).numpy()
            parity = compare(softmax(expected), got, MAX_PROBABILITY_GAP)
    if not parity.holds(MAX_PROBABILITY_GAP):
        raise TrainingError(
            f"the exported network differs from the trained one by {parity} "
            f"(at most {MAX_PROBABILITY_GAP:g} is allowed)",
            hint="A network whose steps depend on the values of its input cannot be exported; with "
            "another, train with train.precision='32-true'",
        )
    return parity.gap


def export_twin(folder: ModelFolder, info: ModelInfo) -> OnnxNetwork:
    """Write ``model.onnx`` beside ``model.safetensors``, and open it."""
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

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.extractor(images)
        return torch.cat([maps.mean((2, 3)), maps.std((2, 3))], 1)


def export_feature_extractor(blocks: int, input_px: tuple[int, int]) -> OnnxNetwork:
    """Return the ImageNet feature extractor, cut after a block, as ONNX.

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
