"""What a finished run's model takes: weights, work, bytes, time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eosin.artifacts.comparison import Cost, Latency
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import Embedding, ModelInfo
from eosin.artifacts.run import Environment
from eosin.artifacts.versioned import read_document
from eosin.core.errors import EosinError
from eosin.core.progress import progress_bar
from eosin.core.seeding import generator
from eosin.core.types import Samples
from eosin.evaluation.comparison import median_interval
from eosin.images.bank import load_bank
from eosin.images.references import without
from eosin.inference.classifier import Classifier
from eosin.runs.finished import Run

#: One thread, so that a machine's other work shows least and machines can be compared.
THREADS = 1
#: How many images a network is timed on, in turn.
TIMED_IMAGES = 8
_ROUNDS, _WARM_UP = 21, 2


@dataclass(frozen=True)
class Models:
    """The model folders of a run.

    Attributes:
        deployed: The run's own; nothing where it has none, as a folder that ``evaluate`` made.
        judged: One of the networks that judged its images: a fold's, else the same.
        networks: How many those are.
    """

    deployed: ModelFolder | None
    judged: ModelFolder | None
    networks: int


def find_models(run: Run) -> Models:
    """Find what a run would deploy, and what its predictions are of."""
    own = ModelFolder(run.folder.model)
    deployed = own if own.info.exists() else None
    folds = [ModelFolder(RunFolder(run.folder.folds / fold.name).model) for fold in run.folds]
    folds = [fold for fold in folds if fold.info.exists()]
    return Models(deployed, folds[0] if folds else deployed, max(1, len(folds)))


def read_cost(folder: ModelFolder | None, latency: Latency | None) -> Cost:
    """Return what a model folder takes."""
    if folder is None:
        return Cost()
    info = read_document(folder.info, ModelInfo)
    return Cost(
        params=info.params,
        macs=info.macs if info.macs is not None else _count_macs(info),
        onnx_bytes=_size(folder.onnx),
        safetensors_bytes=_size(folder.weights),
        latency=latency,
    )


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _count_macs(info: ModelInfo) -> int | None:
    """Count what an older model folder does not tell; ``None`` where that takes what is absent."""
    if find_spec("torch") is None or info.members:
        return None
    import torch

    from eosin.networks import build_network
    from eosin.networks.registry import count_macs

    arguments = dict(info.arguments)
    n_networks = arguments.pop("members", 1) if info.architecture == "ensemble" else 1
    name = arguments.pop("architecture", info.architecture)
    input_px, n_channels = arguments.pop("input_px", None), len(info.preprocessing.channels)
    input_px = input_px or info.preprocessing.input_px[0]
    try:
        with torch.device("meta"):
            network = build_network(
                name,
                num_classes=len(info.class_names),
                input_px=input_px,
                in_channels=n_channels,
                arguments=arguments,
            )
            return n_networks * count_macs(network, input_px, n_channels)
    except EosinError:
        return None  # a network that this version does not have


def training_seconds(run: Run) -> float | None:
    """Return the wall time of a run's training, its folds' and that of the stages before them."""
    if run.environment is None:
        return None
    own = run.environment.seconds.get("train")
    if own is None:
        # A run that was taken up again after its last fold.
        folds = [_trained(RunFolder(run.folder.folds / fold.name)) for fold in run.folds]
        own = sum(folds) if folds else None
    stages = run.folder.stages
    before = [_trained(RunFolder(place)) for place in stages.iterdir()] if stages.is_dir() else []
    return None if own is None else own + sum(before)


def _trained(run: RunFolder) -> float:
    if not run.environment.exists():
        return 0.0
    return read_document(run.environment, Environment).seconds.get("train", 0.0)


def measure_latencies(folders: Mapping[Path, ModelFolder], samples: Samples) -> dict[Path, Latency]:
    """Time every model on one image at a time, from decoded pixels to probabilities.

    A round times each model once, so that what else the machine does falls on all alike.

    Args:
        folders: The model folders, each by its path; those without a network are left out.
        samples: Some images; random pixels stand in where they cannot be read.
    """
    timed = {
        place: (Classifier(folder.root, threads=THREADS), *_images(folder, samples))
        for place, folder in folders.items()
        if folder.onnx.exists()
    }
    seconds: dict[Path, list[float]] = {place: [] for place in timed}
    n_turns = _WARM_UP + _ROUNDS
    with progress_bar("Timing models") as advance:
        for turn in range(n_turns):
            for place, (classifier, images, _) in timed.items():
                at = turn % len(images)
                start = time.perf_counter()
                classifier.probabilities(classifier.logits(images[at : at + 1]))
                seconds[place].append(time.perf_counter() - start)
            advance(turn + 1, n_turns)
    return {place: _latency(found[_WARM_UP:], timed[place][2]) for place, found in seconds.items()}


def _latency(rounds: Sequence[float], images: Literal["real", "random"]) -> Latency:
    low, median, high = median_interval(rounds)
    told = [round(value, 6) for value in rounds]
    return Latency(median=median, low=low, high=high, rounds=told, images=images)


def _images(folder: ModelFolder, samples: Samples) -> tuple[Any, Literal["real", "random"]]:
    """Return images as the model takes them, (N, H, W, C)."""
    preprocessing = read_document(folder.info, ModelInfo).preprocessing
    if not isinstance(preprocessing, Embedding):
        try:
            bank, hashes = load_bank(samples, preprocessing, keep=False)
            with bank.private:
                readable = without(samples, hashes.unreadable)
                images = np.array(bank.of(readable)[0 : len(readable)])
            if len(images):
                return images, "real"
        except EosinError:
            pass  # the images have gone elsewhere: the time does not hang on what they show
    shape = (TIMED_IMAGES, *preprocessing.input_px, len(preprocessing.channels))
    return generator(0, "latency").integers(0, 256, shape, dtype=np.uint8), "random"
