"""How often the 95 % intervals of :mod:`eosin.metrics` cover the truth, by number of groups.

Simulated is what a pathology set looks like: every group (patient) has one class, ten images and
a random effect of its own, as large as the spread between its images (intraclass correlation
one half). An image's score is the class's mean plus the group's effect plus its own; it is
called positive above the midpoint. The true accuracy and area under the ROC curve over all
possible groups are known in closed form, and the share of simulated sets whose interval holds
them is the coverage.

Writes the table that the metrics quote: ``python -m benchmarks.interval_coverage``.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

import eosin.metrics
from eosin.core.files import write_json
from eosin.core.seeding import generator
from eosin.core.types import FloatArray
from eosin.metrics.measurement import Measurement
from eosin.metrics.predictions import Predictions
from eosin.metrics.resampling import bootstrap

SIZES = (5, 8, 10, 12, 16, 20, 24, 29, 40, 60, 100)
IMAGES = 10
DISTANCE = 2.4 * np.sqrt(2)  # between the classes' means; group and image spread are both 1
# One score's spread is sqrt(2), the difference of two independent scores' is 2.
TRUTH = {
    "accuracy": float(norm.cdf(DISTANCE / 2 / np.sqrt(2))),
    "auc": float(norm.cdf(DISTANCE / 2)),
}
MAX_UNDEFINED = 0.05


def simulate(n_groups: int, seed: int, number: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return one data set: probability of the positive class, target and group of each image."""
    random = generator(seed, "coverage", n_groups, number)
    label = np.arange(n_groups) % 2
    effect = random.normal(size=n_groups)
    groups = np.repeat(np.arange(n_groups), IMAGES)
    score = (label - 0.5)[groups] * DISTANCE + effect[groups] + random.normal(size=len(groups))
    return 1 / (1 + np.exp(-score)), label[groups], groups


def covers(n_groups: int, number: int, *, seed: int, resamples: int, naive: bool) -> list[float]:
    """Return for each metric 1 if its interval holds the truth, 0 if not, NaN if there is none."""
    positive, targets, groups = simulate(n_groups, seed, number)
    drawn = np.arange(len(groups)) if naive else groups
    table = np.stack([1 - positive, positive], axis=1)
    predictions = Predictions(table, targets, (positive > 0.5).astype(int), drawn, positive=1)
    measure = Measurement(predictions, tuple(TRUTH), (1,))
    samples = bootstrap(
        measure,
        predictions.n_groups,
        len(predictions),
        resamples=resamples,
        seed=seed + number,
    )
    held = []
    for name, truth in TRUTH.items():
        values = samples[name] if samples[name].ndim == 1 else samples[name][:, 1]
        defined = values[~np.isnan(values)]
        if 1 - len(defined) / resamples > MAX_UNDEFINED:
            held.append(np.nan)
            continue
        low, high = np.quantile(defined, (0.025, 0.975))
        held.append(float(low <= truth <= high))
    return held


def measure_size(
    pool: ProcessPoolExecutor, n_groups: int, args: argparse.Namespace, *, naive: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the coverage of each metric at one number of groups."""
    one = partial(covers, n_groups, seed=args.seed, resamples=args.resamples, naive=naive)
    held = np.array(list(pool.map(one, range(args.simulations), chunksize=50)))
    rows = {}
    for name, column in zip(TRUTH, held.T, strict=True):
        given = column[~np.isnan(column)]
        # Where most sets are refused an interval, the few that get one say nothing of the rest.
        coverage = round(float(given.mean()), 4) if len(given) > len(column) / 2 else None
        rows[name] = {"n_groups": n_groups, "coverage": coverage, "n_intervals": len(given)}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    default = Path(eosin.metrics.__file__).with_name("coverage.json")
    parser.add_argument("-o", "--output", type=Path, default=default)
    args = parser.parse_args()
    clustered: dict[str, list[dict[str, Any]]] = {name: [] for name in TRUTH}
    with ProcessPoolExecutor(args.workers) as pool:
        for n_groups in SIZES:
            for name, row in measure_size(pool, n_groups, args).items():
                clustered[name].append(row)
                print(f"{name:9} {n_groups:4} groups: {row['coverage']}", flush=True)
        naive = {
            name: [row] for name, row in measure_size(pool, SIZES[-1], args, naive=True).items()
        }
        for name, rows in naive.items():
            print(f"{name:9} {SIZES[-1]:4} groups, images drawn one by one: {rows[0]['coverage']}")
    write_json(args.output, describe(args) | {"clustered": clustered, "image_level": naive})


def describe(args: argparse.Namespace) -> dict[str, Any]:
    """Say how the table came about."""
    return {
        "format_version": "1.0",
        "command": (
            f"python -m benchmarks.interval_coverage --simulations {args.simulations} "
            f"--resamples {args.resamples} --seed {args.seed}"
        ),
        "simulations": args.simulations,
        "resamples": args.resamples,
        "seed": args.seed,
        "nominal": 0.95,
        "images_per_group": IMAGES,
        "intraclass_correlation": 0.5,
        "truth": TRUTH,
    }


if __name__ == "__main__":
    main()
