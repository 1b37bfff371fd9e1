"""Mapping over tasks on a few threads, in order; never hangs for lack of memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

from eosin.core.places import read_setting

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
#: Decoding, hashing and most of NumPy release the interpreter's lock.
_THREADS = 2
#: Holds the most CPU threads that ``eosin --threads`` allows; child processes inherit it.
_VARIABLE = "EOSIN_THREADS"
#: Read by OpenMP (PyTorch, SciPy), OpenBLAS, MKL and Arrow when they are loaded.
_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def limit_threads(threads: int) -> None:
    """Limit the CPU threads of this process, before libraries that compute are imported."""
    os.environ.update(dict.fromkeys((_VARIABLE, *_LIBRARIES), str(threads)))


def thread_limit() -> int | None:
    """Return the most CPU threads that libraries may use; ``None`` for their own choice."""
    return read_setting(_VARIABLE, 0) or None


def map_threads(
    work: Callable[[_Task], _Result], tasks: Iterable[_Task], *, ahead: int = 64
) -> Iterator[_Result]:
    """Map over tasks on two threads.

    Like ``concurrent.futures``, but where a thread cannot be started, or dies for lack of memory,
    the calling thread does its work.

    Args:
        work: From a task to its result.
        tasks: Taken as they are needed.
        ahead: Tasks begun, at most, before the result of the first is used.

    Yields:
        The results, in the order of the tasks.

    Raises:
        Exception: That of ``work``, at the position of its result. Tasks that are not begun then
            are not done.
    """
    queue: SimpleQueue[_Slot[_Task, _Result] | None] = SimpleQueue()
    begun: deque[_Slot[_Task, _Result]] = deque()
    n_threads = _start(work, queue)
    try:
        for task in tasks:
            begun.append(_Slot(task))
            queue.put(begun[-1])
            if len(begun) >= ahead:
                yield begun.popleft().wait(work)
        while begun:
            yield begun.popleft().wait(work)
    finally:
        for slot in begun:
            slot.cancel()
        for _ in range(n_threads):
            queue.put(None)


class _Slot(Generic[_Task, _Result]):
    """A task and its outcome; made before the work, so that no memory is needed afterwards."""

    __slots__ = ("_done", "_error", "_result", "_taken", "_task")

    def __init__(self, task: _Task) -> None:
        self._task = task
        self._result: _Result
        self._error: BaseException | None = None
        self._taken, self._done = Lock(), Lock()
        self._done.acquire()

    def run(self, work: Callable[[_Task], _Result]) -> None:
        """Do the task, unless another thread has begun it."""
        if not self._taken.acquire(blocking=False):
            return
        try:
            self._result = work(self._task)
        except BaseException as error:  # noqa: BLE001 -- raised again by the thread that waits
            self._error = error
        finally:
            self._done.release()

    def wait(self, work: Callable[[_Task], _Result]) -> _Result:
        """Return the result; the task is done here if no thread has begun it."""
        self.run(work)
        self._done.acquire()
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self) -> None:
        """Prevent the task, or wait until it is done."""
        if not self._taken.acquire(blocking=False):
            self._done.acquire()


def _start(
    work: Callable[[_Task], _Result], queue: SimpleQueue[_Slot[_Task, _Result] | None]
) -> int:
    """Start as many threads as there is memory for; return how many."""

    def serve() -> None:
        with suppress(MemoryError):
            while (slot := queue.get()) is not None:
                slot.run(work)
                del slot  # whose result is no longer this thread's

    count = min(_THREADS, thread_limit() or _THREADS)
    for started in range(count):
        try:
            Thread(target=serve, name="eosin-map", daemon=True).start()
        except (RuntimeError, MemoryError):  # no thread can be started
            return started
    return count
