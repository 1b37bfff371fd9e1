"""The threads that the images of a batch are shared out among."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import cv2

# OpenCV's own threads would stand beside ours, and do not survive a fork.
cv2.setNumThreads(0)

#: Below so many bytes a batch, handing work to a thread takes longer than doing it.
_WORTH_A_THREAD = 1 << 17
#: Each image holds Python's lock for a moment; more threads than these wait for each other.
_MOST_THREADS = 4


def share_out(work: Callable[[int], None], count: int, n_bytes: int) -> None:
    """Do something to every image of a batch, on as many threads as training has.

    Args:
        work: What is done to one, by its row; no row may touch another's result.
        count: Images in the batch.
        n_bytes: Size of the batch.
    """

    def do(rows: range) -> None:
        for row in rows:
            work(row)

    n_shares = min(_training_threads(), _MOST_THREADS)
    if n_bytes < _WORTH_A_THREAD:
        n_shares = 1
    shares = [range(first, count, n_shares) for first in range(n_shares)]
    # This thread takes a share too: waiting for all of them took a tenth longer.
    others = [_threads().submit(do, share) for share in shares[1:]]
    do(shares[0])
    for other in others:
        other.result()


def _training_threads() -> int:
    """Return PyTorch's number where PyTorch trains; it is not imported for that."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch is not None else os.cpu_count() or 1


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_THREADS - 1, thread_name_prefix="eosin-augment")


if hasattr(os, "register_at_fork"):
    # A forked child inherits the pool, but none of its threads.
    os.register_at_fork(after_in_child=_threads.cache_clear)
