"""Prediction of a folder beside a plain PyTorch script, in images a second, decoding included.

Ours is ``predict`` of an opened model: it lists the folder, decodes, runs ``model.onnx`` and makes
the table. The peer is what one writes with Pillow, a ``DataLoader`` and PyTorch: the same network
and weights, channels last, inference mode, soft-max, batches of 32, and of several settings
(threads of PyTorch, worker processes) the fastest; its workers are kept between passes. No clock
contains imports, the loading of the model or the start of workers.

The images are those of ``breakhis-200x-224`` (550 PNG files, 224 px) or of another folder of that
size. All contenders take turns; ``ratio`` is the median over the turns of ours over the peer's, of
the peer's best setting.

``python -m benchmarks.predict --json`` prints, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# As the command sets it, for both sides; before torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import numpy as np
import torch
from PIL import Image as PillowImage
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset

import eosin
from benchmarks.tables import write_table
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.images.preprocess import channel_affine
from eosin.images.references import list_images
from eosin.networks import build_network

BATCH, TURNS, GOAL = 32, 7, 1.5
#: The peer's settings: threads of PyTorch, worker processes of the DataLoader.
SETTINGS = ((1, 1), (1, 2), (2, 0), (2, 1), (2, 2))


class Files(Dataset[torch.Tensor]):
    """Image files, decoded by Pillow and scaled as the model needs: float32, (3, H, W)."""

    def __init__(self, paths: list[str], info: ModelInfo) -> None:
        order, factor, offset = channel_affine(info.preprocessing)
        self.paths, self.order = paths, order
        self.factor, self.offset = (
            torch.from_numpy(part)[:, None, None] for part in (factor, offset)
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> torch.Tensor:
        pixels = np.array(PillowImage.open(self.paths[place]).convert("RGB"))
        image = torch.from_numpy(pixels).permute(2, 0, 1)[self.order].float()
        return image * self.factor + self.offset


def train_model(folder: Path) -> Path:
    """Train the light CNN for an epoch on simulated images, at 224 px; return the model folder."""
    recipe = {
        "name": "bench",
        "data": {"dataset": "phantom", "positive": "malignant"},
        "model": {"name": "light_cnn", "input_px": 224},
        "train": {"epochs": 1},
    }
    return RunFolder(eosin.train(recipe, output=folder / "run").run).model


def make_peer(
    network: nn.Module, files: Files, n_threads: int, n_workers: int
) -> Callable[[], float]:
    """Return one pass of the plain script, which returns its seconds."""
    loader = DataLoader(
        files, batch_size=BATCH, num_workers=n_workers, persistent_workers=n_workers > 0
    )

    def run() -> float:
        torch.set_num_threads(n_threads)
        start = time.perf_counter()
        with torch.inference_mode():
            found = [
                torch.softmax(network(batch.to(memory_format=torch.channels_last)), dim=1)
                for batch in loader
            ]
        table = torch.cat(found).numpy()
        _check_count(len(table), files)
        return time.perf_counter() - start

    return run


def _check_count(count: int, files: Files) -> None:
    if count != len(files):
        raise RuntimeError(f"{count} of {len(files)} images were predicted")


def measure(model: Path, folder: Path, turns: int) -> dict[str, list[float]]:
    """Let each contender have its turns; return their seconds."""
    info = read_document(ModelFolder(model).info, ModelInfo)
    files = Files(list_images([folder]).cells, info)
    network = build_network(
        info.architecture,
        num_classes=len(info.class_names),
        input_px=info.preprocessing.input_px[0],
        arguments={},
    )
    network.load_state_dict(load_file(ModelFolder(model).weights))
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    opened = eosin.load(model)

    def predict() -> float:
        start = time.perf_counter()
        _check_count(len(opened.predict(folder).table), files)
        return time.perf_counter() - start

    contenders = {"ours": predict} | {
        f"{n_threads} threads, {n_workers} workers": make_peer(network, files, n_threads, n_workers)
        for n_threads, n_workers in SETTINGS
    }
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns + 1):
        for name, run in contenders.items():
            spent[name].append(run())
    print(f"{len(files)} images of {folder.name}, {torch.get_num_threads()} threads at most")
    return {name: seconds[1:] for name, seconds in spent.items()}


def summarise(spent: dict[str, list[float]], n_images: int) -> dict[str, Any]:
    """Print the rates; return the row of the best setting of the peer."""
    rates = {name: n_images / statistics.median(times) for name, times in spent.items()}
    for name, rate in rates.items():
        print(f"  {name:22} {rate:7.0f} img/s")
    best = max((name for name in rates if name != "ours"), key=lambda name: rates[name])
    ratio = statistics.median(
        peer / ours for ours, peer in zip(spent["ours"], spent[best], strict=True)
    )
    print(f"  ratio {ratio:.2f}, goal {GOAL:.2f}")
    return {
        "case": "light_cnn_224_folder",
        "ours": round(rates["ours"], 1),
        "peer": round(rates[best], 1),
        "peer_name": f"Pillow, DataLoader and PyTorch, {best}",
        "unit": "img/s",
        "ratio": round(ratio, 3),
    }


def main() -> None:
    """Time the case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, last")
    parser.add_argument("--images", type=Path, help="folder of images of 224 px")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--save", metavar="NAME", help="keep the table for docs/results")
    arguments = parser.parse_args()
    images = arguments.images or Path(os.environ["EOSIN_DATA"]) / "breakhis-200x-224"
    with tempfile.TemporaryDirectory() as folder:
        spent = measure(train_model(Path(folder)), images, arguments.turns)
    n_images = len(list_images([images]).cells)
    row = summarise(spent, n_images)
    if arguments.save:
        write_table(
            arguments.save,
            f"Prediction of a folder of {n_images} PNG files of 224 px with the light CNN, "
            f"decoding included, {os.cpu_count()} cores; in turns, and the median ratio.",
            f"python -m benchmarks.predict --save {arguments.save}",
            ["", "images a second"],
            [
                ["Eosin", f"{row['ours']:.0f}"],
                [row["peer_name"], f"{row['peer']:.0f}"],
                ["ratio", f"{row['ratio']:.2f}"],
            ],
        )
    if arguments.json:
        print(json.dumps([row]))


if __name__ == "__main__":
    main()
