"""Batch-norm statistics estimated anew for evaluation.

Source: X. Li et al., "Understanding the Disharmony between Dropout and Batch Normalization by
Variance Shift", CVPR 2019, section 5. Where dropout stands before batch-norm (P1's
CancerVisionNet), the running statistics are those of noisy inputs; without the noise mean and
variance are others, and a network that trains well judges badly. Augmentation shifts them too: an
interpolated image is smoother.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from eosin.core.seeding import generator
from eosin.runtime.door import import_companion
from eosin.training.batches import Batch, make_loader
from eosin.training.material import RECALIBRATED
from eosin.training.module import ClassifierModule
from eosin.training.parts import ImagePart

lightning = import_companion("lightning.pytorch")


class Recalibration(lightning.Callback):  # type: ignore[misc,name-defined]
    """Before each evaluation: mean and variance over training images as they would be judged.

    Without dropout and without augmentation. The images are the same at every evaluation, a pure
    function of the seed, so that a resumed run estimates the same.

    Args:
        part: The training part, each image once: augmented copies and repetitions would shift what
            is estimated away from what is judged.
        batch_size: Images a batch.
        seed: The run's seed.
    """

    def __init__(self, part: ImagePart, batch_size: int, seed: int) -> None:
        rows = generator(seed, "batch-norm").permutation(len(part))[:RECALIBRATED]
        self._loader: DataLoader[Batch] = make_loader(part.at(rows), batch_size, None)

    def on_validation_start(self, trainer: Any, module: ClassifierModule) -> None:
        """Estimate anew; the network is in evaluation mode already."""
        n_seen = 0
        with (
            estimating(module.network) as layers,
            trainer.precision_plugin.val_step_context(),
        ):
            for images, _, _ in self._loader:
                n_seen += len(images)
                for layer in layers:
                    # An average over images: a last batch of two must not count as a whole one.
                    layer.momentum = len(images) / n_seen
                module.network(module.prepare(images.to(module.device)))


@contextmanager
def estimating(network: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Let batch-norm layers estimate their statistics from what passes, beginning anew.

    Everything else stays in the mode it is in; frozen batch-norm keeps its statistics.

    Yields:
        These layers; each batch counts by their ``momentum``.
    """
    layers = [
        layer
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.weight.requires_grad
    ]
    before = [(layer.momentum, layer.training) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    try:
        yield layers
    finally:
        for layer, (momentum, training) in zip(layers, before, strict=True):
            layer.momentum = momentum
            layer.train(training)
