"""Costs of a finished run's model: weights, operations, bytes, time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eosin.artifacts.comparison import Cost, Latency
from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import Embedding, ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.core.errors import EosinError
from eosin.core.progress import progress_bar
from eosin.core.seeding import generator
from eosin.core.types import Samples
from eosin.evaluation.comparison import median_interval
from eosin.images.bank import load_bank
from eosin.images.references import without
from eosin.inference.classifier import Classifier
from eosin.runs.finished import FinishedRun

#: One thread: least disturbed by other processes, and comparable between machines.
THREADS = 1
#: Number of images that a network is timed on.
TIMED_IMAGES = 8
_ROUNDS, _WARM_UP = 21, 2


@dataclass(frozen=True)
class Models:
    """The model folders of a run.

    Attributes:
        deployed: The run's own; None without one, as in a folder of ``evaluate``.
        judged: One of the networks that predicted its images: a fold's, else the same.
        networks: Number of those networks.
    """

    deployed: ModelFolder | None
    judged: ModelFolder | None
    networks: int


def find_models(run: FinishedRun) -> Models:
    """Find the model that a run deploys, and the one behind its predictions."""
    deployed = run.model_folder if run.model else None
    folds = [fold.model_folder for fold in run.folds if fold.model]
    return Models(deployed, folds[0] if folds else deployed, max(1, len(folds)))


def read_cost(folder: ModelFolder | None, latency: Latency | None) -> Cost:
    """Return the costs of a model folder."""
    if folder is None:
        return Cost()
    info = read_document(folder.info, ModelInfo)
    return Cost(
        params=info.params,
        trainable=info.trainable,
        macs=info.macs if info.macs is not None else _count_macs(info),
        onnx_bytes=_size(folder.onnx),
        safetensors_bytes=_size(folder.weights),
        latency=latency,
    )


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _count_macs(info: ModelInfo) -> int | None:
    """Count an older model's multiply-accumulates; None if the network cannot be built."""
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
        return None  # a network unknown to this version


def training_seconds(run: FinishedRun) -> float | None:
    """Return the wall time of a run's training, with its folds and transfer stages."""
    own = [_trained(part) for part in run.folds or [run]]
    known = [seconds for seconds in own if seconds is not None]
    return sum(known) + sum(_trained(stage) or 0.0 for stage in run.stages) if known else None


def _trained(run: FinishedRun) -> float | None:
    """Return the wall time of one training; the environment knows the last process alone."""
    recorded = None if run.environment is None else run.environment.seconds.get("train")
    if run.history is None or "seconds" not in run.history:
        return recorded
    return float(run.history["seconds"].fillna(0.0).clip(lower=recorded or 0.0).max())


def measure_latencies(folders: Mapping[Path, ModelFolder], samples: Samples) -> dict[Path, Latency]:
    """Measure each model's latency for single images, from decoded pixels to probabilities.

    A round times each model once, so that other load on the machine affects all equally. Models
    without a network are left out; unreadable samples are replaced by random pixels.
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
    shown = [round(value, 6) for value in rounds]
    return Latency(median=median, low=low, high=high, rounds=shown, images=images)


def _images(folder: ModelFolder, samples: Samples) -> tuple[Any, Literal["real", "random"]]:
    """Return images in the model's input format, (N, H, W, C)."""
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
            pass  # the images have been moved: latency does not depend on their content
    shape = (TIMED_IMAGES, *preprocessing.input_px, len(preprocessing.channels))
    return generator(0, "latency").integers(0, 256, shape, dtype=np.uint8), "random"
