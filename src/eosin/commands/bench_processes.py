"""Processes of ``bench``: one for each precision of a network, timed in turn."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from eosin.commands.bench_worker import BATCH

#: Images before the timed ones.
WARM_UP = 3
#: Timed single images, and batches.
ROUNDS, BATCHES, STEPS = 20, 3, 5
#: Once at least this many are timed, they stop after so many seconds.
LEAST, LEAST_BATCHES, MOST_SECONDS = 5, 2, 30.0
#: Seconds before each timed single image: threads of the process before it stop spinning.
_PAUSE = 0.02


@dataclass(frozen=True)
class Speed:
    """Speed of a network in one precision, or of its training step.

    Attributes:
        precision: ``float32``, ``int8``, ``bfloat16`` or ``training``.
        engine: What ran it; empty if it was not run.
        reason: Why it was not run; empty if it was.
        file_bytes: Size of the network's file; None where it has none.
        cold_seconds: From the start of a process to its first result.
        median_seconds: Of single images; of a training, of a step.
        p95_seconds: 95th percentile of single images.
        n_timed: Number of timed images or steps.
        images_per_second: In batches of 32.
        peak_bytes: Peak memory of the process; None where the system does not report it.
    """

    precision: str
    engine: str = ""
    reason: str = ""
    file_bytes: int | None = None
    cold_seconds: float | None = None
    median_seconds: float | None = None
    p95_seconds: float | None = None
    n_timed: int = 0
    images_per_second: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Job:
    """Job of one process: what it measures; nothing without ``values``, for a ``reason``.

    Attributes:
        file: The network's file.
    """

    precision: str
    values: dict[str, Any] | None = None
    reason: str = ""
    file: Path | None = None


class Process:
    """The process of one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.singles: list[float] = []
        self.batches: list[float] = []
        self.engine, self.peak, self.reason = "", None, job.reason
        self._errors: IO[str] = tempfile.TemporaryFile(  # noqa: SIM115 -- closed by stop
            "w+", encoding="utf-8", errors="replace"
        )
        self._process: Any = None
        self.cold_seconds: float | None = None

    def start(self) -> None:
        """Start it, and wait for its first result."""
        if self.job.values is None:
            return
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "eosin.commands.bench_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        first = self._ask(json.dumps({"first": 1, **self.job.values}))
        self.cold_seconds = time.perf_counter() - start if first else None
        self.engine = first.get("engine", "")

    def run(self, n_images: int) -> float | None:
        """Run images, and return the seconds; None if the process has ended."""
        seconds: float | None = self._ask(str(n_images)).get("seconds")
        return seconds

    def _ask(self, line: str) -> dict[str, Any]:
        if self.reason:
            return {}
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            found: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):  # it has ended
            self._process.wait()
            self._errors.seek(0)
            last = self._errors.read().strip().splitlines()[-1:]
            found = {"error": f"the process ended: {' '.join(last) or self._process.returncode}"}
        self.reason = found.get("error", "")
        self.peak = found.get("peak", self.peak)
        return {} if self.reason else found

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
        self._errors.close()

    def speed(self) -> Speed:
        """Return what was measured."""
        if self.reason:
            return Speed(self.job.precision, reason=self.reason)
        is_training = self.job.precision == "training"
        timed = self.batches if is_training else self.singles
        batch = float(np.median(self.batches))
        return Speed(
            precision=self.job.precision,
            engine=self.engine,
            file_bytes=None if self.job.file is None else self.job.file.stat().st_size,
            cold_seconds=None if is_training else self.cold_seconds,
            median_seconds=float(np.median(timed)),
            p95_seconds=None if is_training else float(np.percentile(timed, 95)),
            n_timed=len(timed),
            images_per_second=BATCH / batch,
            peak_bytes=self.peak,
        )


def time_predictions(processes: list[Process]) -> None:
    """Time single images, then batches, each process in turn."""
    for one in processes:
        for _ in range(WARM_UP):
            one.run(1)
    start = time.perf_counter()
    for number in range(ROUNDS):
        if number >= LEAST and time.perf_counter() - start > MOST_SECONDS:
            break
        for one in processes:
            time.sleep(_PAUSE)
            one.singles += filter(None, [one.run(1)])
    time_batches(processes, BATCHES)


def time_batches(processes: list[Process], n_timed: int, n_before: int = 1) -> None:
    """Time batches, each process in turn, after some that are not timed."""
    for one in processes * n_before:
        one.run(BATCH)
    start = time.perf_counter()
    for number in range(n_timed):
        if number >= LEAST_BATCHES and time.perf_counter() - start > MOST_SECONDS:
            break
        for one in processes:
            one.batches += filter(None, [one.run(BATCH)])
