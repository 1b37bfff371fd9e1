"""What a training would take, from a few of its own steps."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import islice

import torch
from torch import nn

from eosin.networks.freezing import freeze, hold_still
from eosin.recipe.schema import TrainSection
from eosin.runtime.device import autocast
from eosin.training.batches import make_loader
from eosin.training.inputs import InputScaling, augmented_input
from eosin.training.losses import mean_loss
from eosin.training.material import FitInputs, Probe, read_peak_bytes
from eosin.training.parts import ImagePart
from eosin.training.schedules import make_optimizer

_STEPS = 8
#: The first steps allocate memory and choose kernels: they don't speak for the others.
_WARM_UP = 2


def probe_training(network: nn.Module, section: TrainSection, inputs: FitInputs) -> Probe:
    """Run a few training steps and judge a few batches, as the training itself would.

    Args:
        network: Fresh; its weights are changed.
        section: The recipe's training section.
        inputs: Images and everything else.
    """
    device = inputs.placement.accelerator
    network = network.to(device).train()
    cut = inputs.tuning.cut(network, 0)
    freeze(network, cut)
    hold_still(network, cut)
    optimizer = make_optimizer(network, section, inputs.tuning)
    scale = InputScaling(inputs.preprocessing).to(device)
    times = []
    is_balanced = section.balance == "sampler"
    batches = iter(make_loader(inputs.train, section.batch_size, inputs.seed, balanced=is_balanced))
    weights = torch.ones(inputs.n_classes, device=device)
    for _ in range(_STEPS):
        start = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            break
        images, targets, index = (tensor.to(device) for tensor in batch)
        inputs_now = augmented_input(images, scale, inputs.policy, (inputs.seed, 0), index.cpu())
        with autocast(inputs.placement):
            loss = mean_loss(network(inputs_now), targets, weights, section)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - start)
    judged = _judge(network.eval(), section, inputs, scale)
    kept = sorted(times[_WARM_UP:] or times)
    return Probe(kept[len(kept) // 2], judged, _peak_bytes(device), device == "cuda")


def _judge(
    network: nn.Module, section: TrainSection, inputs: FitInputs, scale: InputScaling
) -> float:
    """Return the time to judge one image, of a few batches."""
    loader = make_loader(_some(inputs.val, section.batch_size), section.batch_size, None)
    device = inputs.placement.accelerator
    n_images, start = 0, time.perf_counter()
    with torch.inference_mode(), autocast(inputs.placement):
        for images, _, _ in islice(loader, _STEPS):
            network(scale(images.to(device))).sum().item()
            n_images += len(images)
    return (time.perf_counter() - start) / max(n_images, 1)


def _some(part: ImagePart, batch_size: int) -> ImagePart:
    return replace(part, targets=part.targets[: _STEPS * batch_size])


def _peak_bytes(device: str) -> int | None:
    return int(torch.cuda.max_memory_allocated()) if device == "cuda" else read_peak_bytes()
