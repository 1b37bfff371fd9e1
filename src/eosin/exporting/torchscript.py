"""TorchScript, for QuPath's WSInfer extension, WSInfer and LibTorch; the only file with it.

PyTorch has deprecated TorchScript since 2.11. The programs named above read nothing else.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from eosin.artifacts.model import ModelInfo, Preprocessing
from eosin.artifacts.weights import Arrays, read_arrays
from eosin.core.errors import ArtifactError
from eosin.core.files import atomic_path, write_json, write_text
from eosin.core.types import FloatArray, Image
from eosin.exporting.groovy import write_script
from eosin.images.preprocess import channel_affine
from eosin.networks import build_network
from eosin.networks.classifier import Ensemble

SCRIPT = "torchscript_model.pt"
_OWN = ("input_px", "architecture", "members")


class _Member(nn.Module):
    """A network of an ensemble, with its own normalisation and input size."""

    def __init__(self, network: nn.Module, scale: Arrays, side: tuple[int, int] | None) -> None:
        super().__init__()
        self.network, self.side, self.is_rescaled = network, side, bool(scale)
        for name, values in scale.items():
            self.register_buffer(name, torch.as_tensor(values))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.is_rescaled:
            images = images[:, self.get_buffer("order")] * self.get_buffer("factor")
            images = images + self.get_buffer("offset")
            images = torch.maximum(images, self.get_buffer("low"))
            images = torch.minimum(images, self.get_buffer("high"))
        if self.side is not None:
            images = functional.interpolate(images, self.side, mode="bilinear", antialias=True)
        logits: torch.Tensor = self.network(images)
        return logits


class _Calibrated(nn.Module):
    """From RGB, float32 in 0…1, to logits that are divided by the temperature."""

    def __init__(self, network: nn.Module, info: ModelInfo) -> None:
        super().__init__()
        order, factor, offset = channel_affine(info.preprocessing)
        self.network, self.temperature = network, info.temperature
        self.has_views = info.test_time == "dihedral"
        height, width = info.preprocessing.input_px
        self.is_square = height == width
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("factor", torch.from_numpy(255 * factor)[:, None, None])
        self.register_buffer("offset", torch.from_numpy(offset)[:, None, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = images[:, self.get_buffer("order")] * self.get_buffer("factor")
        images = images + self.get_buffer("offset")
        if not self.has_views:
            logits: torch.Tensor = self.network(images) / self.temperature
            return logits
        views = [images, images.flip(2), images.flip(3), images.flip(2, 3)]
        if self.is_square:
            views += [view.transpose(2, 3) for view in views]
        logs = torch.stack([torch.log_softmax(self.network(view), dim=-1) for view in views])
        mean = torch.logsumexp(logs, dim=0) - math.log(len(views))
        return mean / self.temperature


def write_torchscript(weights: Path, path: Path, info: ModelInfo) -> None:
    """Trace a model with scaling and temperature inside, and write it.

    Raises:
        ArtifactError: The weights are not those of the network, or it cannot be traced.
    """
    preprocessing = info.preprocessing
    try:
        network = _build(
            read_arrays(weights), info, info.architecture, info.arguments, preprocessing.input_px
        )
    except (KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ArtifactError(f"{weights} does not fit the network: {reason}") from error
    example = torch.zeros(2, len(preprocessing.channels), *preprocessing.input_px)
    with warnings.catch_warnings(), torch.inference_mode(), atomic_path(path) as temporary:
        # Deprecated, and warnings on traced constants, which the comparison covers.
        warnings.simplefilter("ignore")
        calibrated = _Calibrated(network, info).eval()
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


def _build(
    arrays: Arrays,
    info: ModelInfo,
    architecture: str,
    arguments: Mapping[str, Any],
    input_px: tuple[int, int],
) -> nn.Module:
    """Build a network, or an ensemble of networks, with its weights."""
    own = {name: value for name, value in arguments.items() if name not in _OWN}
    if architecture != "ensemble":
        network = build_network(
            architecture,
            num_classes=len(info.class_names),
            input_px=input_px[0],
            in_channels=len(info.preprocessing.channels),
            arguments=own,
        )
        network.load_state_dict({name: torch.as_tensor(value) for name, value in arrays.items()})
        return network.eval()
    listed = arguments["members"]
    if not isinstance(listed, list):
        one = {"architecture": arguments["architecture"], "arguments": own, "input_px": input_px}
        listed = [one] * listed
    members = []
    for number, member in enumerate(listed):
        side = (int(member["input_px"][0]), int(member["input_px"][1]))
        weights = _part(arrays, f"members.{number}.")
        network = _build(weights, info, member["architecture"], member["arguments"], side)
        scale = _part(arrays, f"rescales.{number}.")
        members.append(_Member(network, scale, None if side == input_px else side))
    return Ensemble(members, arrays["temperatures"].tolist()).eval()


def _part(arrays: Arrays, prefix: str) -> Arrays:
    return {n.removeprefix(prefix): value for n, value in arrays.items() if n.startswith(prefix)}


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
