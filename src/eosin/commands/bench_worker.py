"""Process in which ``bench`` runs one network: JSON lines on stdin and stdout.

The first line is the job. The process opens the network, runs it once and answers with its engine.
To each further line, a number of images, it answers with the seconds that they took. Its start is
the cold start, its memory that of this network alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from eosin.core.errors import EosinError, UsageError
from eosin.core.plugins import load_plugin
from eosin.core.seeding import generator
from eosin.core.threads import thread_limit
from eosin.core.types import FloatArray

#: Images of a batch, in throughput and training.
BATCH = 32
_EMULATED = " (emulated: the processor has no bfloat16 instructions)"
#: Runs a number of images, at most :data:`BATCH`.
Run = Callable[[int], object]


def serve() -> None:
    """Answer the parent until it closes the connection."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    try:
        job = json.loads(sys.stdin.readline())
        run, engine = _open(job)
        run(job["first"])
    except EosinError as error:
        return answer(error=error.message)
    answer(engine=engine, peak=_read_peak())
    for line in sys.stdin:
        start = time.perf_counter()
        run(int(line))
        answer(seconds=time.perf_counter() - start, peak=_read_peak())
    return None


def _read_peak() -> int | None:
    from eosin.training.data import read_peak_bytes

    return read_peak_bytes()


def _open(job: dict[str, Any]) -> tuple[Run, str]:
    kind = job["kind"]
    if kind == "folder":
        return _open_folder(Path(job["folder"]), job["network"])
    if kind == "onnx":
        from eosin.inference.onnx import OnnxNetwork

        network, inputs = OnnxNetwork(Path(job["network"])), _draw(job["shape"])
        return lambda n: network.run(inputs[:n]), network.engine
    return _open_torch(job)


def _draw(shape: list[int]) -> FloatArray:
    """Return a batch of standard normal inputs (B, C, H, W)."""
    return generator(0, "bench").standard_normal((BATCH, *shape), dtype=np.float32)


def _open_folder(folder: Path, network: str | None) -> tuple[Run, str]:
    """Open a model folder: from decoded pixels, or features, to calibrated probabilities."""
    from eosin.artifacts.model import Embedding
    from eosin.inference.classifier import Classifier

    classifier = Classifier(folder, network=None if network is None else folder / network)
    given = classifier.info.preprocessing
    shape = (BATCH, *given.input_px, len(given.channels))
    random = generator(0, "bench")
    images: Any = random.integers(0, 256, shape, dtype=np.uint8)
    if isinstance(given, Embedding):
        images = random.standard_normal(shape, dtype=np.float32)
    return lambda n: classifier.probabilities(classifier.logits(images[:n])), classifier.engine


def _open_torch(job: dict[str, Any]) -> tuple[Run, str]:
    """Open a network in PyTorch on the CPU: in bfloat16, or its training step in float32."""
    import torch

    threads = thread_limit()
    if threads is not None:
        torch.set_num_threads(threads)
    network, shape = _build(job).to(memory_format=torch.channels_last), job["shape"]
    if job["kind"] == "training" and job.get("crop_px"):
        # Trained on crops, one of an image.
        network, shape = network.network, [shape[0], job["crop_px"], job["crop_px"]]
    inputs = torch.from_numpy(_draw(shape)).contiguous(memory_format=torch.channels_last)
    engine = f"PyTorch {torch.__version__.partition('+')[0]}"
    if job["kind"] == "bfloat16":
        network.eval()

        def predict(n: int) -> object:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                return network(inputs[:n])

        return predict, f"{engine}{_EMULATED if _is_emulated() else ''}"
    targets = torch.arange(BATCH) % job["num_classes"]
    optimizer = torch.optim.AdamW(network.train().parameters())

    def step(n: int) -> object:
        optimizer.zero_grad()
        loss: Any = torch.nn.functional.cross_entropy(network(inputs[:n]), targets[:n])
        loss.backward()
        return optimizer.step()

    return step, engine


def _is_emulated() -> bool:
    """Return True if the processor is known to have no bfloat16 instructions."""
    path = Path("/proc/cpuinfo")
    return path.exists() and "bf16" not in path.read_text(encoding="utf-8", errors="replace")


def _build(job: dict[str, Any]) -> Any:
    """Build a registered network with random weights, or that of a model folder."""
    if job["folder"] is not None:
        from eosin.artifacts.layout import ModelFolder
        from eosin.artifacts.model import ModelInfo
        from eosin.artifacts.versioned import read_document
        from eosin.networks.loading import load_network

        folder = ModelFolder(Path(job["folder"]))
        return load_network(folder.weights, read_document(folder.info, ModelInfo))
    for plugin in job["plugins"]:
        # One that is gone since may not be needed; a network that it had is unknown then.
        with suppress(UsageError):
            load_plugin(plugin)
    from eosin.networks import build_network

    return build_network(
        job["name"],
        num_classes=job["num_classes"],
        input_px=job["shape"][1],
        in_channels=job["shape"][0],
        arguments={},
    )


if __name__ == "__main__":
    serve()
