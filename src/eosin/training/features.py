"""A frozen backbone's features, computed once: its head is then trained on vectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from eosin.artifacts.layout import RunFolder
from eosin.core.progress import progress_bar
from eosin.core.types import FloatArray
from eosin.recipe.schema import TrainSection
from eosin.training.batches import ImagePart, make_loader
from eosin.training.inputs import InputScaling
from eosin.training.loop import FitInputs, fit
from eosin.training.tuning import Tuning


def needs_features_only(inputs: FitInputs) -> bool:
    """Tell whether every epoch would show the head the same vectors."""
    tuning = inputs.tuning
    return (
        tuning.freeze in ("backbone", "before:head")
        and tuning.unfreeze_every is None
        and inputs.policy.changes_nothing
    )


def fit_head(
    network: nn.Module, section: TrainSection, inputs: FitInputs, run: RunFolder
) -> nn.Module:
    """Train a network's head on its backbone's features.

    Two passes over the images (training and validation part, once each) take the place of one an
    epoch. Resumed, they are computed anew: they are the same.

    Args:
        network: With its initial weights.
        section: The recipe's training section.
        inputs: Images and everything else.
        run: Where history and checkpoints go; these hold the head alone.

    Returns:
        The whole network, its head in the state of its best evaluation, as :func:`fit` does.
    """
    path = inputs.tuning.stages["head"]
    train, val = (
        embed(network, path, part, section.batch_size, inputs)
        for part in (inputs.train, inputs.val)
    )
    embedded = replace(inputs, train=train, val=val, tuning=Tuning(), is_embedded=True)
    fit(network.get_submodule(path), section, embedded, run)
    return network.cpu().eval()


def embed(
    network: nn.Module, path: str, part: ImagePart, batch_size: int, inputs: FitInputs
) -> ImagePart:
    """Return what reaches a module of the network, instead of the images.

    Args:
        network: Is put into evaluation mode, on the training's device.
        path: Of the module; its input must be a vector an image.
        part: The images.
        batch_size: Images a batch.
        inputs: Preprocessing, device and precision.

    Returns:
        The part with vectors, float32, shape (N, D).
    """
    accelerator = inputs.placement.accelerator
    network.to(accelerator).eval()
    scale = InputScaling(inputs.preprocessing).to(accelerator)
    caught: list[FloatArray] = []

    def catch(_module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        caught.append(arguments[0].float().cpu().numpy())

    hook = network.get_submodule(path).register_forward_pre_hook(catch)
    try:
        with (
            torch.inference_mode(),
            inputs.placement.autocast(),
            progress_bar("Features") as advance,
        ):
            for images, _, index in make_loader(part, batch_size, None):
                network(scale(images.to(accelerator)))
                advance(int(index[-1]) + 1, len(part))
    finally:
        hook.remove()
    return ImagePart(np.concatenate(caught), part.targets)
