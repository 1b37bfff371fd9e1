"""The clustered bootstrap: whole groups are drawn with replacement.

Images of one patient resemble each other, so that drawing images one by one pretends to know
more than was seen. A resample draws as many groups as there are and takes all rows of each, as
often as it was drawn (Field and Welsh, "Bootstrapping clustered data", JRSS B 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from eosin.core.errors import DataError
from eosin.core.seeding import generator
from eosin.core.types import FloatArray

#: Rows times resamples that are held at once: small enough to stay near the processor.
ROWS_AT_ONCE = 2**17


def group_weights(
    n_groups: int, resamples: int, *, seed: int = 0, at_once: int | None = None
) -> Iterator[FloatArray]:
    """Draw how often each group counts in each resample, a few resamples at a time.

    The draws depend on the seed and on the number of groups alone: two models judged on the
    same images get the same resamples, and how many are yielded at once changes nothing.

    Args:
        n_groups: How many groups there are, G, at least one.
        resamples: How many resamples in all, R.
        seed: The run's seed.
        at_once: Resamples to yield at a time; all by default.

    Yields:
        Whole numbers as float64, shape (≤ at_once, G), each row summing to G.

    Raises:
        DataError: There is no group, or a count is negative.
    """
    if n_groups < 1 or resamples < 0:
        raise DataError(
            f"at least one group and no negative number of resamples are needed, "
            f"got {n_groups} groups and {resamples} resamples"
        )
    random = generator(seed, "bootstrap")
    step = max(1, resamples if at_once is None else at_once)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = random.integers(0, n_groups, size=(size, n_groups))
        drawn += np.arange(size)[:, None] * n_groups
        counts = np.bincount(drawn.ravel(), minlength=size * n_groups)
        yield counts.reshape(size, n_groups).astype(np.float64)


def bootstrap(
    measure: Callable[[FloatArray], dict[str, FloatArray]],
    n_groups: int,
    n_rows: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, FloatArray]:
    """Measure every resample.

    Args:
        measure: A function from weights of groups (r, G) to arrays whose first axis is r.
        n_groups: How many groups there are, G.
        n_rows: How many rows ``measure`` handles; bounds how many resamples it gets at a time.
        resamples: How many resamples, R.
        seed: The run's seed.

    Returns:
        What ``measure`` returned, joined: first axis R.

    Raises:
        DataError: As :func:`group_weights`, or no resample was asked for.
    """
    if resamples < 1:
        raise DataError(f"`resamples` must be at least 1, got {resamples}")
    at_once = max(1, ROWS_AT_ONCE // max(n_rows, n_groups))
    parts = [
        measure(weights)
        for weights in group_weights(n_groups, resamples, seed=seed, at_once=at_once)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
