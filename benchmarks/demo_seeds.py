"""Does the demonstration show its point? Its difference between both splits over several seeds.

    python -m benchmarks.demo_seeds --seeds 20
    python -m benchmarks.demo_seeds --seeds 20 --set data.options.patients=40

For each seed (of the simulated patches, the splits and the network) the difference in AUC between
the split by image and the split by patient, with its interval clustered by patient, and the time.
The demonstration has as many patients that the interval excludes 0 for at least 18 of 20 seeds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import eosin
from eosin.commands.demo import demo_recipe
from eosin.recipe import recipe_from_dict
from eosin.recipe.overrides import override
from eosin.runs.comparison import compare_splits
from eosin.runs.finished import FinishedRun


def measure(seed: int, overrides: list[str]) -> tuple[str, bool, float]:
    """Return the difference in words, True if its interval excludes 0, and the seconds."""
    start, runs = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        for by in ("group", "image"):
            recipe = demo_recipe(by, Path(folder) / "images")
            values = override(recipe.model_dump(), [f"seed={seed}", *overrides])
            output = Path(folder) / by
            runs.append(eosin.train(recipe_from_dict(values), output=output).run)
        strict, published = map(FinishedRun, runs)
        seconds = time.perf_counter() - start
        gap = compare_splits(strict, published)["auc"]
        values = [run.evaluated.image["auc"].value for run in (strict, published)]
    if gap.low is None or gap.high is None:
        return f"{gap.value} without an interval: {gap.reason}", False, seconds
    words = (
        f"{values[0]:.3f} → {values[1]:.3f}: {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
    )
    return words, gap.low > 0, seconds


def main() -> None:
    """Print a line per seed and the sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    shown = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        words, excludes, seconds = measure(seed, arguments.set)
        shown += excludes
        print(f"seed {seed:<3} {words}, {seconds:.0f} s", flush=True)
    print(f"excludes 0 for {shown} of {arguments.seeds} seeds")


if __name__ == "__main__":
    main()
