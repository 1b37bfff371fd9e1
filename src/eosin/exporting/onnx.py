"""Writing ``model.onnx`` and checking that it says what the PyTorch network says."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from eosin.core.errors import TrainingError
from eosin.core.files import atomic_path
from eosin.core.types import FloatArray
from eosin.inference.classifier import OnnxNetwork
from eosin.metrics import softmax

#: Largest allowed difference of a probability, on real images.
MAX_PROBABILITY_GAP = 1e-4


def write_onnx(
    network: nn.Module, path: Path, input_px: tuple[int, int], in_channels: int = 3
) -> None:
    """Export a network: ``images`` (N, C, H, W) float32 → ``logits`` (N, K), any N.

    Args:
        network: On the CPU, in evaluation mode.
        path: Where to.
        input_px: Height and width of the input.
        in_channels: Channels of the input.
    """
    # Two images: torch.export takes a batch of one for a constant.
    example = torch.zeros(2, in_channels, *input_px)
    with warnings.catch_warnings(), torch.inference_mode():
        # Deprecations inside the exporter's own packages.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise AssertionError("torch.onnx.export returned no program")
    with atomic_path(path) as temporary:
        # One file: a model folder is copied by hand, and a weights file left behind is a trap.
        program.save(str(temporary), external_data=False)


def check_parity(
    network: nn.Module, path: Path, inputs: FloatArray, temperature: float = 1.0
) -> float:
    """Compare the exported file with the network that it came from.

    Args:
        network: On the CPU, in evaluation mode.
        path: The ONNX file.
        inputs: Prepared real images, float32, shape (N, C, H, W).
        temperature: Divisor of the logits.

    Returns:
        The largest absolute difference of a probability.

    Raises:
        TrainingError: It is above :data:`MAX_PROBABILITY_GAP`.
    """
    with torch.inference_mode():
        expected = network(torch.from_numpy(inputs)).numpy().astype(np.float64)
    got = OnnxNetwork(path).run(inputs).astype(np.float64)
    gap = float(np.abs(softmax(expected, temperature) - softmax(got, temperature)).max())
    if not gap <= MAX_PROBABILITY_GAP:
        raise TrainingError(
            f"the exported network differs from the trained one by {gap:.2g} in probability "
            f"(at most {MAX_PROBABILITY_GAP:g} is allowed)",
            mend="Train with train.precision='32-true', or report this with the recipe",
        )
    return gap
