"""Robustness of several models: their trainings, their evaluation on changed images, the tables.

``python -m benchmarks.robustness FOLDER DATA`` trains each model into FOLDER, unless it is there,
evaluates its held-out images unchanged and changed (``eosin evaluate --robustness``), and writes
the tables of ``docs/results``. Seed 0 of the recipes; an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import eosin
from benchmarks.tables import write_table
from eosin.artifacts.layout import OUT_OF_FOLD, RunFolder
from eosin.artifacts.robustness import ChangedMetrics, Robustness
from eosin.artifacts.versioned import read_document
from eosin.evaluation.corruptions import CORRUPTIONS
from eosin.recipe import read_recipe
from eosin.reporting.formatting import capitalised, metric_text
from eosin.reporting.sections.differences import difference_text

RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True)
class Case:
    """A model: its recipe, the folder of its data in DATA, and settings."""

    title: str
    recipe: str
    data: str
    settings: tuple[str, ...] = ()


_STAINED = ("stain.method=macenko",)
CASES = {
    "light-breakhis": Case("light CNN, BreakHis 200×", "lightcnn-breakhis200", "breakhis-200x-224"),
    "light-breakhis-stain": Case(
        "the same, stain normalised (Macenko)",
        "lightcnn-breakhis200",
        "breakhis-200x-224",
        _STAINED,
    ),
    "features-breakhis": Case(
        "head on frozen Lite0, BreakHis 200×", "lite0-features-breakhis200", "breakhis-200x-224"
    ),
    "light-idc": Case("light CNN, IDC", "lightcnn-idc", "idc"),
    "lite0-breakhis": Case(
        "Lite0 fine-tuned, BreakHis 200×", "lite0-breakhis200", "breakhis-200x-224"
    ),
}


def measure(name: str, folder: Path, data: Path) -> Robustness:
    """Train and evaluate a model, as far as that is not done; return its robustness."""
    case = CASES[name]
    run, out = folder / name, folder / f"{name}-robustness"
    if not RunFolder(run).metrics.exists():
        settings = [f"data.root={data / case.data}", *case.settings]
        recipe = read_recipe(RECIPES / f"{case.recipe}.toml", overrides=settings)
        if RunFolder(run).recipe.exists():
            eosin.train(resume=run)
        else:
            eosin.train(recipe, output=run)
    if not RunFolder(out).robustness.exists():
        split = OUT_OF_FOLD if RunFolder(run).folds.is_dir() else "test"
        eosin.evaluate(run, split=split, robustness=True, output=out)
    return read_document(RunFolder(out).robustness, Robustness)


def tabulate(
    found: dict[str, Robustness], name: str, caption: str, cell: Callable[[ChangedMetrics], str],
    first: Callable[[Robustness], str], severity: int,
) -> None:  # fmt: skip
    """Write a table of a model a column, a change a row."""
    shown = [CASES[key].title for key in found]
    rows = [["unchanged", *(first(one) for one in found.values())]]
    for change, corruption in CORRUPTIONS.items():
        parts = [one.changes[change].by_severity[severity - 1] for one in found.values()]
        rows.append([capitalised(corruption.title), *(cell(part) for part in parts)])
    command = f"python -m benchmarks.robustness FOLDER DATA --only {' '.join(found)}"
    write_table(name, caption, command, ["", *shown], rows)


def main() -> None:
    """Measure the models, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    found = {name: measure(name, given.folder, given.data.resolve()) for name in given.only}
    sizes = "; ".join(
        f"{CASES[name].title}: {one.n_images} images of "
        f"{'unknown patients' if one.n_patients is None else f'{one.n_patients} patients'}"
        for name, one in found.items()
    )
    for severity in (3, 5):
        tabulate(
            found,
            f"robustness-auc-{severity}",
            f"AUC: difference to the unchanged images at severity {severity}, with its 95 % "
            f"interval. Out-of-fold, by patient, seed 0. {sizes}.",
            lambda part: difference_text(part.differences["auc"]),
            lambda one: metric_text(one.unchanged["auc"]),
            severity,
        )
    tabulate(
        found,
        "robustness-abstention",
        "Share of images that the model abstains on at severity 5: refused by the gate, or "
        "uncertain.",
        lambda part: metric_text(part.metrics["abstention_rate"]),
        lambda one: metric_text(one.unchanged["abstention_rate"]),
        5,
    )


if __name__ == "__main__":
    main()
