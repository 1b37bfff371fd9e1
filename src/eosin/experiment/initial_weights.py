"""Where a training's network begins: at random, or with a backbone that learnt elsewhere."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from eosin.artifacts.integrity import verify_files
from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo, TransferStage
from eosin.artifacts.versioned import read_document
from eosin.core.networks import NetworkSpec
from eosin.experiment.model_info import RANDOM, Start
from eosin.networks import build_network, find_spec
from eosin.networks.freezing import BACKBONE, NOTHING, find_cut
from eosin.networks.pretrained import IMAGENET, Loaded, load_pretrained
from eosin.recipe.schema import Recipe


def check_freezing(recipe: Recipe, spec: NetworkSpec) -> None:
    """Refuse, before any data is read, to freeze what is no part of the network.

    Raises:
        RecipeError: Naming the parts that there are.
    """
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
    """Build the recipe's network and fill its backbone.

    Args:
        recipe: Network and seed.
        start: Where the backbone comes from.
        num_classes: Outputs.
        input_px: Height and width of the input.
        in_channels: Channels of the input.

    Returns:
        The network; the chain of trainings that its backbone has behind it.

    Raises:
        EosinError: The weights are not there, or are another network's.
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
    """Return what the model folder that a source lies in says; nothing of any other source.

    Raises:
        ArtifactError: The weights are not those that the model was saved with.
    """
    before = ModelFolder(Path(start.source).parent)
    if start.source != str(before.weights) or not before.info.exists():
        return None
    info = read_document(before.info, ModelInfo)
    verify_files(before, info)
    return info


def _chain(start: Start, info: ModelInfo | None, loaded: Loaded) -> list[TransferStage]:
    """Return the transfer chain of a source, with the source as its last link."""
    # A model is passed on: of a file its name is told, not where it lay.
    told = loaded.source if start.source == IMAGENET else Path(start.source).name
    link = TransferStage(
        stage=start.stage,
        source=told if info is None else info.architecture,
        data_fingerprint=info.data_fingerprint if info else None,
        licence=info.data_licence if info else loaded.licence,
        frozen=start.frozen,
        matched=len(loaded.matched),
        missing=loaded.missing,
        unexpected=loaded.unexpected,
        weights_sha256=loaded.sha256,
    )
    return [*(info.transfer_chain if info else []), link]
