"""Runs commands of ``eosin`` one after the other in a process that is watched from outside.

The worker imports Eosin once and answers each command line with its status, what it printed, its
time and its peak of memory. What a library writes past Python (file descriptor 2), Python's own
warnings and records of loggers that nobody handles are kept apart from what Eosin prints. A worker
that makes no progress is killed, and another one goes on with the next command.
"""

import contextlib
import csv
import io
import json
import logging
import os
import queue
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

#: A command may take so many seconds of processor time, or wait so many without using any.
MOST_SECONDS = 10.0
#: On a machine that is busy with other work a command may take longer by the clock.
MOST_WALL_SECONDS = 180.0
MOST_MEGABYTES = 1536
#: Peak of a job after which the next one gets a new process.
_RESTART_MEGABYTES = 700
#: So that a failure does not take the machine's memory along.
_ADDRESS_SPACE = 24 << 30
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Answer:
    """What a command line came to.

    Attributes:
        status: Exit status; negative after a signal; nothing where it was killed for its time.
        out: What it printed.
        err: What Eosin wrote to stderr.
        raw: What reached stderr past Eosin: native libraries, warnings of Python, foreign loggers.
        seconds: By the clock.
        peak_mb: Peak of the process's resident memory.
    """

    status: int | None
    out: str = ""
    err: str = ""
    raw: str = ""
    seconds: float = 0.0
    peak_mb: float = 0.0

    @property
    def first_line(self):
        """The line of cause, else whatever came first on stderr."""
        lines = [line for line in (self.err + self.raw).splitlines() if line.strip()]
        return next((line for line in lines if line.startswith("eosin: ")), "".join(lines[:1]))

    def faults(self):
        """Name what no command may do, whatever it is given."""
        if self.status is None:
            return [f"no end after {self.seconds:.0f} s"]
        if self.status < 0:
            return [f"killed by {signal.Signals(-self.status).name}"]
        text = self.err + self.out
        complaints = [line for line in self.err.splitlines() if line.startswith("eosin: ")]
        found = {
            f"status {self.status}": self.status not in {0, 1, 2},
            "internal error": "internal error" in text,
            "traceback": "Traceback (most recent" in text or "Exception ignored" in text,
            f"raw line on stderr: {self.raw.strip().splitlines()[:1]}": bool(self.raw.strip()),
            "a name breaks a line of stderr": "\nINJECTED" in f"\n{self.err}",
            f"{len(complaints)} lines of cause": len(complaints) > 1,
            f"{self.peak_mb:.0f} MB": self.peak_mb > MOST_MEGABYTES,
            "fails without a word": self.status != 0 and not text.strip(),
        }
        return [name for name, is_so in found.items() if is_so]


@dataclass(frozen=True)
class Job:
    """A command line over one item, and what it must come to beyond :meth:`Answer.faults`.

    Attributes:
        item: Name of the hostile file or folder.
        verb: What is done with it.
        argv: Arguments of ``eosin``.
        check: Called with the answer; returns what is wrong, or nothing.
        most_seconds: Processor time it may take.
    """

    item: str
    verb: str
    argv: list
    check: object = lambda answer: None
    most_seconds: float = MOST_SECONDS


@dataclass
class Outcome:
    """A job, its answer and what is wrong with it."""

    job: Job
    answer: Answer
    faults: list = field(default_factory=list)

    def __str__(self):
        line = self.answer.first_line[:300]
        faults = ", ".join(self.faults)
        return f"{self.job.verb} {self.job.item!r}: {faults} (status {self.answer.status}: {line})"


def run_jobs(jobs, cwd, n_workers=1):
    """Run the jobs in ``n_workers`` processes whose working folder is ``cwd``; returns outcomes."""
    waiting = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    outcomes = []

    def work():
        with _Worker(cwd) as worker:
            while True:
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    return
                outcomes.append(_judge(job, worker.ask(job)))

    threads = [threading.Thread(target=work) for _ in range(n_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(jobs)
    return outcomes


def _judge(job, answer):
    faults = answer.faults()
    if not faults:
        try:
            wrong = job.check(answer)
        except (AssertionError, LookupError, OSError, ValueError, csv.Error) as error:
            wrong = f"what it wrote does not read: {error!r}"
        faults = [wrong] if wrong else []
    return Outcome(job, answer, faults)


class _Worker:
    """A process that answers command lines; started anew where it was lost."""

    def __init__(self, cwd):
        self._cwd = cwd
        self._process = None
        self._imported = set()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._stop()

    def ask(self, job):
        """Return the answer to a job."""
        if self._process is None:
            self._start()
        started = time.monotonic()
        self._send([str(argument) for argument in job.argv])
        line = self._receive(job.most_seconds, self._importing(job.verb))
        if line is None:
            self._process.kill()
            self._stop()
            return Answer(None, seconds=time.monotonic() - started)
        if not line:
            status = self._process.wait()
            self._stop()
            return Answer(status if status < 0 else -signal.SIGABRT)
        answer = Answer(**json.loads(line))
        if answer.peak_mb > _RESTART_MEGABYTES:
            self._stop()  # what this job left in memory would count as the next one's
        return answer

    def _importing(self, verb):
        """Return the time that a verb may take on top, once a process, to import its parts."""
        extra = 0.0 if verb in self._imported else 60.0
        self._imported.add(verb)
        return extra

    def _start(self):
        self._imported = set()
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=self._cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def _stop(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(timeout=20)
            self._process.stdout.close()
        self._process = None

    def _send(self, argv):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(argv).encode() + b"\n")
            self._process.stdin.flush()

    def _receive(self, most_seconds, extra):
        """Return the next line; empty where the process ended, ``None`` where it hangs."""
        wall = MOST_WALL_SECONDS * most_seconds / MOST_SECONDS + extra
        started, first = time.monotonic(), self._cpu_seconds()
        idle_since, before = started, first
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not selector.select(0.5):
                now, used = time.monotonic(), self._cpu_seconds()
                if used - before > 0.05:
                    idle_since, before = now, used
                slow = used - first > most_seconds + extra or now - started > wall
                if slow or now - idle_since > most_seconds + extra / 6:
                    return None
        return self._process.stdout.readline()

    def _cpu_seconds(self):
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS


def _serve():
    """Answer the lines of stdin until it ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    replies = os.fdopen(os.dup(1), "w")
    requests = os.fdopen(os.dup(0), "r")
    # A command that reads /dev/stdin must wait as at a terminal, not take the next request.
    os.dup2(_endless_pipe(), 0)
    for line in requests:
        replies.write(json.dumps(_answer(json.loads(line))) + "\n")
        replies.flush()


def _endless_pipe():
    reading, writing = os.pipe()
    os.set_inheritable(writing, False)
    _KEPT.append(writing)
    return reading


_KEPT = []


def _answer(argv):
    from eosin.__main__ import run

    new = tempfile.TemporaryFile
    with new() as out, new() as err, new() as raw, _captured(out, raw):
        sys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), "wb"), encoding="utf-8")
        sys.stderr = io.TextIOWrapper(err, encoding="utf-8", errors="backslashreplace")
        logging.lastResort = logging.StreamHandler(_Past())
        _reset_peak()
        started = time.monotonic()
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                run(argv)
                status = 0
            except SystemExit as error:
                status = error.code if isinstance(error.code, int) else 0
        seconds = time.monotonic() - started
        sys.stdout.flush()
        sys.stderr.flush()
        printed = [_text(stream) for stream in (out, err, raw)]
        sys.stdout.close()
    return {
        "status": status,
        "out": printed[0],
        "err": printed[1],
        "raw": printed[2],
        "seconds": seconds,
        "peak_mb": _peak_mb(),
    }


@contextlib.contextmanager
def _captured(out, raw):
    kept = [os.dup(1), os.dup(2)]
    os.dup2(out.fileno(), 1)
    os.dup2(raw.fileno(), 2)
    try:
        yield
    finally:
        for target, number in enumerate(kept, 1):
            os.dup2(number, target)
            os.close(number)


class _Past:
    """A stream for what would reach the terminal past Eosin."""

    def write(self, text):
        os.write(2, text.encode("utf-8", "backslashreplace"))

    def flush(self):
        pass


def _show_warning(message, category, filename, lineno, file=None, line=None):
    del file, line
    os.write(2, f"{filename}:{lineno}: {category.__name__}: {message}\n".encode())


def _text(stream):
    stream.seek(0)
    return stream.read().decode("utf-8", "backslashreplace")


def _reset_peak():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb():
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    _serve()
