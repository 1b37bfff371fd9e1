"""The NumPy engine beside PyTorch: a step, a prediction, the memory of a step, where the time goes.

Both train P3's BreakHis network (224 × 224 × 3, batches of 32, 319,106 parameters) with Adam, in
one process on the same threads: as many for PyTorch as OpenBLAS has, ``$OPENBLAS_NUM_THREADS`` or
all cores. They take turns of a few steps; ``ratio`` is the median over the turns of PyTorch's time
over ours of the same turn (above 1: the engine is faster), and the same ratio in processor time is
printed as a cross-check. Memory
is measured in a process of its own, which never imports PyTorch: the peak after some steps, and
what of it is beyond the imports, the network and the batch.

``python -m benchmarks.engine --json`` prints, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import write_table
from eosin.core.seeding import generator
from eosin.core.types import FloatArray, IntArray
from eosin.engine import Adam, Network, convolution, light_cnn

BATCH, SIDE = 32, 224
THREADS = int(os.environ.get("OPENBLAS_NUM_THREADS", os.cpu_count() or 1))
COMMAND = f"OPENBLAS_NUM_THREADS={THREADS} python -m benchmarks.engine --save"
_THREADS = f"{THREADS} thread{'s' if THREADS > 1 else ''}"
TURNS, STEPS = 15, 4
#: At least: PyTorch's time over ours, of a step and of a prediction. At most: megabytes.
STEP_GOAL, PREDICT_GOAL, PEAK_GOAL_MB = 0.67, 1.0, 700.0

Step = Callable[[], object]


def make_batch() -> tuple[FloatArray, IntArray]:
    """Return images (B, H, W, C), float32, and targets (B,)."""
    random = generator(0, "benchmark", "engine")
    images = random.standard_normal((BATCH, SIDE, SIDE, 3), dtype=np.float32)
    return images, random.integers(2, size=BATCH)


def make_peer(images: FloatArray, targets: IntArray) -> tuple[Step, Step]:
    """Return PyTorch's training step, and its prediction of one image."""
    import torch
    from torch.nn import functional

    from eosin.networks.light_cnn import LightCNN

    torch.set_num_threads(THREADS)
    # Channels last, as Eosin trains with PyTorch: half the time of PyTorch's default.
    network = LightCNN().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    seen = torch.from_numpy(images).permute(0, 3, 1, 2)
    wanted = torch.from_numpy(targets)

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        functional.cross_entropy(network(seen), wanted).backward()
        optimizer.step()

    def predict() -> None:
        network.eval()
        with torch.inference_mode():
            functional.softmax(network(seen[:1]), dim=1)

    return step, predict


def take_turns(ours: Step, peer: Step, steps: int) -> dict[str, list[tuple[float, float]]]:
    """Return what each turn took a step, by the clock and of the processor, in milliseconds."""
    spent: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
    for turn in range(TURNS + 1):
        for name, step in (("ours", ours), ("peer", peer)):
            step()  # the other's threads come to rest, the caches fill
            wall, processor = time.perf_counter(), time.process_time()
            for _ in range(steps):
                step()
            took = (time.perf_counter() - wall, time.process_time() - processor)
            if turn:  # the first warms up
                spent[name].append((took[0] / steps * 1e3, took[1] / steps * 1e3))
    return spent


def compare(
    case: str, ours: Step, peer: Step, steps: int, peer_name: str = "PyTorch"
) -> dict[str, Any]:
    """Time one case, print it, and return its row."""
    spent = take_turns(ours, peer, steps)
    pairs = list(zip(spent["ours"], spent["peer"], strict=True))
    wall, processor = (statistics.median(b[kind] / a[kind] for a, b in pairs) for kind in (0, 1))
    row = {
        "case": case,
        **{name: round(statistics.median(t[0] for t in turns), 2) for name, turns in spent.items()},
        "peer_name": peer_name,
        "unit": "ms",
        "ratio": round(wall, 2),
    }
    print(f"{case}: {row['ours']} ms, {peer_name} {row['peer']} ms, ratio {wall:.2f}, ", end="")
    print(f"in processor time {processor:.2f}")
    return row


def make_ways_back(network: Network) -> tuple[Step, Step]:
    """Return the second layer's derivative by its input as the engine takes it, and scattered."""
    layer = network.layers["conv2d2"]
    if not isinstance(layer, convolution.Conv2d):
        raise TypeError("conv2d2 must be a convolution")
    rows, columns, filters = network.shapes["conv2d2"]
    gradient = np.ones((BATCH, rows, columns, filters), np.float32)
    weight, shape = layer.parameters["weight"], network.shapes["conv2d1"]
    k, s = layer.kernel, layer.stride

    def scatter() -> FloatArray:
        table = np.tensordot(gradient, weight.reshape(-1, filters).T, axes=1)
        patches = table.reshape(BATCH, rows, columns, k, k, shape[-1])
        images = np.zeros((BATCH, *shape), np.float32)
        for i in range(k):
            for j in range(k):
                images[:, i : i + rows * s : s, j : j + columns * s : s] += patches[:, :, :, i, j]
        return images

    def ours() -> FloatArray:
        return layer._pass_back(gradient)

    if not np.allclose(scatter(), ours(), atol=1e-4):
        raise SystemExit("both ways must give the same")
    return ours, scatter


def measure_parts(step: Step, network: Network, optimiser: Adam) -> dict[str, float]:
    """Return the median milliseconds of each part of a step, by its name."""
    steps: list[dict[str, float]] = []

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **shown: Any) -> Any:
            start = time.perf_counter()
            found = function(*given, **shown)
            steps[-1][name] += (time.perf_counter() - start) * 1e3
            return found

        return run

    for name, layer in network.layers.items():
        for way in ("forward", "backward"):
            setattr(layer, way, clocked(f"{name} {way}", getattr(layer, way)))
    setattr(optimiser, "step", clocked("optimiser", optimiser.step))  # noqa: B010
    gather, products = convolution.gather, np.tensordot
    convolution.gather, np.tensordot = clocked("gather", gather), clocked("products", products)
    try:
        for _ in range(2 * TURNS):
            steps.append(defaultdict(float))
            step()
    finally:
        convolution.gather, np.tensordot = gather, products
    return {name: statistics.median(took[name] for took in steps) for name in steps[0]}


def sum_parts(parts: dict[str, float]) -> dict[str, float]:
    """Return where the time of a step goes, in milliseconds, by kind of work."""
    layers: dict[str, float] = defaultdict(float)
    for name, took in parts.items():
        if name.endswith("ward"):
            layers[name.split()[0].rstrip("0123456789")] += took
    convolutions = layers.pop("conv2d")
    sums = {
        "convolutions: gathering patches": parts["gather"],
        "convolutions: matrix products": parts["products"],
        "convolutions: the rest": convolutions - parts["gather"] - parts["products"],
        **layers,
        "optimiser": parts["optimiser"],
    }
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def measure_memory() -> dict[str, float]:
    """Return the peak of a process that trains, and what of it are the steps, in MB."""
    code = "from benchmarks.engine import train_alone; train_alone()"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def read_peak_mb() -> float:
    """Return this process's peak: `ru_maxrss` would count the one that started it, too."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit("the system tells no peak memory")
    return int(found[1]) / 1024


def train_alone() -> None:
    """Train some steps, and print the peak memory before and after."""
    images, targets = make_batch()
    network, optimiser = light_cnn(), Adam(1e-3)
    before = read_peak_mb()
    for _ in range(5):
        network.step(images, targets, optimiser)
    peak = read_peak_mb()
    print(json.dumps({"peak_mb": round(peak), "steps_mb": round(peak - before)}))


def keep(rows: list[dict[str, Any]], memory: dict[str, float], parts: dict[str, float]) -> None:
    """Keep both tables for the pages of results."""
    step, predict, way = rows
    write_table(
        "engine",
        "The NumPy engine beside PyTorch on the BreakHis network (224 × 224 × 3, batches of "
        f"{BATCH}, Adam, {_THREADS}), in turns; medians over {TURNS} turns.",
        COMMAND,
        ["", "engine", "PyTorch", "PyTorch ÷ engine", "goal"],
        [
            ["training step, ms", *_cells(step), f"≥ {STEP_GOAL}"],
            ["prediction of one image, ms", *_cells(predict), f"≥ {PREDICT_GOAL}"],
            [
                "peak memory of training, MB",
                f"{memory['peak_mb']}",
                "",
                "",
                f"≤ {PEAK_GOAL_MB:.0f}",
            ],
            ["of it for the steps, MB", f"{memory['steps_mb']}", "", "", ""],
        ],
    )
    write_table(
        "engine_parts",
        f"Where the time of the engine's training step goes ({_THREADS}, medians). Of it, "
        f"the second convolution's derivative by its input takes {way['ours']:.1f} ms; scattered "
        f"from the table of patches it would take {way['peer']:.1f} ms.",
        COMMAND,
        ["part", "ms", "share"],
        [
            [name, f"{took:.1f}", f"{took / sum(parts.values()):.0%}"]
            for name, took in parts.items()
        ],
    )


def _cells(row: dict[str, Any]) -> list[str]:
    return [f"{row['ours']:.1f}", f"{row['peer']:.1f}", f"{row['ratio']:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, last")
    parser.add_argument(
        "--save", action="store_true", help="keep the tables for the pages of results"
    )
    arguments = parser.parse_args()
    images, targets = make_batch()
    network, optimiser = light_cnn(), Adam(1e-3)
    peer_step, peer_predict = make_peer(images, targets)

    def step() -> None:
        network.step(images, targets, optimiser)

    def predict() -> None:
        network.predict(images[:1])

    rows = [
        compare("train_step_b32", step, peer_step, STEPS),
        compare("predict_1", predict, peer_predict, 10 * STEPS),
    ]
    rows.append(compare("input_gradient_b32", *make_ways_back(network), STEPS, "scatter"))
    memory, parts = measure_memory(), measure_parts(step, network, optimiser)
    print(f"memory: {memory['peak_mb']} MB at the peak, {memory['steps_mb']} MB for the steps")
    for name, took in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {name:24} {took:6.2f} ms")
    sums = sum_parts(parts)
    for name, took in sums.items():
        print(f"{name:34} {took:6.2f} ms {took / sum(sums.values()):5.0%}")
    if arguments.save:
        keep(rows, memory, sums)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
