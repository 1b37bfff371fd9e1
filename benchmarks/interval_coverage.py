"""How often the 95 % intervals of :mod:`eosin.metrics` cover the truth, by number of groups.

The sets are those of :mod:`benchmarks.grouped_sets`; the share of them whose interval holds the
truth is the coverage. Beside it stand the coverage of the resamples' plain percentiles, that of
Wilson's interval where patients are counted, that of the same intervals where images are drawn one
by one, and the intervals' median width.

``python -m benchmarks.interval_coverage`` writes the table that the metrics quote; with
``--metrics NAME…`` it simulates these alone, in the same sets, and keeps the rows of the others.
``python -m benchmarks.coverage_page`` puts the table into ``docs/statistics.md``.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import eosin.metrics
from benchmarks.grouped_sets import (
    AREA,
    IMAGES,
    RATE,
    SCENARIOS,
    VOTES,
    Scenario,
    Simulated,
    find_truth,
)
from eosin.core.files import read_json, write_json
from eosin.core.seeding import generator
from eosin.core.types import FloatArray
from eosin.metrics.catalogue import DISTINCT
from eosin.metrics.intervals import wilson
from eosin.metrics.measurement import bootstrap

SIZES = (10, 12, 16, 20, 29, 40, 60, 100, 200)
#: At which every scenario is simulated, and images drawn one by one.
NAIVE_SIZE = 100
#: Sizes of the other scenarios: of nearly equal models the widths of differences matter.
OTHER_SIZES = {"alike": (12, 29, 60, 100, 180)}
MAIN = "single"
#: Of one class: their rows are counted in groups of that class.
OF_ONE_CLASS = ("recall", "specificity")


def covers(
    scenario: Scenario,
    n_groups: int,
    truth: dict[str, float],
    number: int,
    *,
    seed: int = 0,
    resamples: int = 2000,
    naive: bool = False,
    names: tuple[str, ...] = DISTINCT,
) -> dict[str, tuple[float, float, float, float]]:
    """Simulate one set.

    Returns:
        For each metric 1 if its interval holds the truth, 0 if not, NaN if there is none; the
        same of the resamples' percentiles and of Wilson's interval; the interval's width.
    """
    random = generator(seed, "coverage", scenario.description, n_groups, number)
    simulated = Simulated.draw(scenario, n_groups, random, naive=naive, names=names)
    measure, one = simulated.measurement(), simulated.models[0]
    points = measure(np.ones((1, one.n_groups)))
    samples = bootstrap(measure, one.n_groups, len(one), resamples=resamples, seed=seed + number)
    shown = {}
    for name, given in simulated.estimate(points, samples).items():
        plain = _percentiles(samples, name)
        counted = None
        if name in VOTES and simulated.votes:
            decided = simulated.votes[VOTES.index(name)]
            counted = wilson(int((decided.predicted == decided.targets).sum()), len(decided))
        shown[name] = (
            _holds(given.low, given.high, truth[name]),
            _holds(*plain, truth[name]) if given.low is not None else np.nan,
            _holds(counted.low, counted.high, truth[name]) if counted else np.nan,
            np.nan if given.low is None or given.high is None else given.high - given.low,
        )
    return shown


def _percentiles(samples: dict[str, FloatArray], name: str) -> tuple[float, float]:
    plain = name.removesuffix("_difference")
    drawn = samples[plain] - samples[f"other {plain}"] if plain != name else samples[plain]
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def _holds(low: float | None, high: float | None, truth: float) -> float:
    return np.nan if low is None or high is None else float(low <= truth <= high)


def measure_size(
    pool: ProcessPoolExecutor,
    name: str,
    n_groups: int,
    args: argparse.Namespace,
    *,
    naive: bool = False,
) -> dict[str, dict[str, Any]]:
    """Return the coverage of each metric at one number of groups of a scenario."""
    truth = args.truth[name]
    options = {"seed": args.seed, "resamples": args.resamples, "naive": naive}
    options["names"] = args.metrics
    one = partial(covers, SCENARIOS[name], n_groups, truth, **options)
    # A thousand units are slow to draw, and how far too narrow they are soon shows.
    simulations = args.simulations // 5 if naive else args.simulations
    held = list(pool.map(one, range(simulations), chunksize=20))
    rows = {}
    for metric in held[0]:
        table = np.array([shown[metric] for shown in held])
        own = n_groups // 2 if metric in OF_ONE_CLASS else n_groups
        row: dict[str, Any] = {"n_groups": own, "n_intervals": int((~np.isnan(table[:, 0])).sum())}
        for place, kind in enumerate(("coverage", "percentile", "wilson")):
            given = table[~np.isnan(table[:, place]), place]
            if len(given):
                row[kind] = round(float(given.mean()), 4)
        row["width"] = round(float(np.nanmedian(table[:, 3])), 4)
        rows[metric] = row
    how = "images" if naive else "groups"
    shown = [f"{metric} {rows[metric]['coverage']}" for metric in args.metrics[:3]]
    print(f"{name:6} {n_groups:4} {how}: {', '.join(shown)}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--metrics", nargs="+", choices=DISTINCT, default=DISTINCT)
    default = Path(eosin.metrics.__file__).with_name("coverage.json")
    parser.add_argument("-o", "--output", type=Path, default=default)
    args = parser.parse_args()
    args.metrics = tuple(args.metrics)
    args.truth = {
        name: find_truth(scenario, args.seed, args.metrics) for name, scenario in SCENARIOS.items()
    }
    clustered: dict[str, dict[str, list[dict[str, Any]]]] = {}
    naive = {}
    with ProcessPoolExecutor(args.workers) as pool:
        for name in SCENARIOS:
            sizes = SIZES if name == MAIN else OTHER_SIZES.get(name, (NAIVE_SIZE,))
            measured = [measure_size(pool, name, size, args) for size in sizes]
            clustered[name] = {
                metric: [rows[metric] for rows in measured] for metric in measured[0]
            }
            naive[name] = measure_size(pool, name, NAIVE_SIZE, args, naive=True)
    # The first scenario is what the metrics quote.
    table = {"clustered": clustered.pop(MAIN), "other_scenarios": clustered, "image_level": naive}
    found = describe(args) | table
    if args.metrics != DISTINCT:
        found = _add(read_json(args.output), found)
    write_json(args.output, found)


def _add(kept: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Add the rows of some metrics to a table of the same simulations, in a whole run's order."""
    for key in ("simulations", "resamples", "seed"):
        if kept[key] != new[key]:
            raise SystemExit(f"the kept rows are of {key} {kept[key]}, these of {new[key]}")
    for key in ("truth", "other_scenarios", "image_level"):
        kept[key] = {name: _joined(kept[key][name], rows) for name, rows in new[key].items()}
    return kept | {"clustered": _joined(kept["clustered"], new["clustered"])}


def _joined(kept: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    differences = [f"{name}_difference" for name in DISTINCT]
    joined = kept | new
    order = [*DISTINCT, RATE, *VOTES, AREA, *differences]
    return {name: joined[name] for name in order if name in joined}


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
        "scenarios": {name: scenario.description for name, scenario in SCENARIOS.items()},
        "truth": args.truth,
    }


if __name__ == "__main__":
    main()
