"""``train --plan``: what a training would do, need and take."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch.nn import functional

from eosin.artifacts.run import SplitReport
from eosin.networks import build_network, count_params
from eosin.networks.registry import count_macs
from eosin.pipeline.preparation import Prepared
from eosin.recipe.schema import Recipe
from eosin.runtime.device import choose_placement

_PROBED_STEPS = 5
_MEBIBYTE = 2**20


@dataclass(frozen=True)
class Plan:
    """What a training would do, need and take.

    Attributes:
        n_images: Readable images.
        n_groups: Units that do not cross the split.
        n_skipped: Unreadable images.
        split: What the split wanted and got.
        device: Where it would be trained.
        params: Learnable weights.
        macs: Multiply-accumulates an image.
        trainings: Networks to train (folds × repeats).
        steps: At most so many optimiser steps in all.
        seconds: Time for them, from a short probe without augmentation and evaluation.
        image_mebibytes: Memory of the decoded images.
        model_mebibytes: Disk of one model folder's weights and ONNX.
    """

    n_images: int
    n_groups: int
    n_skipped: int
    split: SplitReport
    device: str
    params: int
    macs: int
    trainings: int
    steps: int
    seconds: float
    image_mebibytes: float
    model_mebibytes: float

    def lines(self) -> list[str]:
        """Return the plan as lines for people."""
        parts = ", ".join(
            f"{name} {part.n_images} ({part.n_groups} groups)"
            for name, part in self.split.parts.items()
        )
        return [
            f"data       {self.n_images} images, {self.n_groups} groups, "
            f"{self.n_skipped} unreadable",
            f"split      {self.split.protocol}: {parts}",
            f"model      {self.params:,} params, {self.macs / 1e6:,.1f} M MACs an image",
            f"device     {self.device}",
            f"training   {self.trainings} × at most {self.steps // self.trainings:,} steps",
            f"time       about {_minutes(self.seconds)} for the steps (probed; augmentation and "
            "evaluations come on top)",
            f"memory     {self.image_mebibytes:,.0f} MiB for the decoded images",
            f"disk       about {self.model_mebibytes * (self.trainings + 1):,.0f} MiB",
        ]


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def make_plan(recipe: Recipe, prepared: Prepared, split: SplitReport) -> Plan:
    """Count and probe.

    Args:
        recipe: Resolved.
        prepared: Readable samples.
        split: What the split would be.
    """
    train = recipe.train
    placement = choose_placement(train.device, train.precision, train.threads)
    preprocessing = prepared.bank.preprocessing
    side = preprocessing.input_px[0]
    network = build_network(
        recipe.model.name,
        num_classes=len(prepared.samples.class_names),
        input_px=side,
        arguments=recipe.model.arguments,
    )
    section, n_images = recipe.data.split, len(prepared.samples)
    trainings, share = 1, section.train
    if section.protocol == "folds":
        trainings, share = section.k * section.repeats, (1 - 1 / section.k) * (1 - section.val)
    elif "train" in split.parts:
        share = split.parts["train"].got
    per_epoch = max(1, -(-int(n_images * share) // train.batch_size))
    steps = trainings * train.epochs * per_epoch
    return Plan(
        n_images=n_images,
        n_groups=int(prepared.samples.frame["group"].nunique()),
        n_skipped=len(prepared.skipped),
        split=split,
        device=placement.description,
        params=count_params(network),
        macs=count_macs(network, side),
        trainings=trainings,
        steps=steps,
        seconds=steps * _probe(network, train.batch_size, side, placement.accelerator),
        image_mebibytes=n_images * side * side * 3 / _MEBIBYTE,
        model_mebibytes=2 * count_params(network) * 4 / _MEBIBYTE,
    )


def _probe(network: torch.nn.Module, batch_size: int, side: int, device: str) -> float:
    """Return the median time of one optimiser step on random images, in seconds."""
    network = network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters())
    images = torch.rand(batch_size, 3, side, side, device=device)
    targets = torch.zeros(batch_size, dtype=torch.long, device=device)
    times = []
    for _ in range(_PROBED_STEPS):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]
