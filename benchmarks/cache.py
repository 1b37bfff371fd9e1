"""The image cache: 100,000 patches of 96 px filled, opened again and read in batches of 32.

Reading is measured beside indexing of an array in memory, filling beside a plain loop into a mapped
file, and the memory of it all (filling and three shuffled epochs, in a process of its own) beside a
limit of 1 GB. ``python -m benchmarks.cache --json`` prints, last, one line of JSON. It needs 6 GB
in the temporary folder (``$TMPDIR``) for a while.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from eosin.core.seeding import generator
from eosin.images.cache import ImageStore, Item, StoreSettings, fill_store

IMAGES = 100_000
SHAPE = (96, 96, 3)
BATCH = 32
EPOCHS = 3
LIMIT_MB = 1000.0
OPEN_LIMIT_S = 2.0
#: Images of the comparison with an array in memory, and batches timed in one go.
IN_MEMORY = 20_000
BATCHES = 300
_SETTINGS = StoreSettings(SHAPE, "uint8", {"benchmark": 1})
_NOISE = generator(0, "cache").integers(0, 256, 1 << 20, dtype=np.uint8)


def draw(_file: Path, index: int | None) -> np.ndarray[Any, Any]:
    """Return the image of an index: a piece of noise that carries its number."""
    number = int(index or 0)
    size = int(np.prod(SHAPE))
    start = number * 7919 % (len(_NOISE) - size)
    image = _NOISE[start : start + size].copy()
    image[:8] = np.frombuffer(number.to_bytes(8, "little"), dtype=np.uint8)
    return image.reshape(SHAPE)


def open_store(folder: Path, n_images: int) -> tuple[ImageStore, np.ndarray[Any, Any]]:
    """Fill a store, or open it again; returns it and the row of every image."""
    container = folder / "drawn.bin"
    if not container.exists():
        container.write_bytes(b"drawn by index")
    items = [Item(f"drawn.bin#{i}", container, i) for i in range(n_images)]
    store, entries = fill_store(
        items, _SETTINGS, decode=draw, fit=lambda image: image, folder=folder / "stores"
    )
    return store, np.array([entry.row for entry in entries])


def peak_mb() -> float:
    """Return the most memory, in MB, that this process has had resident."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike ru_maxrss, it starts anew with the program
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def work(folder: Path, n_images: int) -> None:
    """Fill, read three shuffled epochs, open again; prints one line of JSON."""
    start = time.perf_counter()
    store, rows = open_store(folder, n_images)
    filled = time.perf_counter() - start
    filling_mb = peak_mb()
    random = generator(0, "epochs")
    wrong = 0
    start = time.perf_counter()
    for _ in range(EPOCHS):
        order = random.permutation(n_images)
        for first in range(0, n_images, BATCH):
            chosen = order[first : first + BATCH]
            wrong += not np.array_equal(store.take(rows[chosen])[0], draw(folder, chosen[0]))
    epoch = (time.perf_counter() - start) / EPOCHS
    store.close()
    time.sleep(2.1)  # a file that was just written is not trusted yet
    open_store(folder, n_images)[0].close()
    start = time.perf_counter()
    open_store(folder, n_images)[0].close()
    again = time.perf_counter() - start
    print(
        json.dumps(
            {
                "fill_s": filled,
                "fill_mb": filling_mb,
                "epoch_s": epoch,
                "open_s": again,
                "mb": peak_mb(),
                "wrong": wrong,
            }
        )
    )


def time_plain_loop(folder: Path, n_images: int) -> float:
    """Return the seconds of the simplest way: draw each image into a mapped file; no hashes."""
    path = folder / "plain.bin"
    start = time.perf_counter()
    mapped = np.memmap(path, dtype=np.uint8, mode="w+", shape=(n_images, *SHAPE))
    for number in range(n_images):
        mapped[number] = draw(path, number)
    mapped.flush()
    seconds = time.perf_counter() - start
    del mapped
    path.unlink()
    return seconds


def time_batches(folder: Path, repeats: int) -> tuple[float, float]:
    """Return microseconds a batch: from the store and from an array in memory, medians."""
    store, rows = open_store(folder, IN_MEMORY)
    memory = store.take(rows)
    random = generator(0, "batches")
    batches = [random.integers(0, IN_MEMORY, BATCH) for _ in range(BATCHES)]
    ours: list[float] = []
    peer: list[float] = []
    for _ in range(repeats):
        # In turn, so that a busy machine slows both.
        ours.append(_time(lambda batch: store.take(rows[batch]), batches))
        peer.append(_time(lambda batch: memory[batch], batches))
    store.close()
    return statistics.median(ours), statistics.median(peer)


def _time(read: Callable[[Any], Any], batches: list[Any]) -> float:
    start = time.perf_counter()
    for batch in batches:
        read(batch)
    return (time.perf_counter() - start) / len(batches) * 1e6


def main() -> None:
    """Run every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, last")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder is not None:
        work(arguments.folder, arguments.images)
        return
    with tempfile.TemporaryDirectory() as name:
        rows = measure(Path(name), arguments.images, arguments.repeats)
    if arguments.json:
        print(json.dumps(rows))


def measure(folder: Path, n_images: int, repeats: int) -> list[dict[str, object]]:
    """Run every case in a folder and tell the figures."""
    command = [sys.executable, "-m", "benchmarks.cache", "--images", str(n_images)]
    done = subprocess.run(
        [*command, "--folder", str(folder)], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    plain = time_plain_loop(folder, n_images)
    ours, peer = time_batches(folder, repeats)
    print(f"{n_images} images of {SHAPE}; {found['wrong']} wrong among those compared")
    print(f"fill: {found['fill_s']:.1f} s, plain loop {plain:.1f} s; {found['fill_mb']:.0f} MB")
    print(
        f"epoch of batches of {BATCH}: {found['epoch_s']:.1f} s; open again {found['open_s']:.2f}"
    )
    print(f"resident at most: {found['mb']:.0f} MB, limit {LIMIT_MB:.0f} MB")
    print(f"take {BATCH}: {ours:.0f} µs, in memory {peer:.0f} µs")
    return [
        _row("take_b32_96", ours, peer, "array in memory", "µs"),
        _row("fill_100k_96", found["fill_s"], plain, "plain loop into a mapped file", "s"),
        _row("open_100k_96", found["open_s"], OPEN_LIMIT_S, "limit", "s"),
        _row("resident_100k_96", found["mb"], LIMIT_MB, "limit", "MB"),
    ]


def _row(case: str, ours: float, peer: float, peer_name: str, unit: str) -> dict[str, object]:
    return {
        "case": case,
        "ours": round(ours, 3),
        "peer": round(peer, 3),
        "peer_name": peer_name,
        "unit": unit,
        "ratio": round(peer / ours, 3),
    }


if __name__ == "__main__":
    main()
