"""One recipe under several conditions: train each, keep what it reached, tell the differences.

``python -m benchmarks.effects train FOLDER DATA`` trains every condition of every experiment of
``benchmarks/effects.toml`` that is not finished in ``FOLDER`` (``--only NAME`` one experiment);
``DATA`` is the folder of the images. ``collect FOLDER`` copies what the tables need into
``docs/results/effects``; the page is rendered by :mod:`benchmarks.results`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pairing import GAINS, PREFERRED, paired_gain
from eosin.core.files import write_json

ROOT = Path(__file__).parents[1]
TITLES = {**GAINS, "balanced_accuracy": "balanced accuracy", "specificity": "specificity"}
STORE = ROOT / "docs" / "results" / "effects"


@dataclass(frozen=True)
class Experiment:
    """One recipe and its conditions.

    Attributes:
        name: Of its table.
        recipe: Name in ``recipes/``.
        overrides: Of every condition, ``DATA`` standing for the folder of the images.
        conditions: What each adds; the first is what the others are compared with.
        metrics: Which two or three metrics are told.
    """

    name: str
    recipe: str
    overrides: tuple[str, ...]
    conditions: dict[str, tuple[str, ...]]
    metrics: tuple[str, ...] = tuple(GAINS)

    def settings(self, condition: str) -> list[str]:
        """Return the ``--set`` values of one condition."""
        return [*self.overrides, *self.conditions[condition]]

    def folder(self, base: Path, condition: str) -> Path:
        """Return its run folder."""
        return base / self.name / condition.replace(" ", "-").replace(",", "").lower()


def read_experiments() -> dict[str, Experiment]:
    """Read ``effects.toml``."""
    given = tomllib.loads((ROOT / "benchmarks" / "effects.toml").read_text(encoding="utf-8"))
    found = {}
    for one in given["experiment"]:
        conditions = {
            name: tuple(settings)
            for group in one["conditions"]
            for name, settings in given["conditions"][group].items()
        }
        found[one["name"]] = Experiment(
            one["name"],
            one["recipe"],
            tuple(one["overrides"]),
            conditions,
            tuple(one.get("metrics", GAINS)),
        )
    return found


def train(experiment: Experiment, base: Path, data: Path) -> None:
    """Train every condition that is not finished."""
    for condition in experiment.conditions:
        folder = experiment.folder(base, condition)
        if (folder / "report.html").exists():
            continue
        command = [sys.executable, "-m", "eosin", "train"]
        if (folder / "recipe.toml").exists():
            command += ["--resume", str(folder)]
        else:
            settings = experiment.settings(condition)
            command += [str(ROOT / "recipes" / f"{experiment.recipe}.toml"), "-o", str(folder)]
            for setting in settings:
                command += ["--set", setting.replace("DATA", str(data)).replace("BASE", str(base))]
        print(f"{experiment.name}: {condition}", flush=True)
        subprocess.run(command, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})


def collect(experiment: Experiment, base: Path) -> None:
    """Copy metrics and paired differences of all conditions, which must be finished."""
    first = experiment.folder(base, next(iter(experiment.conditions)))
    rows = []
    for condition in experiment.conditions:
        run = experiment.folder(base, condition)
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        evaluated = metrics[next(split for split in PREFERRED if split in metrics)]
        environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        rows.append(
            {
                "condition": condition,
                "settings": experiment.settings(condition),
                **{metric: evaluated["image"][metric] for metric in experiment.metrics},
                "gain": None if run == first else paired_gain(run, first, experiment.metrics),
                "unchanged": _unchanged(run),
                "seconds": sum(environment["seconds"].values()),
                "git": environment["git"],
            }
        )
    environment = json.loads((first / "environment.json").read_text(encoding="utf-8"))
    evaluated = json.loads((first / "metrics.json").read_text(encoding="utf-8"))
    evaluated = evaluated[next(split for split in PREFERRED if split in evaluated)]
    kept = {
        "recipe": experiment.recipe,
        "metrics": list(experiment.metrics),
        "seed": environment["seed"],
        "device": environment["device"],
        "n_images": evaluated["n_images"],
        "n_groups": evaluated["n_groups"],
        "n_patients": evaluated["n_patients"],
        "rows": rows,
    }
    STORE.mkdir(parents=True, exist_ok=True)
    write_json(STORE / f"{experiment.name}.json", kept)


def _unchanged(run: Path) -> dict[str, int] | None:
    """Return how many evaluated images came back from stain normalisation as they were."""
    path = run / "stain.json"
    if not path.exists():
        return None
    parts = json.loads(path.read_text(encoding="utf-8"))["parts"]
    part = parts[next(split for split in PREFERRED if split in parts)]
    return {"n_images": part["n_images"], "n_unchanged": sum(part["unchanged"].values())}


def effects_table(name: str) -> str:
    """Return the table of one experiment as Markdown, with the command that makes a row."""
    found: dict[str, Any] = json.loads((STORE / f"{name}.json").read_text(encoding="utf-8"))
    first = found["rows"][0]["condition"]
    titles = [TITLES[metric] for metric in found["metrics"]]
    columns = ["condition", *titles, *(f"{title} − {first}" for title in titles)]
    columns += ["unchanged", "time"]
    rows = [_row(row, found["metrics"]) for row in found["rows"]]
    kept = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    rows = [[row[place] for place in kept] for row in [columns, ["---"] * len(columns), *rows]]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    units = f"{found['n_groups']} groups"
    if found["n_patients"]:
        units = f"{found['n_patients']} patients"
    commits = ", ".join(sorted({row["git"] for row in found["rows"]}))
    settings = " ".join(f"--set '{setting}'" for setting in found["rows"][0]["settings"])
    return (
        f"**{name}**: {found['n_images']} evaluated images of {units}, seed {found['seed']}, "
        f"{found['device']}; Eosin at {commits}.\n\n```sh\n"
        f"eosin train recipes/{found['recipe']}.toml {settings}\n```\n\n{table}\n\n"
        + "Added by each condition: "
        + "; ".join(_added(row, found["rows"][0]) for row in found["rows"][1:])
        + "."
    )


def _added(row: dict[str, Any], first: dict[str, Any]) -> str:
    added = [setting for setting in row["settings"] if setting not in first["settings"]]
    shown = f"`{' '.join(added)}`" if added else "the recipe as it is"
    return f"{row['condition']}: {shown}"


def _row(row: dict[str, Any], metrics: list[str]) -> list[str]:
    cells = [row["condition"]]
    cells += [interval_text(row[metric], ".3f") for metric in metrics]
    gain = row["gain"]
    cells += [interval_text(gain[metric], "+.3f") if gain else "" for metric in metrics]
    left = row["unchanged"]
    cells.append(f"{left['n_unchanged']} of {left['n_images']}" if left else "")
    return [*cells, f"{row['seconds']:.0f} s"]


def interval_text(entry: dict[str, Any], form: str) -> str:
    """Write a kept number with its interval, or why it has none."""
    if entry["value"] is None:
        return f"undefined: {entry['reason']}"
    if entry["low"] is None:
        return f"{entry['value']:{form}} (no interval)"
    to = " to " if form.startswith("+") else "–"
    return f"{entry['value']:{form}} ({entry['low']:{form}}{to}{entry['high']:{form}})"


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("train")
    one.add_argument("folder", type=Path)
    one.add_argument("data", type=Path)
    one.add_argument("--only")
    two = verbs.add_parser("collect")
    two.add_argument("folder", type=Path)
    two.add_argument("--only")
    given = parser.parse_args()
    for name, experiment in read_experiments().items():
        if given.only in {None, name}:
            if given.verb == "train":
                train(experiment, given.folder.resolve(), given.data.resolve())
            else:
                collect(experiment, given.folder.resolve())


if __name__ == "__main__":
    main()
