"""Command ``bench``: size, speed and memory of networks on this machine."""

from __future__ import annotations

import logging
import platform
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import Any

import numpy as np

from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.commands.bench_processes import (
    BATCHES,
    LEAST,
    LEAST_BATCHES,
    MOST_SECONDS,
    ROUNDS,
    STEPS,
    WARM_UP,
    Job,
    Process,
    Speed,
    time_batches,
    time_predictions,
)
from eosin.commands.bench_worker import BATCH
from eosin.commands.load import find_model
from eosin.core.display import Shown
from eosin.core.errors import ArtifactError, MissingPartError, UnknownNameError, UsageError
from eosin.core.plugins import loaded_plugins
from eosin.core.seeding import generator
from eosin.core.text import Content, TextTable, as_list, mebibytes, quantity
from eosin.core.threads import thread_limit
from eosin.exporting.costs import read_cost
from eosin.inference.classifier import Classifier
from eosin.reporting.formatting import amount
from eosin.runtime.door import missing_train_extra

_LOG = logging.getLogger(__name__)

#: Random images on which a registered network is calibrated.
_CALIBRATED_ON = 8
_ABSENT = "–"
RULES = (
    f"Cold: a new process, from its start to the first result. Warm: {WARM_UP} single images, then "
    f"{ROUNDS} timed ones, the precisions of a network in turn, after a pause: median and 95th "
    f"percentile. images/s: median of {BATCHES} batches of {BATCH}, after one. Peak: memory of the "
    "process, with Python and its libraries.",
    f"Training step: forward, backward and AdamW on {BATCH} images in float32, on the CPU, without "
    f"reading or augmentation; median of {STEPS} after one.",
    f"What takes more than {MOST_SECONDS:.0f} s is timed less often: single images at least "
    f"{LEAST} times, batches {LEAST_BATCHES} times.",
    "A model folder is timed from decoded pixels to probabilities, a named network by itself, with "
    "random weights and for INT8 calibrated on random images: its speed and size alone count.",
    "FLOPs: 2 × MACs (multiply-accumulates of convolutions and dense layers, one image).",
)


@dataclass(frozen=True)
class NetworkCosts:
    """Costs of one network.

    Attributes:
        name: As it was named.
        input_px: Height and width of its input.
        params: Learnable weights.
        macs: Multiply-accumulates of one image; None where they cannot be counted.
        flops: Twice these.
        speeds: By precision, then the training step.
    """

    name: str
    input_px: tuple[int, int]
    params: int
    macs: int | None
    flops: int | None
    speeds: list[Speed]


@dataclass(frozen=True, repr=False)
class BenchResult(Shown):
    """Result of ``bench``.

    Attributes:
        networks: In the order given.
        platform: Machine and operating system.
        threads: The limit of threads; None for the libraries' own choice.
        rules: How it was measured.
    """

    networks: list[NetworkCosts]
    platform: str
    threads: int | None
    rules: tuple[str, ...] = RULES

    def summary(self) -> dict[str, object]:
        """Return the main facts."""
        return {
            one.name: f"{one.params:,} params, "
            + ", ".join(
                f"{speed.precision} {1000 * speed.median_seconds:.3g} ms"
                for speed in one.speeds
                if speed.median_seconds is not None
            )
            for one in self.networks
        }


def bench(networks: Path | str | Iterable[Path | str]) -> BenchResult:
    """Measure networks on this machine: size, latency, throughput, memory, a training step.

    Every precision of every network runs in a process of its own.

    Args:
        networks: Registered names, such as ``light_cnn`` or ``timm:resnet18``; model folders; run
            folders. Names need the training extra.

    Raises:
        UnknownNameError: There is no network of a name.
        ArtifactError: A model folder cannot be loaded.
        MissingPartError: A name is given, and the training extra is not installed.
    """
    names = [str(one) for one in as_list(networks)]
    if not names:
        raise UsageError("no network was given", hint="Name one, or a model folder")
    with tempfile.TemporaryDirectory(prefix="eosin-") as place:
        subjects = [_open_subject(name, Path(place) / str(n)) for n, name in enumerate(names)]
        measured = [_measure(one) for one in subjects]
    return BenchResult(measured, platform.platform(), thread_limit())


@dataclass(frozen=True)
class _Subject:
    """A network to measure."""

    name: str
    input_px: tuple[int, int]
    params: int
    macs: int | None
    jobs: list[Job] = field(default_factory=list)


def _open_subject(name: str, place: Path) -> _Subject:
    folder = ModelFolder(find_model(Path(name)))
    if folder.info.exists():
        return _open_folder(name, folder)
    try:
        return _open_name(name, place)
    except (UnknownNameError, MissingPartError):
        if Path(name).exists() or "/" in name:
            Classifier(folder.root)  # raises the error of a folder that is no model
        raise


def _open_folder(name: str, folder: ModelFolder) -> _Subject:
    info = read_document(folder.info, ModelInfo)
    Classifier(folder.root)
    cost = read_cost(folder, None)
    given = info.preprocessing
    shape = [len(given.channels), *given.input_px]
    root = str(folder.root.resolve())
    values = {"kind": "folder", "folder": root, "network": None}
    float32 = folder.onnx if folder.onnx.exists() else folder.weights
    jobs = [Job("float32", {**values, "network": float32.name}, file=float32)]
    if info.int8 is None:
        jobs.append(Job("int8", reason="the folder has no 8-bit network"))
    else:
        jobs.append(Job("int8", values, file=folder.int8))
    in_torch = {"folder": root, "shape": shape, "num_classes": len(info.class_names)}
    in_torch["crop_px"] = given.crop_px
    no_training = "an ensemble is not trained itself" if info.architecture == "ensemble" else ""
    jobs += _torch_jobs(in_torch, no_training)
    return _Subject(name, given.input_px, info.params, cost.macs, jobs)


def _open_name(name: str, place: Path) -> _Subject:
    """Export a registered network with random weights, in float32 and in 8 bits."""
    for package in ("torch", "onnx"):
        if find_module(package) is None:
            raise missing_train_extra("PyTorch" if package == "torch" else package)
    from eosin.exporting.int8 import write_int8
    from eosin.exporting.onnx import write_onnx
    from eosin.networks import build_network, count_params, find_spec
    from eosin.networks.registry import count_macs

    spec = find_spec(name)
    side, channels = spec.input_px, spec.in_channels
    _LOG.info(f"Exporting {name}")
    network = build_network(
        name, num_classes=spec.num_classes, input_px=side, in_channels=channels, arguments={}
    ).eval()
    place.mkdir()
    float32, int8 = place / "model.onnx", place / "model.int8.onnx"
    write_onnx(network, float32, (side, side), channels)
    shape = [channels, side, side]
    values = {"kind": "onnx", "shape": shape}
    jobs = [Job("float32", {**values, "network": str(float32)}, file=float32)]
    random = generator(0, "bench").standard_normal((_CALIBRATED_ON, *shape), dtype=np.float32)
    try:
        write_int8(float32, int8, lambda: iter([random]))
        jobs.append(Job("int8", {**values, "network": str(int8)}, file=int8))
    except ArtifactError as error:
        jobs.append(Job("int8", reason=error.message))
    in_torch = {"folder": None, "name": name, "shape": shape, "num_classes": spec.num_classes}
    jobs += _torch_jobs({**in_torch, "plugins": loaded_plugins})
    macs = count_macs(network, side, channels)
    return _Subject(name, (side, side), count_params(network), macs, jobs)


def _torch_jobs(values: dict[str, Any], no_training: str = "") -> list[Job]:
    if find_module("torch") is None:
        reason = "PyTorch is not installed"
        return [Job("bfloat16", reason=reason), Job("training", reason=reason)]
    training = {**values, "kind": "training", "first": BATCH}
    return [
        Job("bfloat16", {**values, "kind": "bfloat16"}),
        Job("training", reason=no_training) if no_training else Job("training", training),
    ]


def _measure(subject: _Subject) -> NetworkCosts:
    _LOG.info(f"Measuring {subject.name}")
    processes = [Process(job) for job in subject.jobs]
    *predicting, training = processes
    try:
        for one in predicting:
            one.start()
        time_predictions(predicting)
        for one in predicting:
            one.stop()
        training.start()
        time_batches([training], STEPS, n_before=0)
    finally:
        for one in processes:
            one.stop()
    macs = subject.macs
    return NetworkCosts(
        name=subject.name,
        input_px=subject.input_px,
        params=subject.params,
        macs=macs,
        flops=None if macs is None else 2 * macs,
        speeds=[one.speed() for one in processes],
    )


_SHOWN = {"int8": "INT8", "training": f"training step ({BATCH})"}


def format_result(result: BenchResult) -> Content:
    """Return the terminal output."""
    sizes: list[tuple[str, ...]] = [("network", "input", "params", "M MACs", "M FLOPs")]
    speeds: list[tuple[str, ...]] = [
        ("network", "precision", "file MB", "cold s", "warm ms", "p95 ms", "images/s", "peak MiB")
    ]
    notes = []
    for one in result.networks:
        counted = (_shown(value and value / 1e6, 1) for value in (one.macs, one.flops))
        sizes.append((one.name, " × ".join(map(str, one.input_px)), f"{one.params:,}", *counted))
        for speed in one.speeds:
            name = _SHOWN.get(speed.precision, speed.precision)
            if speed.reason:
                notes.append(f"{one.name}, {name}: not available, {speed.reason}")
                continue
            speeds.append((one.name, name, *_cells(speed)))
    known = result.threads is not None
    threads = quantity(result.threads or 0, "thread") if known else "threads as libraries choose"
    machine = f"{result.platform}, {threads}"
    shown: list[str | TextTable] = [TextTable(sizes, right=3), "", TextTable(speeds, right=6)]
    return [*shown, *notes, machine, *result.rules]


def _cells(speed: Speed) -> tuple[str, ...]:
    peak = speed.peak_bytes
    return (
        _shown(speed.file_bytes and speed.file_bytes / 1e6, 2),
        _shown(speed.cold_seconds, 2),
        _shown(speed.median_seconds and 1000 * speed.median_seconds, 2),
        _shown(speed.p95_seconds and 1000 * speed.p95_seconds, 2),
        _shown(speed.images_per_second, 1),
        _ABSENT if peak is None else mebibytes(peak).removesuffix(" MiB"),
    )


def _shown(value: float | None, digits: int) -> str:
    return _ABSENT if value is None else amount(value, digits)
