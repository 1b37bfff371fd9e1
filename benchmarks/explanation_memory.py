"""Memory of ``explain``: its peak for folders of 1,000 and of 10,000 images, each in a process.

The images are noise of 64 px; more of them may add rows to the table, but no image or map. Exit
status 1 if the larger folder needs more than :data:`MOST_MB` more.
``python -m benchmarks.explanation_memory RUN_OR_MODEL --method gradcam``
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

import eosin
from benchmarks.cache import peak_mb
from eosin.core.seeding import generator

SIZES = (1_000, 10_000)
#: Largest growth; a chunk of images at 224 px alone is 5 MB.
MOST_MB = 50.0
_SIDE = 64


def write_images(folder: Path, n_images: int) -> None:
    random = generator(0, "explanation memory")
    noise = [random.integers(0, 256, (_SIDE, _SIDE, 3), dtype="uint8") for _ in range(10)]
    for number in range(n_images):
        Image.fromarray(noise[number % 10]).save(folder / f"{number:05d}.jpg")


def work(model: str, method: str, n_images: int) -> None:
    """Explain in this process; prints one line of JSON."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "images").mkdir()
        write_images(folder / "images", n_images)
        start = time.perf_counter()
        made = eosin.explain(model, folder / "images", method=method, output=folder / "out")
        seconds = time.perf_counter() - start
        peak = round(peak_mb(), 1)
        found = {"images": len(made.table), "peak_mb": peak, "seconds": round(seconds, 1)}
        print(json.dumps(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--method", default="gradcam")
    parser.add_argument("--images", type=int, nargs="+", default=SIZES)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        work(given.model, given.method, given.work)
        return 0
    peaks = []
    for n_images in given.images:
        command = [sys.executable, "-m", "benchmarks.explanation_memory", given.model]
        command += ["--method", given.method, "--work", str(n_images)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(done.stdout.strip(), flush=True)
        peaks.append(json.loads(done.stdout)["peak_mb"])
    return int(peaks[-1] - peaks[0] > MOST_MB)


if __name__ == "__main__":
    sys.exit(main())
