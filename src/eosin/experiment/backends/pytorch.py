"""Training with PyTorch and Lightning: every network, any device."""

from __future__ import annotations

from torch import nn

from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo, TransferStage
from eosin.core.types import ImageSource
from eosin.experiment.backends import Measured
from eosin.experiment.initial_weights import check_freezing, start_network
from eosin.experiment.model_info import Origin, Start, draft_info
from eosin.exporting.onnx import check_parity, write_onnx
from eosin.images.preprocess import to_input
from eosin.networks import build_network, count_params, find_spec
from eosin.networks.registry import count_macs
from eosin.recipe.schema import Recipe, TrainSection
from eosin.runtime.device import choose_placement
from eosin.runtime.placement import Placement
from eosin.training.checkpoints import save_weights
from eosin.training.features import fit_head
from eosin.training.loop import fit
from eosin.training.material import FitInputs, needs_features_only
from eosin.training.probing import probe_training

__all__ = ["check", "find_spec", "measure", "place", "train", "write"]

#: Real images that the parity check looks at.
_PARITY_IMAGES = 64


def check(recipe: Recipe) -> None:
    """Refuse to freeze what is no part of the network."""
    check_freezing(recipe, find_spec(recipe.model.name))


def place(section: TrainSection) -> Placement:
    """Choose device and precision; threads are set for the process."""
    return choose_placement(section.device, section.precision, section.threads)


def train(
    recipe: Recipe, start: Start, inputs: FitInputs, run: RunFolder
) -> tuple[nn.Module, list[TransferStage]]:
    """Train the whole network, or its head on features that are computed once.

    Returns:
        The network on the CPU, in evaluation mode; the chain of its transfer.
    """
    network, chain = start_network(
        recipe,
        start,
        num_classes=inputs.n_classes,
        input_px=inputs.preprocessing.input_px[0],
        in_channels=len(inputs.preprocessing.channels),
    )
    run_training = fit_head if needs_features_only(inputs) else fit
    return run_training(network, recipe.train, inputs, run), chain


def write(
    network: nn.Module, folder: ModelFolder, origin: Origin, images: ImageSource
) -> ModelInfo:
    """Write weights and ONNX; the folder becomes a model's when ``model.json`` follows."""
    # Of a training begun anew: until the new one is written the folder is no model's.
    folder.info.unlink(missing_ok=True)
    save_weights(folder.weights, network)
    preprocessing = origin.preprocessing
    input_px, channels = preprocessing.input_px, len(preprocessing.channels)
    write_onnx(network, folder.onnx, input_px, channels)
    checked = to_input(images[:_PARITY_IMAGES], preprocessing)
    gap = check_parity(network, folder.onnx, checked)
    return draft_info(
        folder,
        origin,
        params=count_params(network),
        macs=count_macs(network, input_px[0], channels),
        parity={"max_probability_gap": gap, "n_images": len(checked)},
    )


def measure(recipe: Recipe, inputs: FitInputs) -> Measured:
    """Count weights and operations, and time a few steps."""
    input_px, channels = inputs.preprocessing.input_px[0], len(inputs.preprocessing.channels)
    network = build_network(
        recipe.model.name,
        num_classes=inputs.n_classes,
        input_px=input_px,
        in_channels=channels,
        arguments=recipe.model.arguments,
    )
    params, macs = count_params(network), count_macs(network, input_px, channels)
    return Measured(params, macs, probe_training(network, recipe.train, inputs))
