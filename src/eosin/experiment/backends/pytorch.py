"""Training with PyTorch: every network, any device, and its initial weights."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from eosin.artifacts.integrity import verify_files
from eosin.artifacts.layers import LayerTable
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo, Preprocessing, TransferStage
from eosin.artifacts.versioned import read_document
from eosin.core.registry import NetworkSpec
from eosin.core.types import DeviceSettings, ImageSource
from eosin.experiment.backends import RANDOM, Measured, Origin, Start, draft_info
from eosin.exporting.onnx import check_parity, write_onnx
from eosin.images.preprocess import to_input
from eosin.networks import build_network, count_params, find_spec
from eosin.networks.freezing import BACKBONE, NOTHING, find_cut
from eosin.networks.layers import list_layers as list_torch_layers
from eosin.networks.pretrained import IMAGENET, Loaded, load_pretrained
from eosin.networks.registry import count_macs
from eosin.recipe.schema import Recipe, TrainSection
from eosin.runtime.device import choose_device_settings
from eosin.training.checkpoints import save_weights
from eosin.training.data import FitInputs, needs_features_only
from eosin.training.features import fit_head
from eosin.training.pytorch import fit, probe

__all__ = ["check", "find_spec", "list_layers", "measure", "place", "train", "write"]

#: Real images of the parity check.
_PARITY_IMAGES = 64


def check(recipe: Recipe) -> None:
    """Refuse to freeze what is not part of the network."""
    check_freezing(recipe, find_spec(recipe.model.name))


def place(section: TrainSection) -> DeviceSettings:
    """Choose device and precision; the number of threads is set for the whole process."""
    return choose_device_settings(section.device, section.precision, section.threads)


def train(
    recipe: Recipe, start: Start, inputs: FitInputs, run: RunFolder
) -> tuple[nn.Module, list[TransferStage]]:
    """Train the network, or its head on features; returns it on the CPU, and its transfer chain."""
    network, chain = start_network(
        recipe,
        start,
        num_classes=inputs.n_classes,
        input_px=inputs.preprocessing.input_px[0],
        in_channels=len(inputs.preprocessing.channels),
    )
    run_training = fit_head if needs_features_only(inputs) else fit
    return run_training(network, recipe.train, inputs, run), chain


def list_layers(network: nn.Module, preprocessing: Preprocessing) -> LayerTable:
    """List the network's layers and, of their weights, those that were trained."""
    return list_torch_layers(network, preprocessing.input_px[0], len(preprocessing.channels))


def write(
    network: nn.Module, folder: ModelFolder, origin: Origin, images: ImageSource
) -> ModelInfo:
    """Write weights and ONNX; the folder is a valid model once ``model.json`` follows."""
    # When a training is restarted, the folder holds no valid model until the new one is written.
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
    """Count weights and operations, and time a few training steps."""
    input_px, channels = inputs.preprocessing.input_px[0], len(inputs.preprocessing.channels)
    network = build_network(
        recipe.model.name,
        num_classes=inputs.n_classes,
        input_px=input_px,
        in_channels=channels,
        arguments=recipe.model.arguments,
    )
    params, macs = count_params(network), count_macs(network, input_px, channels)
    return Measured(params, macs, probe(network, recipe.train, inputs))


def check_freezing(recipe: Recipe, spec: NetworkSpec) -> None:
    """Refuse to freeze what is not part of the network: ``RecipeError`` with the existing parts."""
    chosen = {recipe.transfer.freeze, *(stage.freeze for stage in recipe.transfer.stage)}
    chosen -= {NOTHING, BACKBONE, *(f"before:{stage}" for stage in spec.stages)}
    if not chosen:
        return
    network = build_network(
        recipe.model.name,
        num_classes=2,
        input_px=recipe.model.input_px or spec.input_px,
        arguments=recipe.model.arguments,
    )
    for choice in sorted(chosen):
        find_cut(network, spec.stages, choice)


def start_network(
    recipe: Recipe, start: Start, *, num_classes: int, input_px: int, in_channels: int
) -> tuple[nn.Module, list[TransferStage]]:
    """Build the recipe's network and load the initial weights of its backbone.

    Returns:
        The network; the transfer chain of its backbone.

    Raises:
        EosinError: The weights are absent, or belong to another network.
    """
    network = build_network(
        recipe.model.name,
        num_classes=num_classes,
        input_px=input_px,
        in_channels=in_channels,
        arguments=recipe.model.arguments,
        seed=recipe.seed,
    )
    if start.source == RANDOM:
        return network, []
    before = _read_source(start)
    loaded = load_pretrained(network, find_spec(recipe.model.name), start.source)
    return network, _chain(start, before, loaded)


def _read_source(start: Start) -> ModelInfo | None:
    """Return ``model.json`` of the model folder that holds the initial weights, if one does."""
    before = ModelFolder(Path(start.source).parent)
    if start.source != str(before.weights) or not before.info.exists():
        return None
    info = read_document(before.info, ModelInfo)
    verify_files(before, info)
    return info


def _chain(start: Start, info: ModelInfo | None, loaded: Loaded) -> list[TransferStage]:
    """Return the transfer chain of a source, with the source as its last link."""
    # The model may be published: record the file's name, not its path.
    shown = loaded.source if start.source == IMAGENET else Path(start.source).name
    link = TransferStage(
        stage=start.stage,
        source=shown if info is None else info.architecture,
        data_fingerprint=info.data_fingerprint if info else None,
        licence=info.data_licence if info else loaded.licence,
        frozen=start.frozen,
        matched=len(loaded.matched),
        missing=loaded.missing,
        unexpected=loaded.unexpected,
        weights_sha256=loaded.sha256,
    )
    return [*(info.transfer_chain if info else []), link]
