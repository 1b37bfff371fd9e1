"""Features of a frozen backbone, computed once, and the training of a head on them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from eosin.artifacts.layout import RunFolder
from eosin.core.errors import RecipeError
from eosin.core.progress import progress_bar
from eosin.core.types import FloatArray
from eosin.networks.freezing import freeze
from eosin.recipe.schema import TrainSection
from eosin.runtime.device import autocast
from eosin.training.balance import add_synthetic
from eosin.training.data import ChosenRows, FitInputs, ImagePart, embedded_part
from eosin.training.loader import InputScaling, read_part
from eosin.training.pytorch import fit
from eosin.training.sampler import EpochBatches
from eosin.training.tuning import Tuning

#: Rows per block: a whole table of doubles would be twice the table.
_ROWS = 4096


def fit_head(
    network: nn.Module, section: TrainSection, inputs: FitInputs, run: RunFolder
) -> nn.Module:
    """Train a network's head on its backbone's features.

    Two passes over the images (training and validation subset, once each) replace one pass per
    epoch. A resumed run computes the same features again.

    Args:
        network: With its initial weights.
        section: The recipe's training section.
        inputs: Training inputs.
        run: Destination of history and checkpoints; these hold the head alone and, if features are
            standardised, the head for standardised features.

    Returns:
        The whole network, its head in the state of its best evaluation, as :func:`fit` does.

    Raises:
        RecipeError: Standardising features needs a head that begins with one dense layer.
    """
    path = inputs.tuning.stages["head"]
    since = time.monotonic()
    freeze(network, inputs.tuning.cut(network, 0))
    head = network.get_submodule(path)
    dense = _first_dense(head) if inputs.tuning.standardise else None
    shown = embedded_part(inputs)
    train, val = (
        embed(network, path, part, section.batch_size, inputs) for part in (shown, inputs.val)
    )
    scaling = None if dense is None else Standardisation.of(train)
    if scaling is not None:
        for vectors in (train, val):
            scaling.apply(vectors)
    plain = replace(shown, images=train)
    images = inputs.train.images
    part = plain.at(images.rows) if isinstance(images, ChosenRows) else plain
    if section.balance == "smote":
        # Neighbours are searched in the head's input space: after standardising.
        part = add_synthetic(part, inputs.seed)
    embedded = replace(
        inputs,
        train=part,
        val=ImagePart(val, inputs.val.targets),
        tuning=Tuning(),
        is_embedded=True,
        since=since,
        plain=plain,
    )
    fit(head, section, embedded, run)
    if scaling is not None and dense is not None:
        scaling.fold_into(dense)
    return network.cpu().eval()


def embed(
    network: nn.Module, path: str, part: ImagePart, batch_size: int, inputs: FitInputs
) -> FloatArray:
    """Return the features that reach a module of the network.

    Args:
        network: The network; put into evaluation mode on the training's device.
        path: Path of the module; its input must be one vector per image.
        part: N images.
        batch_size: Images per batch.
        inputs: Preprocessing, device and precision.

    Returns:
        float32, shape (N, D).
    """
    accelerator = inputs.device_settings.accelerator
    network.to(accelerator).eval()
    scale = InputScaling(inputs.preprocessing).to(accelerator)
    caught: list[FloatArray] = []
    vectors = np.empty((0, 0), dtype=np.float32)

    def catch(_module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        caught.append(arguments[0].float().cpu().numpy())

    hook = network.get_submodule(path).register_forward_pre_hook(catch)
    try:
        with (
            torch.inference_mode(),
            autocast(inputs.device_settings),
            progress_bar("Features") as advance,
        ):
            for rows in EpochBatches(len(part), batch_size, None).of(0):
                images, _, index = read_part(part, rows)
                network(scale(images.to(accelerator)))
                batch = caught.pop()
                if not len(vectors):
                    vectors = np.empty((len(part), batch.shape[1]), dtype=np.float32)
                vectors[index.numpy()] = batch
                advance(int(index[-1]) + 1, len(part))
    finally:
        hook.remove()
    return vectors


@dataclass(frozen=True)
class Standardisation:
    """Standardisation of each feature to mean 0 and deviation 1.

    Attributes:
        mean: float64, shape (D,).
        std: float64, shape (D,); 1 for a constant feature.
    """

    mean: FloatArray
    std: FloatArray

    @classmethod
    def of(cls, vectors: FloatArray) -> Standardisation:
        """Fit on the vectors of a training subset, shape (N, D)."""
        mean = vectors.mean(axis=0, dtype=np.float64)
        squares = np.zeros_like(mean)
        for start in range(0, len(vectors), _ROWS):
            squares += np.square(vectors[start : start + _ROWS] - mean).sum(axis=0)
        std = np.sqrt(squares / len(vectors))
        # The mean of equal values is rounded: the remainder is no spread.
        std[std <= 1e-6 * np.abs(mean)] = 1.0
        return cls(mean, std)

    def apply(self, vectors: FloatArray) -> None:
        """Standardise vectors (N, D) in place."""
        for start in range(0, len(vectors), _ROWS):
            rows = vectors[start : start + _ROWS]
            rows[:] = (rows - self.mean) / self.std

    def fold_into(self, dense: nn.Linear) -> None:
        """Change a layer trained on standardised vectors so that it takes raw ones."""
        weight = dense.weight.detach().double().cpu().numpy() / self.std
        with torch.no_grad():
            dense.bias.sub_(torch.from_numpy(weight @ self.mean).to(dense.bias))
            dense.weight.copy_(torch.from_numpy(weight))


def _first_dense(head: nn.Module) -> nn.Linear:
    """Return the layer that takes the features; dropout may precede it."""
    parts = [part for part in head.modules() if not list(part.children())]
    for part in parts:
        if isinstance(part, nn.Linear) and part.bias is not None:
            return part
        if not isinstance(part, nn.Dropout):
            break
    raise RecipeError(
        "'transfer.standardise' needs a head that begins with a dense layer with a bias",
        hint="Leave it out for this network",
    )
