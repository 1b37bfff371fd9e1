"""Layout, precision and compilation of a training step, by network, on this machine.

For each network a step (forward, loss, backward) in turn: as PyTorch lays images out (``plain``),
with the channels last in memory, as Eosin's batches come; the same under bfloat16; and, on CUDA,
both compiled. ``ratio`` is the plain step's time over the mode's, the median over turns: above 1
the mode gains. On a CPU it is processor time, summed over threads, which forgives a busy machine.

What it decides: batches lie with the channels last everywhere; ``train.precision = "auto"`` is
bfloat16 on CUDA alone; ``train.compile`` is an option.

``python -m benchmarks.train_modes --json`` prints, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from eosin.networks import build_network

#: Name → pixels and batch, small enough for two cores.
CASES = {
    "light_cnn": (224, 32),
    "cancervisionnet": (96, 16),
    "efficientnet_lite0": (160, 16),
    "ernet18": (112, 16),
    "densenet121": (112, 16),
    "vgg16": (64, 16),
}


def make_steps(name: str, side: int, batch: int, device: str) -> dict[str, Callable[[], None]]:
    """Return a function for each mode that takes one step."""
    plain = torch.randn(batch, 3, side, side, device=device)
    last = plain.contiguous(memory_format=torch.channels_last)
    targets = torch.randint(0, 2, (batch,), device=device)
    network = build_network(name, num_classes=2, input_px=side, arguments={}).to(device).train()
    run: Callable[[torch.Tensor], torch.Tensor] = network.__call__

    def step(images: torch.Tensor, is_mixed: bool, forward: Any = run) -> None:
        with torch.autocast(device, torch.bfloat16, enabled=is_mixed):
            loss = functional.cross_entropy(forward(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        network.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()

    steps = {
        "plain": lambda: step(plain, False),
        "channels last": lambda: step(last, False),
        "bf16": lambda: step(last, True),
    }
    if device == "cuda":
        compiled = torch.compile(network).__call__
        steps["compiled"] = lambda: step(last, False, compiled)
        steps["compiled bf16"] = lambda: step(last, True, compiled)
    return steps


def measure(name: str, device: str, turns: int) -> list[dict[str, Any]]:
    """Let each mode have its turns; print and return a row a mode."""
    side, batch = CASES[name]
    clock = time.perf_counter if device == "cuda" else time.process_time
    steps = make_steps(name, side, batch, device)
    spent: dict[str, list[float]] = {mode: [] for mode in steps}
    for _ in range(turns + 1):
        for mode, step in steps.items():
            start = clock()
            step()
            spent[mode].append(clock() - start)
    rows = []
    print(f"{name}, {side} px, batches of {batch}")
    for mode, times in spent.items():
        pairs = zip(spent["plain"][1:], times[1:], strict=True)  # the first turn warms up
        ratio = statistics.median(before / after for before, after in pairs)
        each = {key: statistics.median(spent[key][1:]) / batch * 1e3 for key in (mode, "plain")}
        print(f"  {mode:14} {each[mode]:8.2f} ms/img   ratio {ratio:.2f}")
        if mode != "plain":
            rows.append(
                {
                    "case": f"{name}_{side} {mode}",
                    "ours": round(each[mode], 3),
                    "peer": round(each["plain"], 3),
                    "peer_name": "PyTorch's layout, float32",
                    "unit": "ms/img",
                    "ratio": round(ratio, 3),
                }
            )
    return rows


def main() -> None:
    """Time the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, last")
    parser.add_argument("--case", choices=sorted(CASES), help="only this one")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--turns", type=int, default=7)
    arguments = parser.parse_args()
    chosen = [name for name in CASES if arguments.case in {None, name}]
    found = [measure(name, arguments.device, arguments.turns) for name in chosen]
    if arguments.json:
        print(json.dumps([row for rows in found for row in rows]))


if __name__ == "__main__":
    main()
