"""Validation drawn by appearance: how well clusters follow patients, and what it changes.

``python -m benchmarks.appearance clusters`` hides the patients of BreakHis and IDC and compares the
clusters with them. ``python -m benchmarks.appearance folds FOLDER`` fixes five test folds by
patient, hides the patients, and draws the validation images by image, by appearance and by patient;
``python -m benchmarks.appearance pcam FOLDER`` does it on PCam, whose patients nobody knows. The
trainings are kept in FOLDER: an interrupted command goes on where it was. The tables are written
when all are done.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.tables import write_table
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.metrics import read_metrics
from eosin.core.files import prepare_output
from eosin.core.types import IntArray, Samples
from eosin.data.splits import fold_samples, split_samples
from eosin.experiment.prepare import gather_samples, prepare, resolve_recipe
from eosin.experiment.run import fit_split
from eosin.experiment.split import divide
from eosin.experiment.writer import Stopwatch, begin_run, open_experiment
from eosin.recipe import Recipe, recipe_from_dict
from eosin.recipe.data import DataSection, SplitSection

DATA = Path(os.environ.get("EOSIN_DATA", Path(__file__).parents[2] / "shared" / "data"))
COMMAND = "python -m benchmarks.appearance"
SEEDS = (0, 1, 2)
N_FOLDS, VAL = 5, 0.2
#: Input and epochs of the light CNN on the folds, and on PCam.
FOLD_PX, FOLD_EPOCHS = 64, 10
PCAM_PX, PCAM_EPOCHS = 96, 8


@dataclass(frozen=True)
class Known:
    """A data set whose patients are known: its folder, its positive class, the usual input."""

    title: str
    dataset: str
    folder: str
    positive: str
    input_px: int

    def gather(self) -> Samples:
        """Return its images, with their patients."""
        section = DataSection(dataset=self.dataset, root=str(DATA / self.folder))
        return gather_samples(section, 0)[0]


SETS = (
    Known("BreakHis 200×", "breakhis", "breakhis-200x-224", "malignant", 224),
    Known("IDC", "idc", "idc", "idc", 96),
)


def adjusted_rand_index(one: IntArray, other: IntArray) -> float:
    """Return the adjusted Rand index of two partitions of the same images, each (N,).

    0 on average for random clusters, 1 for equal partitions (Hubert and Arabie, 1985).
    """
    together, a, b = _pairs(one, other)
    total = len(one) * (len(one) - 1) / 2
    expected = a * b / total
    most = (a + b) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def kept_together(patients: IntArray, clusters: IntArray) -> float:
    """Return the share of pairs of images of one patient that are in one cluster."""
    together, of_patients, _ = _pairs(patients, clusters)
    return float(together / of_patients)


def _pairs(one: IntArray, other: IntArray) -> tuple[float, float, float]:
    """Return the pairs of images that both partitions, the first and the second keep together."""
    first, second = (np.unique(names, return_inverse=True)[1] for names in (one, other))
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)
    sizes = (table, table.sum(axis=1), table.sum(axis=0))
    together, a, b = (float((n * (n - 1) / 2).sum()) for n in sizes)
    return together, a, b


def single_class(targets: IntArray, clusters: IntArray) -> float:
    """Return the share of clusters whose images are all of one class."""
    frame = pd.DataFrame({"target": targets, "cluster": clusters})
    return float((frame.groupby("cluster")["target"].nunique() == 1).mean())


def hide_patients(samples: Samples, path: Path, **columns: object) -> Path:
    """Write a manifest of paths and labels, with further columns; returns it.

    The paths are links with numbers for names: BreakHis's own names state the accession, by which
    the leak audit would unite a patient's images.
    """
    links = path.with_suffix("")
    links.mkdir(exist_ok=True)
    paths = []
    for number, cell in enumerate(samples.frame["path"]):
        file = samples.resolve(cell)
        link = links / f"{number:05d}{file.suffix}"
        if not link.is_symlink():
            link.symlink_to(file)
        paths.append(f"{links.name}/{link.name}")
    table = pd.DataFrame({"path": paths, "label": list(samples.frame["label"])})
    table.assign(**columns).to_csv(path, index=False)
    return path


def recipe_of(data: Mapping[str, Any], px: int, epochs: int, seed: int) -> Recipe:
    """Return the light CNN's recipe, as recipes/lightcnn-idc.toml but for size and epochs."""
    values = {
        "name": "appearance",
        "seed": seed,
        "data": dict(data),
        "augment": {"policy": "dihedral"},
        "model": {"name": "light_cnn", "input_px": px, "preprocessing": "unit"},
        "train": {
            "epochs": epochs,
            "batch_size": 32,
            "optimizer": "adam",
            "lr": 0.001,
            "class_weights": "balanced",
            "monitor": "val_loss",
            "schedule": {"name": "cosine"},
        },
        "evaluate": {"resamples": 100, "gate": False, "target_recall": 0.9, "alpha": 0.1},
    }
    return resolve_recipe(recipe_from_dict(values))


def write_clusters() -> None:
    """Write how well clusters of appearance follow patients that are hidden from them."""
    rows = []
    for known in SETS:
        samples = known.gather()
        patients = np.unique(samples.groups.astype(str), return_inverse=True)[1]
        found = [find_clusters(known, samples, seed) for seed in SEEDS]
        random = [
            np.random.default_rng(seed).permutation(clusters)
            for seed, clusters in zip(SEEDS, found, strict=True)
        ]
        for name, several in (("appearance", found), ("random, of equal sizes", random)):
            rows.append(
                [
                    known.title,
                    f"{len(samples):,}",
                    f"{len(set(patients)):,}",
                    name,
                    _range([len(set(one)) for one in several], "{:.0f}"),
                    _range([int(np.bincount(one).max()) for one in several], "{:.0f}"),
                    _range([adjusted_rand_index(patients, one) for one in several], "{:.3f}"),
                    _range([kept_together(patients, one) for one in several], "{:.2f}"),
                    _range([single_class(samples.targets, one) for one in several], "{:.2f}"),
                ]
            )
    write_table(
        "appearance-clusters",
        "Clusters of appearance against patients that are hidden from them (BreakHis at 224 px, "
        "IDC at 96 px): number of clusters, images of the largest, adjusted Rand index, share of "
        "the pairs of images of one patient that a cluster keeps together, share of clusters of a "
        f"single class. Mean of the seeds {', '.join(map(str, SEEDS))}, least to largest.",
        f"{COMMAND} clusters",
        [
            *("images", "number", "patients", "groups", "clusters", "largest"),
            *("adjusted Rand index", "pairs kept", "single class"),
        ],
        rows,
    )


def find_clusters(known: Known, samples: Samples, seed: int) -> IntArray:
    """Return the cluster of each image, as a training with this seed finds it."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = hide_patients(samples, Path(folder) / "images.csv")
        data = {"manifest": str(manifest), "positive": known.positive}
        data["split"] = {"by": "appearance"}
        frame = prepare(recipe_of(data, known.input_px, 1, seed)).samples.frame
    return np.array(frame["appearance"], dtype=np.int64)


def _range(values: Iterable[float], text: str) -> str:
    several = list(values)
    shown = [text.format(value) for value in (np.mean(several), min(several), max(several))]
    return shown[0] if len(set(shown)) == 1 else f"{shown[0]} ({shown[1]} to {shown[2]})"


ARMS = ("image", "appearance", "patient")


def write_folds(folder: Path) -> None:
    """Train on every fold with three ways to draw validation images, and write the table."""
    rows = []
    for known in SETS:
        measured: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
        for fold, test in enumerate(_test_folds(known)):
            for arm in ARMS:
                run = folder / f"{known.dataset}-{fold}-{arm}"
                measured[arm].append(_measure_fold(known, test, arm, run))
        rows += [[known.title, *_row(arm, measured[arm], measured["image"])] for arm in ARMS]
    write_table(
        "appearance-folds",
        f"Validation against test: {N_FOLDS} test folds by patient (seed 0), patients hidden from "
        f"the training, {VAL:.0%} of the other images for validation, drawn in three ways; light "
        f"CNN, {FOLD_PX} px, {FOLD_EPOCHS} epochs. Mean ± standard deviation over the folds.",
        f"{COMMAND} folds FOLDER",
        ["images", *_COLUMNS],
        rows,
    )


def _test_folds(known: Known) -> list[Samples]:
    section = SplitSection(protocol="folds", k=N_FOLDS, val=VAL)
    return [fold.samples for fold in fold_samples(known.gather(), section, 0)]


def _measure_fold(known: Known, fold: Samples, arm: str, run: Path) -> dict[str, float]:
    if not RunFolder(run).metrics.exists():
        run.parent.mkdir(parents=True, exist_ok=True)
        split = np.where(fold.frame["split"] == "test", "test", "train")
        if arm == "patient":
            # Drawn here, so that the training itself measures all three alike: by image.
            column = SplitSection(protocol="column", val=VAL)
            drawn, _ = split_samples(_marked(fold, split), column, 0)
            split = np.array(drawn.frame["split"])
        manifest = hide_patients(fold, run.with_name(f"{run.name}-images.csv"), split=split)
        data = {"manifest": str(manifest), "positive": known.positive}
        by = "appearance" if arm == "appearance" else "image"
        data["split"] = {"protocol": "column", "val": VAL, "by": by}
        train(recipe_of(data, FOLD_PX, FOLD_EPOCHS, 0), run)
    return read_measures(run)


def _marked(samples: Samples, split: Any) -> Samples:
    frame = samples.frame.assign(split=split)
    return Samples(frame, samples.root, samples.class_names, samples.positive, samples.name)


def train(recipe: Recipe, folder: Path) -> None:
    """Train without a report, whose figures take longer than these trainings."""
    run, watch = RunFolder(folder), Stopwatch()
    prepared = prepare(recipe)
    division = divide(recipe, prepared)
    if not run.recipe.exists():
        prepare_output(folder)
        begin_run(run, recipe, prepared)
    fit_split(open_experiment(recipe, prepared, watch), division, run)
    print(f"{folder.name}: {watch.seconds}", flush=True)


_COLUMNS = [
    "validation drawn by",
    *("validation AUC", "test AUC", "difference", "less that by image"),
    "test recall at the threshold for 0.90",
    "test coverage for 0.90",
]


def read_measures(folder: Path) -> dict[str, float]:
    """Return what a run measured, in the order of the table."""
    splits = read_metrics(RunFolder(folder).metrics)
    val, test = splits["val"], splits["test"]
    abstention = test.abstention
    shown = {
        "val": val.image["auc"].value,
        "test": test.image["auc"].value,
        "recall": test.decided["recall"].value,
        "coverage": None if abstention is None else abstention.coverage.value,
    }
    found = {name: np.nan if value is None else float(value) for name, value in shown.items()}
    return {**found, "difference": found["val"] - found["test"]}


def _row(arm: str, measured: list[dict[str, float]], by_image: list[dict[str, float]]) -> list[str]:
    """Return the cells of a row; ``by_image`` are the same folds or seeds, drawn by image."""
    pairs = zip(measured, by_image, strict=True)
    paired = [one["difference"] - other["difference"] for one, other in pairs]
    cells = {
        name: _spread([one[name] for one in measured], signed=name == "difference")
        for name in ("val", "test", "difference", "recall", "coverage")
    }
    change = "" if arm == "image" else _spread(paired, signed=True)
    shown = (cells[name] for name in ("val", "test", "difference"))
    return [arm, *shown, change, cells["recall"], cells["coverage"]]


def _spread(values: list[float], *, signed: bool) -> str:
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return "–"
    text = f"{np.mean(known):{'+' if signed else ''}.3f}"
    of = f" (of {len(known)})" if len(known) < len(values) else ""
    return f"{text} ± {np.std(known, ddof=1):.3f}{of}" if len(known) > 1 else f"{text}{of}"


def write_pcam(folder: Path) -> None:
    """Train on PCam with validation drawn by image and by appearance, and write the table."""
    rows, by_image = [], list[dict[str, float]]()
    for by in ARMS[:2]:
        measured = []
        for seed in SEEDS:
            run = folder / f"pcam-{seed}-{by}"
            if not RunFolder(run).metrics.exists():
                run.parent.mkdir(parents=True, exist_ok=True)
                data = {
                    "dataset": "pcam",
                    "root": str(DATA / "pcam"),
                    "options": {"evaluate_on": "valid"},
                    "split": {"protocol": "column", "val": VAL, "by": by},
                }
                train(recipe_of(data, PCAM_PX, PCAM_EPOCHS, seed), run)
            measured.append(read_measures(run))
        by_image = by_image or measured
        rows.append(_row(by, measured, by_image))
    write_table(
        "appearance-pcam",
        f"PCam: {VAL:.0%} of train for validation, drawn in two ways; tested on its subset valid; "
        f"light CNN, {PCAM_PX} px, {PCAM_EPOCHS} epochs. Mean ± standard deviation over the seeds "
        f"{', '.join(map(str, SEEDS))}.",
        f"{COMMAND} pcam FOLDER",
        _COLUMNS,
        rows,
    )


def main() -> None:
    """Write the tables of one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["clusters", "folds", "pcam"])
    parser.add_argument("folder", type=Path, nargs="?", help="of the trainings of folds and pcam")
    given = parser.parse_args()
    if given.part == "clusters":
        write_clusters()
    elif given.folder is None:
        parser.error("name a folder for the trainings")
    else:
        (write_folds if given.part == "folds" else write_pcam)(given.folder)


if __name__ == "__main__":
    main()
