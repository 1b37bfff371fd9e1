"""TorchScript, for QuPath's WSInfer extension, WSInfer and LibTorch; the only file with it.

PyTorch has deprecated TorchScript since 2.11. The programs named above read nothing else.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eosin.artifacts.model import ModelInfo, Preprocessing
from eosin.core.files import atomic_path, write_json, write_text
from eosin.core.types import FloatArray, Image
from eosin.exporting.groovy import write_script
from eosin.networks.loading import Calibrated, load_network

SCRIPT = "torchscript_model.pt"


def write_torchscript(weights: Path, path: Path, info: ModelInfo) -> None:
    """Trace a model with scaling and temperature inside, and write it.

    Raises:
        ArtifactError: The weights are not those of the network, or it cannot be traced.
    """
    preprocessing = info.preprocessing
    network = load_network(weights, info)
    example = torch.zeros(2, len(preprocessing.channels), *preprocessing.input_px)
    with warnings.catch_warnings(), torch.inference_mode(), atomic_path(path) as temporary:
        # Deprecated, and warnings on traced constants, which the comparison covers.
        warnings.simplefilter("ignore")
        calibrated = Calibrated(network, info).eval()
        traced = torch.jit.trace(calibrated, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(temporary))


def run_torchscript(path: Path, images: Image) -> FloatArray:
    """Return the probabilities (N, K) of a written file for uint8 RGB (N, H, W, 3)."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        inputs = torch.from_numpy(np.moveaxis(images, -1, 1).copy()).float() / 255
        # One alone as well: a trace could fix the size of the batch.
        logits = (
            torch.cat([network(inputs[:1]), network(inputs[1:])])
            if len(inputs) > 1
            else (network(inputs))
        )
    found: FloatArray = torch.softmax(logits.double(), dim=-1).numpy()
    return found


def write_wsinfer(weights: Path, folder: Path, info: ModelInfo, card: str) -> Path:
    """Write the folder that QuPath's WSInfer extension and WSInfer read; return the network.

    Args:
        weights: ``model.safetensors``.
        folder: Where to write.
        info: Content of ``model.json``, with a scale and a square input.
        card: The model card, in Markdown.
    """
    path = folder / SCRIPT
    write_torchscript(weights, path, info)
    write_json(folder / "config.json", _configure(info, info.preprocessing))
    # Without a network connection QuPath's extension reads it in place of the list of the zoo.
    write_json(folder / "wsinfer-zoo-registry.json", {"models": {}})
    write_text(folder / "README.md", f"{_README}\n{card}")
    write_script(folder / "apply_threshold.groovy", info)
    return path


def _configure(info: ModelInfo, preprocessing: Preprocessing) -> dict[str, Any]:
    side = preprocessing.input_px[0]
    return {
        "spec_version": "1.0",
        "architecture": info.architecture,
        "num_classes": len(info.class_names),
        "class_names": list(info.class_names),
        "patch_size_pixels": side,
        "spacing_um_px": info.mpp,
        "transform": [
            {"name": "Resize", "arguments": {"size": side}},
            {"name": "ToTensor"},
            # The model's own scaling is in the network.
            {"name": "Normalize", "arguments": {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}},
        ],
    }


_README = """# For QuPath and WSInfer

QuPath (extension WSInfer): copy this folder to `local/` in the extension's model directory, and, on
a computer without a network connection, `wsinfer-zoo-registry.json` into the model directory
itself. After running the model, run `apply_threshold.groovy`: it sets each tile's class at the
model's threshold, and `Abstained` where the model is not certain enough. QuPath alone sets the most
probable class.

WSInfer: name `config.json` and `torchscript_model.pt` to `wsinfer run`; its probabilities are
calibrated.

Research use only.
"""
