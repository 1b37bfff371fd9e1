"""Training with PyTorch: every network, any device, and its initial weights."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from torch import nn

from eosin.artifacts.integrity import verify_files
from eosin.artifacts.layers import LayerTable
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo, Preprocessing
from eosin.artifacts.provenance import TransferStage
from eosin.core.errors import RecipeError
from eosin.core.registry import NetworkSpec
from eosin.core.text import quantity
from eosin.core.types import DeviceSettings, ImageSource
from eosin.experiment.backends import (
    RANDOM,
    InitialWeights,
    Measured,
    Origin,
    Start,
    draft_info,
    read_source,
)
from eosin.exporting.onnx import check_parity, write_onnx
from eosin.images.crops import crop_origins
from eosin.images.preprocess import to_input
from eosin.networks import build_network, count_params, find_spec
from eosin.networks.freezing import BACKBONE, NOTHING, find_cut, weights_before
from eosin.networks.layers import list_layers as list_torch_layers
from eosin.networks.multi_crop import take_fields
from eosin.networks.pretrained import Loaded, check_imagenet, load_pretrained
from eosin.networks.registry import count_macs
from eosin.recipe.schema import IMAGENET, Recipe, TrainSection
from eosin.runtime.device import choose_device_settings
from eosin.training.checkpoints import save_weights
from eosin.training.data import FitInputs, needs_features_only
from eosin.training.features import fit_head
from eosin.training.pytorch import fit, probe

__all__ = ["check", "find_spec", "list_layers", "measure", "place", "train", "write"]

_LOG = logging.getLogger(__name__)

#: Real images of the parity check.
_PARITY_IMAGES = 64


def check(recipe: Recipe) -> None:
    """Refuse to freeze what is not part of the network, and weights that do not exist."""
    spec = find_spec(recipe.model.name)
    if recipe.transfer.source == IMAGENET:
        check_imagenet(spec)
    check_freezing(recipe, spec)


def place(section: TrainSection) -> DeviceSettings:
    """Choose device and precision; the number of threads is set for the whole process."""
    return choose_device_settings(section.device, section.precision, section.threads)


def train(
    recipe: Recipe, start: Start, inputs: FitInputs, run: RunFolder
) -> tuple[nn.Module, InitialWeights]:
    """Train the network, or its head on features.

    Returns:
        The network, on the CPU; the provenance of its initial weights.

    Raises:
        RecipeError: The features must stay the same, but the initial weights lack some tensors.
    """
    network, initial = start_network(
        recipe,
        start,
        num_classes=inputs.n_classes,
        input_px=inputs.preprocessing.network_px,
        in_channels=len(inputs.preprocessing.channels),
    )
    inputs = _keep_trainable(inputs, initial.untrained)
    if initial.unfrozen:
        n_tensors = quantity(len(initial.unfrozen), "tensor")
        _LOG.info(
            f"{n_tensors} of the frozen part are trained: the initial weights do not contain them"
        )
        _check_still(recipe, n_tensors)
    run_training = fit_head if needs_features_only(inputs) else fit
    return run_training(network, recipe.train, inputs, run), initial


def _keep_trainable(inputs: FitInputs, untrained: tuple[str, ...]) -> FitInputs:
    return replace(inputs, tuning=replace(inputs.tuning, untrained=untrained))


def _check_still(recipe: Recipe, n_tensors: str) -> None:
    """Refuse settings that need a frozen backbone where some of it has to be trained."""
    key = "transfer.standardise" if recipe.transfer.standardise else "train.balance"
    if recipe.transfer.standardise or recipe.train.balance == "smote":
        raise RecipeError(
            f"'{key}' needs a frozen backbone, but {n_tensors} of it must be "
            "trained first: the initial weights do not contain them",
            hint="Leave it out, or add a [[transfer.stage]] before it",
        )


def list_layers(network: nn.Module, preprocessing: Preprocessing) -> LayerTable:
    """List the network's layers and, of their weights, those that were trained."""
    return list_torch_layers(network, preprocessing.network_px, len(preprocessing.channels))


def write(
    network: nn.Module, folder: ModelFolder, origin: Origin, images: ImageSource
) -> ModelInfo:
    """Write weights and ONNX; the folder is a valid model once ``model.json`` follows."""
    # When a training is restarted, the folder contains no valid model until the new one is written.
    folder.info.unlink(missing_ok=True)
    save_weights(folder.weights, network)
    preprocessing = origin.preprocessing
    whole, channels = take_fields(network, preprocessing).eval(), len(preprocessing.channels)
    write_onnx(whole, folder.onnx, preprocessing.input_px, channels)
    checked = to_input(images[:_PARITY_IMAGES], preprocessing)
    gap = check_parity(whole, folder.onnx, checked)
    return draft_info(
        folder,
        origin,
        params=count_params(network),
        trainable=count_params(network, trained_only=True),
        macs=_count_macs(network, preprocessing),
        parity={"max_probability_gap": gap, "n_images": len(checked)},
    )


def _count_macs(network: nn.Module, preprocessing: Preprocessing) -> int:
    """Return the multiply-accumulates for one image, with all of its crops."""
    one = count_macs(network, preprocessing.network_px, len(preprocessing.channels))
    return len(crop_origins(preprocessing)) * one


def measure(recipe: Recipe, start: Start, inputs: FitInputs) -> Measured:
    """Count weights and operations, and time a few training steps."""
    preprocessing = inputs.preprocessing
    network = build_network(
        recipe.model.name,
        num_classes=inputs.n_classes,
        input_px=preprocessing.network_px,
        in_channels=len(preprocessing.channels),
        arguments=recipe.model.arguments,
    )
    # The weights are not read, as that may need a download; what ImageNet's lack is known.
    added = find_spec(recipe.model.name).added if start.source == IMAGENET else ()
    names = (name for name, _ in network.named_parameters())
    lacking = tuple(name for name in names if any(part in name for part in added))
    inputs = _keep_trainable(inputs, lacking)
    params, macs = count_params(network), _count_macs(network, preprocessing)
    measured = probe(network, recipe.train, inputs)
    return Measured(params, macs, measured, is_head_only=needs_features_only(inputs))


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
) -> tuple[nn.Module, InitialWeights]:
    """Build the recipe's network and load the initial weights of its backbone.

    Returns:
        The network; the provenance of its initial weights.

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
        return network, InitialWeights()
    spec, before = find_spec(recipe.model.name), _read_source(start)
    loaded = load_pretrained(network, spec, start.source)
    untrained = {*loaded.untrained, *_left_untrained(before)}
    cut = find_cut(network, spec.stages, recipe.transfer.freeze)
    frozen = weights_before(network, cut)
    return network, InitialWeights(
        chain=_chain(start, before, loaded),
        untrained=tuple(name for name in network.state_dict() if name in untrained),
        unfrozen=tuple(
            name for name, _ in network.named_parameters() if name in untrained & frozen
        ),
    )


def _left_untrained(info: ModelInfo | None) -> set[str]:
    """Return the tensors of an earlier model that its chain may have frozen at random.

    Since 0.2 none is. Before, a cut froze whatever was before it, and a model did not record its
    cut: all that a link of its chain lacked is trained once more.
    """
    if info is None or info.frozen is not None:
        return set()
    return {name for link in info.transfer_chain for name in link.missing}


def _read_source(start: Start) -> ModelInfo | None:
    """Read ``model.json`` beside the initial weights, if any, and verify the files it lists."""
    info = read_source(start.source)
    if info is not None:
        verify_files(ModelFolder(Path(start.source).parent), info)
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
        frozen=start.frozen if info is None or info.frozen is None else info.frozen,
        unfrozen=info.unfrozen if info else (),
        matched=len(loaded.matched),
        missing=loaded.missing,
        unexpected=loaded.unexpected,
        weights_sha256=loaded.sha256,
    )
    return [*(info.transfer_chain if info else []), link]
