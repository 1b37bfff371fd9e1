"""Precise batch-norm statistics: mean and variance over training images in evaluation mode.

Source: X. Li et al., "Understanding the Disharmony between Dropout and Batch Normalization by
Variance Shift", CVPR 2019, section 5. If dropout precedes batch-norm (P1's CancerVisionNet),
running statistics are those of noisy inputs; without the noise mean and variance differ, and a
network that trains well predicts badly. Augmentation shifts them: an interpolated image is
smoother.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from eosin.core.seeding import generator
from eosin.training.data import RECALIBRATED, ImagePart


def choose_images(part: ImagePart, seed: int) -> ImagePart:
    """Choose the images that statistics are estimated on: the same at each evaluation.

    Args:
        part: The training subset, each image once: augmented copies and repetitions would bias the
            estimate.
        seed: The run's seed.
    """
    return part.at(generator(seed, "batch-norm").permutation(len(part))[:RECALIBRATED])


def estimate_statistics(
    network: nn.Module,
    batches: Iterable[torch.Tensor],
    forward: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    """Estimate the statistics of batch-norm layers anew; every image counts the same.

    Args:
        network: In evaluation mode.
        batches: Inputs of the network.
        forward: Runs the network.
    """
    n_seen = 0
    with estimating(network) as layers:
        for inputs in batches:
            n_seen += len(inputs)
            for layer in layers:
                # An average over images: a last batch of two must not count as a full one.
                layer.momentum = len(inputs) / n_seen
            forward(inputs)


@contextmanager
def estimating(network: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Reset batch-norm layers and let them estimate their statistics from what passes.

    Everything else keeps its mode; frozen batch-norm keeps its statistics.

    Yields:
        These layers; each batch is weighted by their ``momentum``.
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
