"""All metrics with intervals: 2,000 resamples of 100,000 predictions against a limit of 3 s.

``python -m benchmarks.bootstrap --json`` prints, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from eosin.core.seeding import generator
from eosin.metrics.predictions import Predictions
from eosin.metrics.summary import summarise

ROWS = 100_000
#: Seconds by number of groups.
LIMITS_S = {500: 3.0, ROWS: 10.0}


def make_predictions(n_groups: int, seed: int = 0) -> Predictions:
    """Return binary predictions of a middling model, shape (ROWS, 2), spread over the groups."""
    random = generator(seed, "benchmark", n_groups)
    targets = random.integers(0, 2, ROWS)
    positive = 1 / (1 + np.exp(-(2 * targets - 1 + random.normal(0, 1.5, ROWS))))
    return Predictions(
        np.stack([1 - positive, positive], axis=1),
        targets,
        (positive > 0.5).astype(int),
        np.arange(ROWS) % n_groups,
        positive=1,
    )


def measure(n_groups: int) -> dict[str, Any]:
    """Time one summary, the best of two: the machine may be busy with something else."""
    predictions = make_predictions(n_groups)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        summarise(predictions)
        times.append(time.perf_counter() - start)
    ours = min(times)
    return {
        "case": f"auc_{ROWS}_{n_groups}groups",
        "ours": round(ours, 3),
        "peer": LIMITS_S[n_groups],
        "peer_name": "limit",
        "unit": "s",
        "ratio": round(LIMITS_S[n_groups] / ours, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON, last")
    args = parser.parse_args()
    rows = [measure(n_groups) for n_groups in LIMITS_S]
    for row in rows:
        print(f"{row['case']}: {row['ours']} s, limit {row['peer']} s, ratio {row['ratio']}")
    if args.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
