"""Training with augmentation beside a bare PyTorch loop, in images a second.

Ours is :func:`eosin.training.pytorch.fit` itself: shuffled 8-bit images in memory, the paper's
augmentation, history, progress, checkpoints. The clock runs from the moment when a batch is
gathered to the same moment of a later batch, so that gathering, augmenting, scaling, the step, the
tally of scores and the loop are inside. Outside are the first ``WARM_UP`` steps of each epoch
and what comes once an epoch: evaluation, checkpoint, the new order.

The peer has all that a loop can be given: its input scaled and as floats in memory, laid out with
channels last (on most processors the faster layout), in order (nothing is gathered), no
augmentation, nothing logged. Network, loss, optimiser, threads and batch are the same.

They take turns in one process, an epoch each; the first turn warms up. ``ratio`` is the median over
the turns of ours over the peer's of the same turn. The same ratio in processor time, which sums all
threads and forgives a busy machine more, is printed as a cross-check.

``python -m benchmarks.train_throughput --json`` prints, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# As the command sets it, for both sides; before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.tables import write_table
from eosin.artifacts.layout import RunFolder
from eosin.augment import POLICIES
from eosin.core.seeding import generator
from eosin.core.types import Image, IntArray
from eosin.images.preprocess import make_preprocessing, to_input
from eosin.networks import NETWORKS
from eosin.recipe.schema import TrainSection
from eosin.runtime.device import choose_device_settings, seed_torch
from eosin.training.data import FitInputs, ImagePart
from eosin.training.pytorch import fit

BATCH = 32
WARM_UP = 2
RATE = 1e-4


@dataclass(frozen=True)
class Case:
    """One network with an augmentation.

    Attributes:
        name: In the table.
        network: Registered name.
        policy: Registered name.
        steps: Timed steps a turn.
        turns: Of each side.
        goal: Least ratio.
    """

    name: str
    network: str
    policy: str
    steps: int
    turns: int
    goal: float


CASES = (
    Case("cancervisionnet_96", "cancervisionnet", "p1", steps=3, turns=4, goal=1.00),
    Case("light_cnn_224", "light_cnn", "p3", steps=30, turns=11, goal=0.70),
)


@dataclass(frozen=True)
class Spent:
    """What the timed steps of one turn took, in seconds by the clock and of the processor."""

    wall: float
    processor: float


class Clocked:
    """Images in memory that note when they are asked for.

    Args:
        images: uint8, shape (N, H, W, 3).
    """

    def __init__(self, images: Image) -> None:
        self._images = images
        self.shape = images.shape
        self.asked: list[tuple[float, float]] = []

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: slice | IntArray) -> Image:
        self.asked.append(_now())
        return self._images[rows]

    def take_spent(self) -> Spent:
        """Return what an epoch's timed steps took: to the gathering of the batch after them."""
        spent = _since(self.asked[WARM_UP], self.asked[-1])
        self.asked = []
        return spent


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float], end: tuple[float, float]) -> Spent:
    return Spent(end[0] - start[0], end[1] - start[1])


def make_images(count: int, side: int) -> Image:
    """Return coloured squares of eight pixels, uint8, shape (N, H, W, 3)."""
    random = generator(0, "benchmark", "train_throughput")
    coarse = random.integers(0, 256, (count, side // 8, side // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def make_peer(
    network: nn.Module, inputs: torch.Tensor, targets: torch.Tensor
) -> Callable[[], Spent]:
    """Return one turn of the bare loop."""
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)

    def run() -> Spent:
        start = _now()
        for number, images in enumerate(inputs.split(BATCH)):
            if number == WARM_UP:
                start = _now()
            optimizer.zero_grad()
            wanted = targets[number * BATCH : (number + 1) * BATCH]
            functional.cross_entropy(network(images), wanted).backward()
            optimizer.step()
        return _since(start, _now())

    return run


def measure(case: Case) -> dict[str, list[Spent]]:
    """Let each side have its turns; return what each took."""
    spec = NETWORKS.get(case.network)
    preprocessing = make_preprocessing(spec.preprocessing, spec.input_px)
    # Ours has a batch more: the clock stops when it is gathered.
    images = make_images((WARM_UP + case.steps + 1) * BATCH, spec.input_px)
    clocked = Clocked(images)
    part = ImagePart(clocked, np.arange(len(images)) % 2)
    floats = torch.from_numpy(to_input(images[:-BATCH], preprocessing))
    targets = torch.from_numpy(part.targets)
    networks = [_build(case.network) for _ in range(2)]
    bare = networks[1].to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    peer = make_peer(bare, floats.contiguous(memory_format=torch.channels_last), targets)
    spent: dict[str, list[Spent]] = {"ours": [], "bare loop": []}

    def end_turn(_row: dict[str, Any]) -> None:
        spent["ours"].append(clocked.take_spent())
        # Ours is evaluating at this moment, and keeps no gradients.
        with torch.inference_mode(mode=False), torch.enable_grad():
            spent["bare loop"].append(peer())

    inputs = FitInputs(
        train=part,
        val=ImagePart(images[:BATCH], part.targets[:BATCH]),
        preprocessing=preprocessing,
        policy=POLICIES.get(case.policy),
        positive=1,
        n_classes=2,
        seed=0,
        device_settings=choose_device_settings("cpu", "32-true", None),
    )
    section = TrainSection(epochs=case.turns + 1, batch_size=BATCH, lr=RATE)
    with tempfile.TemporaryDirectory() as folder:
        fit(networks[0], section, inputs, RunFolder(Path(folder)), on_row=end_turn)
    return {name: turns[1:] for name, turns in spent.items()}


def _build(name: str) -> nn.Module:
    seed_torch(0, "benchmark")
    return NETWORKS.get(name).build()


def summarise(case: Case, spent: dict[str, list[Spent]]) -> dict[str, Any]:
    """Print one case, and return its row."""
    images = case.steps * BATCH
    print(f"{case.name}: batches of {BATCH}, augmentation {case.policy}, goal {case.goal:.2f}")
    for name, turns in spent.items():
        rate = statistics.median(images / turn.wall for turn in turns)
        print(f"  {name:14} {rate:8.1f} img/s")
    print(
        f"  ratio {_ratio(spent, 'wall'):.2f}, in processor time {_ratio(spent, 'processor'):.2f}"
    )
    return {
        "case": case.name,
        "ours": round(statistics.median(images / turn.wall for turn in spent["ours"]), 1),
        "peer": round(statistics.median(images / turn.wall for turn in spent["bare loop"]), 1),
        "peer_name": "bare PyTorch loop, channels last",
        "unit": "img/s",
        "ratio": round(_ratio(spent, "wall"), 3),
    }


def _ratio(spent: dict[str, list[Spent]], kind: str) -> float:
    pairs = zip(spent["ours"], spent["bare loop"], strict=True)
    return statistics.median(getattr(b, kind) / getattr(a, kind) for a, b in pairs)


def keep(name: str, cases: Sequence[Case], rows: Sequence[dict[str, Any]]) -> None:
    """Keep a table under a name for the pages of results."""
    module = Path(sys.argv[0]).stem
    write_table(
        name,
        f"Training with augmentation and a bare PyTorch loop, batches of {BATCH}, "
        f"{torch.get_num_threads()} CPU threads, in turns: images per second, and the median "
        "ratio.",
        f"python -m benchmarks.{module} --save {name}",
        ["network", "augmentation", "ours", "bare loop", "ratio", "goal"],
        [
            [
                case.network,
                case.policy,
                f"{row['ours']:.0f}",
                f"{row['peer']:.0f}",
                f"{row['ratio']:.2f}",
                f"{case.goal:.2f}",
            ]
            for case, row in zip(cases, rows, strict=True)
        ],
    )


def main(cases: Sequence[Case] = CASES, description: str | None = __doc__) -> None:
    """Time the cases."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, last")
    parser.add_argument("--case", choices=[case.name for case in cases], help="only this one")
    parser.add_argument("--save", metavar="NAME", help="keep the table for docs/results")
    arguments = parser.parse_args()
    chosen = [case for case in cases if arguments.case in {None, case.name}]
    rows = [summarise(case, measure(case)) for case in chosen]
    if arguments.save:
        keep(arguments.save, chosen, rows)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
